"""Settings: found, merged, checked; each problem is one sentence."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.durations import format_duration, parse_duration
from mirror.errors import SettingsError
from mirror.logs import configure
from mirror.oci.content import Digest, Platform
from mirror.oci.reference import Reference, Repository
from mirror.settings import (
    Channel,
    EcrDestination,
    EcrRepository,
    HarborDestination,
    HarborProject,
    LayoutDestination,
    Loaded,
    Overrides,
    Policy,
    Record,
    Registry,
    RegistryDestination,
    Retention,
    Schedule,
    Server,
    Settings,
    load,
    schema,
)

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of the machine is found."""
    monkeypatch.chdir(tmp_path)


def loaded(text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    Path("mirror.toml").write_text(text)
    return load(None, environ or {})


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(text, environ)
    return str(caught.value).splitlines()


class TestDefaults:
    def test_nothing_is_needed(self) -> None:
        """With no file and no variable the defaults hold, and the built-in hosts are there."""
        result = load(None, {})

        assert result.path is None
        assert Settings() == result.settings
        assert ("edge",) == result.settings.releases
        assert "https://helm.linkerd.io/stable" == result.settings.channels["stable"].chart_repository
        assert "https://registry-1.docker.io" == result.settings.registry("docker.io").endpoint
        assert "https://ghcr.io" == result.settings.registry("ghcr.io").endpoint

    def test_the_example_is_every_key_with_its_default(self) -> None:
        """config.example.toml loads, leaves no key out, and says the defaults."""
        data = tomllib.loads(EXAMPLE.read_text())
        settings = load(EXAMPLE, {}).settings

        assert set(Settings.model_fields) == set(data)
        sections = {
            "policy": Policy,
            "record": Record,
            "overrides": Overrides,
            "retention": Retention,
            "schedule": Schedule,
            "server": Server,
        }
        for section, model in sections.items():
            assert set(model.model_fields) == set(data[section]), section
            assert model() == getattr(settings, section)
        for entry, model in (
            (data["channels"]["edge"], Channel),
            (data["registries"]["ghcr.io"] | data["registries"]["cr.l5d.io"], Registry),
            (data["destinations"]["production"], RegistryDestination),
            (data["destinations"]["aws"], EcrDestination),
            (data["destinations"]["aws"]["repository"], EcrRepository),
            (data["destinations"]["harbor"], HarborDestination),
            (data["destinations"]["harbor"]["project"], HarborProject),
            (data["destinations"]["disk"], LayoutDestination),
        ):
            assert set(model.model_fields) - {"password"} == set(entry), model
        plain = settings.model_copy(update={"destinations": {}, "registries": Settings().registries})
        assert Settings() == plain
        assert Registry() == settings.registries["ghcr.io"]
        production, disk = settings.destinations["production"], settings.destinations["disk"]
        aws, harbor = settings.destinations["aws"], settings.destinations["harbor"]
        assert EcrDestination(kind="ecr", registry=ECR) == aws
        assert HarborDestination(kind="harbor", registry="harbor.example.com", prefix="linkerd") == harbor
        assert RegistryDestination(kind="registry", registry="registry.example.com") == production
        assert LayoutDestination(kind="layout", directory=Path("linkerd-mirror")) == disk

    def test_the_example_of_each_choice_is_spelt_out(self) -> None:
        """Every value that a choice allows is in config.example.toml."""
        text = EXAMPLE.read_text()
        choices = [
            value
            for model in (Policy, Overrides, RegistryDestination, EcrDestination, EcrRepository, LayoutDestination)
            for field in model.model_fields.values()
            for value in get_args(field.annotation)
            if isinstance(value, str)
        ]

        assert choices
        assert [] == [value for value in choices if f'"{value}"' not in text]


class TestFile:
    def test_order(self, tmp_path: Path) -> None:
        """--config wins over MIRROR_CONFIG, which wins over ./mirror.toml."""
        for name in ("option", "variable", "mirror"):
            (tmp_path / f"{name}.toml").write_text(f'charts = ["{name}"]')
        environ = {"MIRROR_CONFIG": str(tmp_path / "variable.toml")}

        assert ("option",) == load(tmp_path / "option.toml", environ).settings.charts
        assert ("variable",) == load(None, environ).settings.charts
        assert ("mirror",) == load(None, {}).settings.charts

    def test_values_are_parsed_once(self) -> None:
        """Platforms, digests, references and durations are values, not text."""
        settings = loaded(
            f"""
            platforms = ["linux/amd64"]
            min_age = "1h30m"
            [policy.accept]
            "prom/prometheus:v1" = "{DIGEST}"
            """
        ).settings

        assert (Platform("linux", "amd64"),) == settings.platforms
        assert timedelta(minutes=90) == settings.min_age
        assert {Reference.parse("docker.io/prom/prometheus:v1"): Digest.parse(DIGEST)} == settings.policy.accept

    def test_a_bench_configuration(self) -> None:
        """Endpoints of plain http, a certificate, a destination by HOST:PORT."""
        settings = loaded(
            """
            charts = "all"
            [channels.edge]
            chart_repository = "http://127.0.0.1:1/edge"
            [registries."ghcr.io"]
            endpoint = "http://127.0.0.1:2"
            ca_file = "ca.pem"
            [registries."127.0.0.1:3"]
            endpoint = "http://127.0.0.1:3"
            [destinations.bench]
            kind = "registry"
            registry = "127.0.0.1:3"
            prefix = "linkerd"
            [policy]
            signatures = "warn"
            referrers = "require"
            [overrides]
            directory = "/srv/bench/overrides"
            """
        ).settings

        bench = settings.destinations["bench"]
        assert isinstance(bench, RegistryDestination)
        assert ("127.0.0.1:3", "linkerd") == (bench.registry, bench.prefix)
        assert "http://127.0.0.1:2" == settings.registry("ghcr.io").endpoint
        assert Path("ca.pem") == settings.registry("ghcr.io").ca_file
        assert "ghcr.io/linkerd/proxy" == str(settings.resolve(Repository.parse("cr.l5d.io/linkerd/proxy")))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param('pin = "tag"', "unknown key pin; did you mean overrides.pin?", id="key elsewhere"),
        pytest.param('Charts = "all"', "unknown key Charts; did you mean charts?", id="upper case"),
        pytest.param(
            '[policy]\nsignature = "off"', "unknown key policy.signature; did you mean policy.signatures?", id="typo"
        ),
        pytest.param(
            "[zebra]\nx = 1",
            "unknown key zebra; known at the top: releases, charts, platforms, exclude, min_age, versions_url, "
            "channels, registries, destinations, policy, record, overrides",
            id="nothing near",
        ),
        pytest.param(
            '[policy]\nsignatures = "yes"',
            'policy.signatures is "yes": expected "require", "warn" or "off"',
            id="signatures",
        ),
        pytest.param(
            '[policy]\nreferrers = "off"',
            'policy: referrers = "off" leaves signatures behind',
            id="signatures that do not travel",
        ),
        pytest.param(
            '[[policy.identities]]\nimages = "a.b/*"',
            "policy.identities.0: expected either issuer and identity, or key",
            id="nobody",
        ),
        pytest.param(
            '[[policy.identities]]\nimages = "a.b/*"\nissuer = "https://i"',
            "policy.identities.0: an identity needs both issuer and identity",
            id="half an identity",
        ),
        pytest.param(
            '[[policy.identities]]\nimages = "everything"\nkey = "cosign.pub"',
            "policy.identities.0: 'everything' is not a pattern of images",
            id="no pattern of images",
        ),
        pytest.param(
            '[[policy.identities]]\nimages = "a.b/*"\nissuer = "i"\nidentity = "x"\ntransparency_log = true',
            "policy.identities.0: transparency_log is for keys",
            id="log of an identity",
        ),
        pytest.param(
            '[policy]\nmoved_tags = "keep"',
            'policy.moved_tags is "keep": expected "refuse" or "follow"',
            id="choice",
        ),
        pytest.param(
            f'[policy.accept]\n"X Y" = "{DIGEST}"',
            "policy.accept: 'X Y' is not an image reference: ",
            id="accepted reference",
        ),
        pytest.param(
            '[policy.accept]\n"a/b:c" = "sha256:1"', "policy.accept: sha256:1 is not a digest: ", id="accepted digest"
        ),
        pytest.param(
            f'[policy.accept]\n"a/b@{DIGEST}" = "{DIGEST}"', "policy.accept: ", id="accepted reference with digest"
        ),
        pytest.param('releases = "edge"', 'releases is "edge": expected a list', id="list"),
        pytest.param('charts = "viz"', 'charts is "viz": expected "all" or a list of names', id="charts"),
        pytest.param("charts = []", 'charts is []: expected "all" or a list of names', id="no charts"),
        pytest.param('platforms = ["linux"]', "platforms is [\"linux\"]: 'linux' is not a platform: ", id="platform"),
        pytest.param('min_age = "6d"', 'min_age is "6d": expected a duration such as "6h"', id="duration"),
        pytest.param("min_age = 6", 'min_age is 6: expected a duration such as "6h"', id="duration as a number"),
        pytest.param('policy = "off"', 'policy is "off": expected a table', id="table"),
        pytest.param(
            '[registries."a.b"]\nmax_connections = 0',
            'registries."a.b".max_connections is 0: expected at least 1',
            id="too few",
        ),
        pytest.param(
            '[registries."a.b"]\nmax_connections = "many"',
            'registries."a.b".max_connections is "many": expected a whole number',
            id="number",
        ),
        pytest.param(
            '[registries."a.b"]\nendpoint = "a.b"',
            'registries."a.b".endpoint is "a.b": expected a URL that starts with https:// or http://',
            id="endpoint",
        ),
        pytest.param(
            '[registries."a.b"]\nendpoint = "https://a.b/prefix"',
            'registries."a.b".endpoint is "https://a.b/prefix": expected SCHEME://HOST[:PORT] alone',
            id="endpoint with a path",
        ),
        pytest.param(
            '[registries."a.b"]\nalias = "c.d"\nusername = "u"',
            'registries."a.b": alias stands alone: move username to the table of c.d',
            id="alias beside others",
        ),
        pytest.param(
            '[registries.ghcr.io]\nusername = "me"',
            'unknown key registries.ghcr.io: a host is quoted in TOML: [registries."ghcr.io"]',
            id="host without quotes",
        ),
        pytest.param(
            '[registries.registry.eu.example.com]\nrequests_per_second = 1\nusername = "me"',
            'unknown key registries.registry.eu: a host is quoted in TOML: [registries."registry.eu.example.com"]',
            id="longer host without quotes",
        ),
        pytest.param(
            '[registries."ghcr.io".tls]\nca = "x"',
            'unknown key registries."ghcr.io".tls; known here: alias,',
            id="table below a host",
        ),
        pytest.param(
            '[registries."a.b"]\nalias = "c.d"\n[registries."c.d"]\nalias = "a.b"',
            'registries: "a.b": the aliases form a loop',
            id="alias loop",
        ),
        pytest.param(
            '[registries."a.b/c"]\nusername = "u"\npassword_file = "f"',
            'registries: "a.b/c": expected HOST[:PORT]',
            id="prefix without alias",
        ),
        pytest.param(
            '[registries."a.b"]\nusername = "u"',
            'registries."a.b": username is set but neither password_file nor a password is',
            id="username alone",
        ),
        pytest.param(
            '[registries."a.b"]\npassword_file = "f"',
            'registries."a.b": a password is set but username is not',
            id="password alone",
        ),
        pytest.param(
            '[registries."a.b"]\npassword = "hunter2"',
            'registries."a.b".password must not be in the file: use password_file, or MIRROR_REGISTRIES=',
            id="password in the file",
        ),
        pytest.param(
            '[destinations.x]\nkind = "ecr"\nregistry = "public.ecr.aws"',
            "destinations.x: public.ecr.aws is Amazon's public registry",
            id="public ecr",
        ),
        pytest.param(
            '[destinations.x]\nkind = "ecr"\nregistry = "harbor.example.com"',
            "destinations.x: registry is no host of ECR: expected as 123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            id="no ecr",
        ),
        pytest.param(
            f'[destinations.a]\nkind = "ecr"\nregistry = "{ECR}"\nprofile = "one"\n'
            f'[destinations.b]\nkind = "ecr"\nregistry = "{ECR}"\nprefix = "b"',
            f"destinations: a and b are both in {ECR}, so they need the same profile, role_arn and external_id",
            id="two ways to one ecr",
        ),
        pytest.param(
            f'[destinations.x]\nkind = "ecr"\nregistry = "{ECR}"\nexternal_id = "1"',
            "destinations.x: external_id needs role_arn",
            id="external id without a role",
        ),
        pytest.param(
            f'[destinations.x]\nkind = "ecr"\nregistry = "{ECR}"\nrepository.kms_key = "alias/x"',
            'destinations.x.repository: kms_key needs encryption = "KMS" or "KMS_DSSE"',
            id="key without kms",
        ),
        pytest.param(
            f'[destinations.x]\nkind = "ecr"\nregistry = "{ECR}"\nrepository.tag_mutability = "IMMUTABLE"\n'
            'repository.exclusions = ["sha256-*"]',
            'destinations.x.repository: exclusions needs tag_mutability = "IMMUTABLE_WITH_EXCLUSION"',
            id="exclusions of nothing",
        ),
        pytest.param(
            f'[destinations.x]\nkind = "ecr"\nregistry = "{ECR}"\nrepository.exclusions = ["a/b"]',
            'destinations.x.repository.exclusions.0 is "a/b": expected what ^[0-9a-zA-Z._*-]{1,128}$ matches',
            id="no pattern of ecr",
        ),
        pytest.param(
            f'[destinations.x]\nkind = "ecr"\nregistry = "{ECR}"\nrepository.exclusions = ["a","b","c","d","e","f"]',
            "destinations.x.repository.exclusions has 6 entries: expected at most 5",
            id="more patterns than ecr takes",
        ),
        pytest.param(
            '[destinations.x]\nkind = "harbor"\nregistry = "harbor.example.com"',
            "destinations.x: prefix is missing: its first part is the project",
            id="no project",
        ),
        pytest.param(
            '[destinations.x]\nkind = "harbor"\nregistry = "harbor.example.com"\nprefix = "l"\nproject.public = true',
            "destinations.x: project is how a project is made: it needs create_project = true",
            id="a project that is not made",
        ),
        pytest.param(
            '[destinations.x]\nkind = "disk"',
            'destinations.x.kind is "disk": expected "ecr", "harbor", "registry" or "layout"',
            id="kind",
        ),
        pytest.param(
            '[destinations.x]\nregistry = "a.b"',
            'destinations.x.kind is missing: expected "ecr", "harbor", "registry" or "layout"',
            id="no kind",
        ),
        pytest.param(
            '[destinations.x]\nkind = "registry"', "destinations.x.registry is missing", id="missing"
        ),
        pytest.param(
            '[destinations.x]\nkind = "layout"\ndirectory = "d"\nregistry = "a.b"',
            'destinations.x.registry is not a key of a destination of kind "layout"',
            id="key of the other kind",
        ),
        pytest.param(
            '[destinations.x]\nkind = "registry"\nregistry = "https://a.b"',
            'destinations.x.registry is "https://a.b": expected HOST[:PORT]: the scheme goes into ',
            id="registry with scheme",
        ),
        pytest.param(
            '[destinations.x]\nkind = "registry"\nregistry = "a.b/c"',
            'destinations.x.registry is "a.b/c": expected HOST[:PORT]: the path goes into `prefix`',
            id="registry with path",
        ),
        pytest.param(
            '[destinations.x]\nkind = "registry"\nregistry = "a.b"\nprefix = "A"',
            'destinations.x.prefix is "A": expected a repository path such as linkerd',
            id="prefix",
        ),
        pytest.param(
            '[destinations."../x"]\nkind = "layout"\ndirectory = "d"',
            'destinations: "../x" is not a name',
            id="name that is a path",
        ),
        *(
            pytest.param(
                f'[channels."{name}"]\nchart_repository = "https://charts.example.com"',
                f"channels: \"{name}\" is not a channel's name: expected 1 to 32 lower-case letters and digits",
                id=f"channel {name}",
            )
            for name in ("my-edge", "my.edge", "my_edge", "Edge", "2edge")
        ),
        pytest.param(
            "[retention]\nkeep = {egde = 3}",
            'retention: keep: there is no channel "egde": there is edge and stable',
            id="a rule for no channel",
        ),
        pytest.param(
            '[channels.smi]\nchart_repository = "https://a.b"\ncharts = ["x", "x"]',
            'channels.smi.charts is ["x", "x"]: expected each chart once',
            id="a channel that has a chart twice",
        ),
        pytest.param(
            "[retention]\nkeep = {edge = 0}",
            "retention.keep.edge is 0: expected",
            id="a rule that keeps nothing",
        ),
        pytest.param(
            "[retention]\nkeep = {edge = true}",
            "retention.keep.edge is true: expected a number",
            id="a rule that does not say how many",
        ),
        pytest.param(
            '[registries."a.b"]\nmax_connections = true',
            'registries."a.b".max_connections is true: expected a number',
            id="a whole number that is none",
        ),
        pytest.param(
            '[registries."a.b"]\nrequests_per_second = false',
            'registries."a.b".requests_per_second is false: expected a number',
            id="a number that is none",
        ),
        pytest.param(
            '[destinations.x]\nkind = "harbor"\nregistry = "a.b"\nprefix = "a"\nproject.storage_quota = true',
            "destinations.x.project.storage_quota is true: expected a number",
            id="a quota that is none",
        ),
        pytest.param(
            '[overrides.config_maps]\nenabled = true\n'
            '[destinations.EU_west]\nkind = "layout"\ndirectory = "a"\n'
            '[destinations.eu-west]\nkind = "layout"\ndirectory = "b"',
            "overrides: config_maps would call those of EU_west and of eu-west alike, linkerd-mirror-eu-west-RELEASE: "
            "rename one of the destinations",
            id="two destinations of one ConfigMap",
        ),
        pytest.param(
            'overrides.config_maps.namespace = "../other"',
            'overrides.config_maps.namespace is "../other": expected what ',
            id="namespace",
        ),
        pytest.param(
            'overrides.config_maps.prefix = "a..b"',
            'overrides.config_maps.prefix is "a..b": expected what ',
            id="prefix of ConfigMaps",
        ),
        pytest.param(
            '[channels.own]\nchart_repository = "oci://a.b"',
            'channels.own.chart_repository is "oci://a.b": expected a URL that starts with https:// or http://',
            id="chart repository",
        ),
        pytest.param(
            'versions_url = "versions.yaml"',
            'versions_url is "versions.yaml": expected a URL that starts with https:// or http://',
            id="versions",
        ),
    ],
)  # fmt: skip
def test_one_problem_is_one_sentence(text: str, sentence: str) -> None:
    """File, key, value, and what is allowed."""
    (line,) = problems(text)

    assert line.startswith(f"mirror.toml: {sentence}")


