"""The composition root: destinations by name or given, hosts that may be contacted, what is accepted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mirror.app import App, ConfiguredCredentials, parse_accepted
from mirror.cli.progress import QuietProgress
from mirror.destinations.ecr.access import Access
from mirror.destinations.ecr.credentials import CHALLENGE, EcrCredentials
from mirror.destinations.ecr.provider import EcrProvider
from mirror.destinations.ecr.registry import EcrRepository
from mirror.destinations.ecr.repositories import Wanted
from mirror.errors import RegistryError, UsageError
from mirror.http.proxies import Proxies
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository
from mirror.plan import Target
from mirror.settings import Settings
from tests.http.metering import Told
from tests.runs import only
from tests.servers.distribution import Distribution
from tests.servers.fake import Fault, becomes, cut
from tests.servers.loopback import Seen
from tests.servers.upstream import BASE, Upstream, upstream_server

A = Digest.of(b"A")
PRODUCTION = {"kind": "registry", "registry": "registry.example.com", "prefix": "l5d"}
DISK = {"kind": "layout", "directory": "out"}


def app(**document: Any) -> App:
    return App(Settings.model_validate(document), {}, Proxies())


class TestMirrors:
    @pytest.mark.parametrize(
        ("to", "name", "target", "pulled"),
        [
            (
                "registry.example.com/l5d",
                "registry.example.com-l5d",
                "registry.example.com/l5d/web:v1",
                "registry.example.com/l5d/web",
            ),
            ("registry.example.com", "registry.example.com", "registry.example.com/web:v1", "registry.example.com/web"),
            ("localhost:5000/a/b", "localhost-5000-a-b", "localhost:5000/a/b/web:v1", "localhost:5000/a/b/web"),
            ("oci:some/out", "oci-some-out", "oci:some/out:web:v1", "/web"),
        ],
    )
    def test_given(self, to: str, name: str, target: str, pulled: str) -> None:
        """Named for a folder; targets as a person writes them."""
        [mirror] = app().mirrors(to)

        assert name == mirror.name
        assert target == mirror.target(Target("web", "v1"))
        assert pulled == mirror.pull_name("web")

    def test_configured(self) -> None:
        """All of them without `--to`, one by its name."""
        made = app(destinations={"production": PRODUCTION, "disk": DISK})

        assert ["production", "disk"] == [mirror.name for mirror in made.mirrors()]
        assert ["disk"] == [mirror.name for mirror in made.mirrors("disk")]
        with pytest.raises(UsageError, match=r"production, disk.*--to"):
            made.mirror()

    def test_without_any(self) -> None:
        """A layout beside us."""
        assert ["oci:linkerd-mirror"] == [mirror.place for mirror in app().mirrors()]

    def test_the_name_that_clusters_pull_by(self) -> None:
        """Where it is configured, it is that."""
        pulled = app(destinations={"production": PRODUCTION | {"pull_registry": "pull.example.com/x"}})

        assert "pull.example.com/x/web" == pulled.mirror().pull_name("web")
        assert "registry.example.com/l5d/web" == app(destinations={"p": PRODUCTION}).mirror().pull_name("web")

    @pytest.mark.parametrize("to", ["nonsense", "oci:", "x.io/UPPER", "x.io/", "https://x.io/y", "a b.c/d", "-"])
    def test_nonsense(self, to: str) -> None:
        """The operator's input is wrong."""
        with pytest.raises(UsageError):
            app(destinations={"production": PRODUCTION}).mirrors(to)


class TestSource:
    @pytest.mark.parametrize(
        ("repository", "host", "path"),
        [
            ("cr.l5d.io/linkerd/proxy", "ghcr.io", "linkerd/proxy"),
            ("ghcr.io/linkerd/proxy", "ghcr.io", "linkerd/proxy"),
            ("docker.io/prom/prometheus", "docker.io", "prom/prometheus"),
            ("gcr.io/google_containers/pause", "registry.k8s.io", "pause"),
        ],
    )
    def test_where_it_really_is(self, repository: str, host: str, path: str) -> None:
        """Aliases applied."""
        found = app().source(Repository.parse(repository))

        assert f"{host}/{path}" == found.name

    @pytest.mark.parametrize("repository", ["evil.example.com/x/y", "127.0.0.1:80/x/y"])
    def test_a_host_that_only_a_chart_names(self, repository: str) -> None:
        """Not contacted, and what would allow it."""
        with pytest.raises(RegistryError, match=r"add \[registries\.\""):
            app().source(Repository.parse(repository))

    def test_a_host_that_the_configuration_names(self) -> None:
        """An entry, an alias, a destination."""
        made = app(
            registries={"a.example.com": {"max_connections": 2}, "b.example.com": {"alias": "c.example.com/proxy"}},
            destinations={"production": PRODUCTION},
        )

        assert "a.example.com/x/y" == made.source(Repository.parse("a.example.com/x/y")).name
        assert "c.example.com/proxy/x" == made.source(Repository.parse("b.example.com/x")).name
        assert "registry.example.com/x/y" == made.source(Repository.parse("registry.example.com/x/y")).name