def test_destinations_that_only_a_cluster_would_call_alike() -> None:
    """They are as good as others where nothing is put into one."""
    names = ("EU_west", "eu-west")
    text = "".join(f'[destinations.{name}]\nkind = "layout"\ndirectory = "{name}"\n' for name in names)

    assert set(names) == set(loaded(text).settings.destinations)


def test_every_problem_is_told() -> None:
    """One line each, all at once."""
    lines = problems('releases = 1\ncharts = 2\n[policy]\npin = "x"\n')

    assert 3 == len(lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = \nb = 1", "mirror.toml, line 1: this is not TOML: Invalid value"),
        ("releases = [", "mirror.toml, at its end: this is not TOML: Invalid value"),
        ('\n[policy\nx = "y"', "mirror.toml, line 2: this is not TOML: Expected ']'"),
        (
            '\n[registries.localhost:5871]\nendpoint = "x"',
            (
                "mirror.toml, line 2: this is not TOML: Expected ']' at the end of a table declaration: "
                'a host is quoted in TOML: [registries."localhost:5871"]'
            ),
        ),
    ],
)
def test_toml_that_cannot_be_read(text: str, sentence: str) -> None:
    """The line is named."""
    (line,) = problems(text)

    assert line.startswith(sentence)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Absent, a folder, not text: each in one sentence."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")

    for path, sentence in (
        (tmp_path / "absent", "there is no configuration file"),
        (tmp_path, "Is a directory"),
        (binary, "not UTF-8"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            load(path, {})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('every = "6h"\ncron = "17 3 * * *"', "schedule: every and cron are both set: give one of them"),
        ('every = "500ms"', "schedule: every must be a second or more"),
        ('every = "soon"', 'schedule.every is "soon": expected a duration such as "6h", "90m" or "1h30m"'),
        ('every = "99999999h"', "schedule: every must be a year (8784h) or less"),
        ('deep_verify = "9000h"', "schedule: deep_verify must be a year (8784h) or less"),
        ('stuck_after = "0s"', "schedule: stuck_after must be longer than nothing"),
        (
            'timezone = "Europe/Berlni"',
            'schedule: timezone: there is no "Europe/Berlni"; expected a name such as Europe/Berlin',
        ),
        (
            'cron = "17 3 * *"',
            "schedule: cron: expected five fields (minute hour day month weekday), as 17 3 * * *, and not 4",
        ),
        (
            'cron = "0 0 30 2 *"',
            "schedule: cron: '0 0 30 2 *' never comes: no month that it names has such a day",
        ),
        (
            'cron = "0 0 * * mondays"',
            "schedule: cron: 'mondays' is no weekday: 0 to 7, both ends Sunday, or sun to sat, as 1-5 or mon,thu",
        ),
        ('evry = "1h"', "unknown key schedule.evry; did you mean schedule.every?"),
    ],
)
def test_a_bad_schedule(line: str, sentence: str) -> None:
    """One sentence, which names the key."""
    assert [f"mirror.toml: {sentence}"] == problems(f"[schedule]\n{line}\n")