class TestAccepted:
    def test_several(self) -> None:
        """By reference, as charts write it or with the host filled in."""
        text = [f"cr.l5d.io/linkerd/web:v1@{A}", f"prom/prometheus:v2@{A}"]

        assert {Reference.parse("cr.l5d.io/linkerd/web:v1"): A, Reference.parse("docker.io/prom/prometheus:v2"): A} == (
            parse_accepted(text)
        )

    @pytest.mark.parametrize("text", ["web", "web:v1", f"@{A}", "web:v1@", "web:v1@sha256:abc", f"web:v1@{A}@{A}"])
    def test_nonsense(self, text: str) -> None:
        """The operator's input is wrong."""
        with pytest.raises(UsageError):
            parse_accepted([text])


class TestEcr:
    HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

    def test_given(self) -> None:
        """By its host, with the defaults."""
        [mirror] = app().mirrors(f"{self.HOST}/linkerd")

        assert isinstance(mirror.provider, EcrProvider)
        assert ("explicit", Wanted()) == (mirror.provider.creation, mirror.provider.wanted)
        assert isinstance(mirror.repository("web"), EcrRepository)
        assert f"{self.HOST}/linkerd/web" == mirror.repository("web").name

    def test_configured(self, tmp_path: Path) -> None:
        """Every key arrives."""
        (tmp_path / "a.json").write_text('{"a": 1}')
        (tmp_path / "b.json").write_text('{"b": 2}')
        repository = {
            "tag_mutability": "MUTABLE",
            "encryption": "KMS",
            "kms_key": "alias/mine",
            "scan_on_push": True,
            "lifecycle_policy_file": str(tmp_path / "a.json"),
            "policy_file": str(tmp_path / "b.json"),
            "tags": {"team": "mesh"},
        }
        destination = {
            "kind": "ecr",
            "registry": self.HOST,
            "profile": "me",
            "role_arn": "arn:aws:iam::123456789012:role/mirror",
            "external_id": "x",
            "repository_creation": "never",
            "pull_registry": "123456789012.dkr-ecr.eu-west-1.on.aws",
            "repository": repository,
        }
        made = app(destinations={"aws": destination}, registries={self.HOST: {"ca_file": "/ca.pem"}})
        provider = made.mirror().provider

        assert isinstance(provider, EcrProvider)
        assert provider.wanted == Wanted(
            "MUTABLE", (), "KMS", "alias/mine", True, '{"a": 1}', '{"b": 2}', {"team": "mesh"}
        )
        assert ("aws", "never", "123456789012.dkr-ecr.eu-west-1.on.aws") == (
            provider.name, provider.creation, provider.pull_registry
        )  # fmt: skip
        assert Access("me", "arn:aws:iam::123456789012:role/mirror", "x") == provider.api.access
        assert "/ca.pem" == provider.api.ca_file

    def test_its_challenge_is_known(self) -> None:
        """As of no other registry."""
        assert CHALLENGE == app().registry(self.HOST).auth.challenge
        assert app().registry("ghcr.io").auth.challenge is None

    def test_as_a_source(self) -> None:
        """A pull-through cache of it has AWS's credential too."""
        made = app(registries={"ghcr.io": {"alias": f"{self.HOST}/ghcr"}})
        credentials = made.source(Repository.parse("ghcr.io/linkerd/proxy")).registry.auth.credentials

        assert isinstance(credentials, ConfiguredCredentials)
        assert isinstance(credentials.beside, EcrCredentials)


class TestMeter:
    def test_hosts(self) -> None:
        """Those that requests go to first: endpoints and chart repositories; a name that an alias replaces is none."""
        made = app(
            registries={
                "ghcr.io": {"alias": "proxy.example.com/ghcr"},
                "registry.k8s.io": {"endpoint": "https://k8s.example.com"},
            },
            destinations={"production": PRODUCTION, "local": PRODUCTION | {"registry": "localhost:5000"}},
        )

        assert {
            "helm.linkerd.io",
            "k8s.example.com",
            "localhost:5000",
            "proxy.example.com",
            "registry-1.docker.io",
            "registry.example.com",
        } == made.hosts()

    async def test_a_whole_run(self, open_distribution: Distribution, path: str) -> None:
        """Each request that upstream saw is told, and each body that broke off, which is read again."""
        told = Told()
        with upstream_server() as upstream:
            upstream.publish()
            upstream.registry.faults.append(Fault(f"GET .*/blobs/{Digest.of(BASE)}", becomes(cut(after=20_000))))
            destination = {"kind": "registry", "registry": open_distribution.host, "prefix": path}
            settings = upstream.settings(destinations={"here": destination}, overrides={"directory": ""})
            async with App(settings, {}, Proxies(), told) as made:
                report = await made.syncer(QuietProgress()).sync(made.selectors(()))
            expected = Counter((host, seen.method) for host, seen in _seen(upstream))

        hosts = {upstream.registry.host, upstream.charts.url.split("/")[2]}
        assert "synced" == report.outcome
        assert expected == Counter((host, method) for host, method, _ in told.answers if host in hosts)
        assert [(upstream.registry.host, "unreachable")] == [(host, reason) for host, reason, _ in told.retries]
        assert sum(image.size for image in only(report).images) <= told.went[open_distribution.host]


def _seen(upstream: Upstream) -> list[tuple[str, Seen]]:
    return [
        *((upstream.registry.host, seen) for seen in upstream.registry.requests),
        *((upstream.charts.url.split("/")[2], seen) for seen in upstream.charts.requests),
    ]