@pytest.mark.parametrize(
    "listen", ["8080", ":80", "localhost", "::1:80", "[::1:80", "a b:80", "h:99999", "h:٨٠", "http://h:80"]
)
def test_a_bad_listen(listen: str) -> None:
    """It must be a host and a port."""
    words = "expected HOST:PORT, as 127.0.0.1:8080 or [::]:8080"

    assert [f'mirror.toml: server.listen is "{listen}": {words}'] == problems(f'[server]\nlisten = "{listen}"\n')


@pytest.mark.parametrize(
    ("listen", "address"),
    [("0.0.0.0:8080", ("0.0.0.0", 8080)), ("[::1]:80", ("::1", 80)), ("mirror-0.mirror:0", ("mirror-0.mirror", 0))],
)
def test_a_listen(listen: str, address: tuple[str, int]) -> None:
    """Brackets are for the eye."""
    assert address == loaded(f'[server]\nlisten = "{listen}"\n').settings.server.address


def test_a_schedule_by_cron() -> None:
    """An interval that nobody has set is no second choice."""
    schedule = loaded('[schedule]\ncron = "17 3 * * 7"\ntimezone = "Europe/Berlin"\n').settings.schedule

    assert ("17 3 * * 7", "Europe/Berlin") == (schedule.cron, schedule.timezone)


class TestEnvironment:
    def test_a_variable_wins(self) -> None:
        """Over the file, for keys at the top and in a section, for lists as JSON and with commas."""
        settings = loaded(
            'releases = ["stable"]\n[overrides]\npin = "tag"',
            {
                "MIRROR_RELEASES": "edge:2, 2.19",
                "MIRROR_OVERRIDES__PIN": "digest",
                "MIRROR_PLATFORMS": '["linux/arm64"]',
                "MIRROR_MIN_AGE": "24h",
                "MIRROR_CHARTS": "all",
                "MIRROR_EXCLUDE": "",
            },
        ).settings

        assert ("edge:2", "2.19") == settings.releases
        assert "digest" == settings.overrides.pin
        assert (Platform("linux", "arm64"),) == settings.platforms
        assert timedelta(hours=24) == settings.min_age
        assert "all" == settings.charts
        assert () == settings.exclude

    def test_tables_are_merged(self) -> None:
        """JSON adds to what the file says of a host; a variable of its own adds to an entry that is there."""
        settings = loaded(
            '[registries."ghcr.io"]\nusername = "me"\nmax_connections = 4',
            {
                "MIRROR_REGISTRIES": '{"ghcr.io": {"password": "hunter2"}, "a.b": {"endpoint": "http://a.b"}}',
                "MIRROR_REGISTRIES__GHCR_IO__CA_FILE": "ca.pem",
                "MIRROR_DESTINATIONS__DISK__KIND": "layout",
                "MIRROR_DESTINATIONS__DISK__DIRECTORY": "d",
            },
        ).settings

        registry = settings.registry("ghcr.io")
        credential = registry.credential()
        assert credential is not None
        assert ("me", "hunter2") == (credential[0], credential[1].get_secret_value())
        assert (4, Path("ca.pem")) == (registry.max_connections, registry.ca_file)
        assert "http://a.b" == settings.registry("a.b").endpoint
        assert LayoutDestination(kind="layout", directory=Path("d")) == settings.destinations["disk"]

    @pytest.mark.parametrize(
        ("name", "warning"),
        [
            ("MIRROR_PORT", "Kubernetes sets it"),
            ("MIRROR_PORT_8080_TCP_ADDR", "Kubernetes sets it"),
            ("MIRROR_SERVICE_HOST", "Kubernetes sets it"),
            ("MIRROR_SERVICE_PORT_HTTP", "Kubernetes sets it"),
            ("MIRROR_RELEASE", "did you mean MIRROR_RELEASES?"),
            ("MIRROR_OVERRIDES__PINS", "did you mean MIRROR_OVERRIDES__PIN?"),
            ("MIRROR_RELEASES__X", "it sets no key"),
            ("MIRROR_REGISTRIES__GHCR_IO__CA_FILE", "it sets no key"),
        ],
    )
    def test_an_unknown_variable_is_a_warning(self, name: str, warning: str) -> None:
        """It is named, nothing fails, and nothing changes."""
        result = load(None, {name: "tcp://10.0.0.1:8080"})

        assert Settings() == result.settings
        assert [True] == [name in line and warning in line for line in result.warnings]

    def test_variables_of_ours_that_set_no_key(self) -> None:
        """They are not warned about."""
        Path("c.toml").write_text("")

        assert () == load(None, {"MIRROR_CONFIG": "c.toml", "MIRROR_LOG_LEVEL": "debug", "PATH": "/"}).warnings

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("MIRROR_OVERRIDES__PIN", "x", 'MIRROR_OVERRIDES__PIN: overrides.pin is "x": expected "digest" or "tag"'),
            (
                "MIRROR_DESTINATIONS__A__KIND",
                "layout",
                "MIRROR_DESTINATIONS__A__KIND: destinations.a.directory is missing",
            ),
            ("MIRROR_REGISTRIES", "{", "MIRROR_REGISTRIES: this is not JSON: "),
            ("MIRROR_REGISTRIES", "[]", "MIRROR_REGISTRIES: expected a JSON object"),
            (
                "MIRROR_REGISTRIES",
                '{"a.b": {"username": "u", "password": ["hunter2"]}}',
                'MIRROR_REGISTRIES: registries."a.b".password is (hidden): expected a string',
            ),
        ],
    )
    def test_a_bad_variable(self, name: str, value: str, sentence: str) -> None:
        """The variable is named, and no secret told."""
        (line,) = problems("", {name: value})

        assert line.startswith(sentence)
        assert "hunter2" not in line

    def test_what_is_wrong_in_the_file_is_told(self) -> None:
        """A key from the environment does not stand in for a table that is none."""
        (line,) = problems('policy = "off"', {"MIRROR_POLICY__MOVED_TAGS": "follow"})

        assert 'mirror.toml: policy is "off": expected a table' == line

    def test_each_variable_is_a_source_of_its_own(self) -> None:
        """Of one entry, a value each from the file, a table and a key; an empty table sets nothing."""
        keys = {
            key.key.rpartition(".")[2]: (key.value, key.source)
            for key in loaded(
                '[registries."a.b"]\nusername = "file"\nmax_connections = 1\nca_file = "file"',
                {
                    "MIRROR_REGISTRIES": '{"a.b": {"max_connections": 2, "ca_file": "table", "password": "x"}}',
                    "MIRROR_REGISTRIES__A_B__CA_FILE": "key",
                    "MIRROR_CHANNELS": "{}",
                },
            ).describe()
            if "a.b" in key.key or key.key == "channels.edge.chart_repository"
        }

        assert ("file", "mirror.toml") == keys["username"]
        assert (2, "MIRROR_REGISTRIES") == keys["max_connections"]
        assert ("key", "MIRROR_REGISTRIES__A_B__CA_FILE") == keys["ca_file"]
        assert ("https://helm.linkerd.io/edge", "default") == keys["chart_repository"]

    def test_the_environment_of_the_process_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nor is a .env file: what holds is what is handed over, however settings are made."""
        names = ["CHARTS", "releases", "POLICY", "MIRROR_CHARTS", "MIRROR_POLICY__MOVED_TAGS", "MIRROR_CONFIG"]
        for name in names:
            monkeypatch.setenv(name, "nonsense")
        Path(".env").write_text("".join(f"{name}=nonsense\n" for name in names))

        assert ("all", ("edge",), Policy()) == (Settings().charts, Settings().releases, Settings().policy)
        assert Settings() == Settings.model_validate({}) == load(None, {}).settings == loaded("").settings

    def test_secrets_stay_out_of_logs(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """Even where pydantic-settings is told to log what it merges."""
        configure("json", "debug")
        monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
        caplog.set_level("DEBUG")
        load(None, {"MIRROR_REGISTRIES": '{"ghcr.io": {"username": "me", "password": "hunter2"}}'})

        assert "hunter2" not in caplog.text


class TestRegistries:
    def test_aliases(self) -> None:
        """The longest match wins, and what it yields is looked up again."""
        settings = loaded(
            """
            [registries."ghcr.io"]
            alias = "harbor.example.com/ghcr"
            [registries."registry.k8s.io"]
            alias = "harbor.example.com/k8s"
            """
        ).settings

        for name, expected in (
            ("cr.l5d.io/linkerd/proxy", "harbor.example.com/ghcr/linkerd/proxy"),
            ("gcr.io/google_containers/pause", "harbor.example.com/k8s/pause"),
            ("gcr.io/other/pause", "gcr.io/other/pause"),
            ("prom/prometheus", "docker.io/prom/prometheus"),
        ):
            assert expected == str(settings.resolve(Repository.parse(name)))

    def test_a_built_in_alias_gives_way(self) -> None:
        """An entry of the operator's own stands in its place; Docker Hub's endpoint stays."""
        settings = loaded(
            """
            [registries."cr.l5d.io"]
            ca_file = "ca.pem"
            [registries."docker.io"]
            max_connections = 2
            """
        ).settings

        assert "cr.l5d.io/linkerd/proxy" == str(settings.resolve(Repository.parse("cr.l5d.io/linkerd/proxy")))
        assert "https://registry-1.docker.io" == settings.registry("docker.io").endpoint
        assert 2 == settings.registry("docker.io").max_connections

    def test_a_password_file_is_read_anew(self, tmp_path: Path) -> None:
        """A rotated secret needs no restart; one line's end is not part of it."""
        file = tmp_path / "secret"
        registry = Registry(username="u", password_file=file)
        read = []
        for password in ("first", "second"):
            file.write_text(f"{password}\n")
            credential = registry.credential()
            read.append(credential and credential[1].get_secret_value())

        assert ["first", "second"] == read

    def test_a_password_file_that_is_no_good(self, tmp_path: Path) -> None:
        """Absent or empty is an error that names it."""
        (tmp_path / "empty").write_text("\n")

        for name, reason in (("absent", "No such file"), ("empty", "is empty")):
            with pytest.raises(SettingsError, match=f"{name}.*{reason}|{name} {reason}"):
                Registry(username="u", password_file=tmp_path / name).credential()


class TestDescription:
    def test_sources_and_secrets(self) -> None:
        """Each value has its source; no secret is in it."""
        result = loaded(
            'charts = ["viz"]\nexclude = ["edge-26.8.1"]\n[registries."ghcr.io"]\nusername = "me"',
            {"MIRROR_REGISTRIES": '{"ghcr.io": {"password": "hunter2"}}', "MIRROR_OVERRIDES__PIN": "tag"},
        )

        keys = {key.key: (key.value, key.source) for key in result.describe()}
        assert (["viz"], "mirror.toml") == keys["charts"]
        assert (["edge-26.8.1"], "mirror.toml") == keys["exclude"]
        assert ("me", "mirror.toml") == keys['registries."ghcr.io".username']
        assert ("**********", "MIRROR_REGISTRIES") == keys['registries."ghcr.io".password']
        assert ("tag", "MIRROR_OVERRIDES__PIN") == keys["overrides.pin"]
        assert (["edge"], "default") == keys["releases"]
        assert ("ghcr.io", "default") == keys['registries."cr.l5d.io".alias']
        assert 'registries."cr.l5d.io".endpoint' not in keys
        assert "hunter2" not in repr(result) + json.dumps(keys)

    def test_schema(self) -> None:
        """It is closed, and offers no password for the file."""
        document = schema()

        assert set(Settings.model_fields) == set(document["properties"])
        assert document["additionalProperties"] is False
        registry: dict[str, Any] = document["$defs"]["Registry"]["properties"]
        assert "password" not in registry
        assert "password_file" in registry


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("0", 0), ("6h", 21600), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5), ("880µs", 0.00088), ("0s", 0)],
    )
    def test_read(self, text: str, seconds: float) -> None:
        """As Go reads them."""
        assert timedelta(seconds=seconds) == parse_duration(text)

    @pytest.mark.parametrize("text", ["", "6", "h", "-1h", "6d", "1h 30m", "1e3s", "9" * 400 + "h"])
    def test_refused(self, text: str) -> None:
        """What is no duration here is an error."""
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text)

    @given(st.integers(0, 10**9))
    def test_round_trip(self, seconds: int) -> None:
        """What is written is read back."""
        duration = timedelta(seconds=seconds)

        assert duration == parse_duration(format_duration(duration))

    @given(st.text(alphabet="0123456789.hmsµun-+ ", max_size=12))
    def test_never_anything_else(self, text: str) -> None:
        """Any text is a duration or a ValueError."""
        try:
            duration = parse_duration(text)
        except ValueError:
            return

        assert duration >= timedelta()
        assert re.fullmatch(r"[\d.hmsµun]+", text)
