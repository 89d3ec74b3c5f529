"""The configuration: what values say under `config` is what mirror reads."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from mirror.settings import load
from tests.chart.everything import EVERYTHING
from tests.chart.render import DESTINATION, Refused, manifests, of_kind, pod_templates, rendered

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"


def config_toml(values: dict[str, Any], *options: str) -> str:
    """The configuration that *values* make."""
    (text,) = [
        manifest["data"]["config.toml"]
        for manifest in manifests(values, *options)
        if manifest["kind"] == "ConfigMap" and "config.toml" in manifest.get("data", {})
    ]
    return text


def test_every_key(tmp_path: Path) -> None:
    """Every key there is arrives as what it was."""
    path = tmp_path / "config.toml"
    path.write_text(config_toml({"config": tomllib.loads(EXAMPLE.read_text())}))

    assert load(EXAMPLE, {}).settings == load(path, {}).settings


def test_the_default(tmp_path: Path) -> None:
    """It is valid, listens at every address of the pod, and writes no files."""
    path = tmp_path / "config.toml"
    path.write_text(config_toml({}))
    loaded = load(path, {}).settings

    assert ("::", 8080) == loaded.server.address
    assert loaded.overrides.directory is None


@pytest.mark.parametrize("existing", ["", "mine"])
def test_credentials(existing: str, tmp_path: Path) -> None:
    """A Secret becomes password_file, where it is mounted; a username that is in it comes by the environment.

    That holds for a ConfigMap of one's own, too, whether it names the registry or not.
    """
    found = manifests({**EVERYTHING, "existingConfigMap": existing})
    pod = of_kind("Deployment", found)["spec"]["template"]["spec"]
    (container,) = pod["containers"][:1]
    environ = {
        each["name"]: each.get("value", "from-secret")
        for each in container["env"]
        if each["name"].startswith("MIRROR_")
    }
    (volume,) = [each["projected"] for each in pod["volumes"] if each["name"] == "credentials"]
    (mount,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "credentials"]
    mounted = {f"{mount}/{item['path']}" for source in volume["sources"] for item in source["secret"]["items"]}
    own = 'releases = ["edge"]\n[registries."ghcr.io"]\nmax_connections = 8\n'
    path = tmp_path / "config.toml"
    path.write_text(own if existing else config_toml(EVERYTHING))
    loaded = load(path, environ)
    registries = loaded.settings.registries

    assert () == loaded.warnings
    assert "from-secret" == registries["ghcr.io"].username
    assert 8 == registries["ghcr.io"].max_connections
    assert "robot$mirror" == registries["registry.example.com:5000"].username
    assert mounted == {str(each.password_file) for each in registries.values() if each.password_file}


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"config": {"registries": {"ghcr.io": {"username": "me", "password": "correct-horse"}}}}, "'password'"),
        ({"registryCredentials": {"ghcr.io": {"existingSecret": "x", "password": "correct-horse"}}}, "'password'"),
        ({"proxy": {"httpsProxy": "http://me:correct-horse@proxy.example.com"}}, "/proxy/httpsProxy"),
    ],
)
def test_passwords_are_refused(values: dict[str, Any], where: str) -> None:
    """There is no value that a password could be in, and so none in what is rendered."""
    with pytest.raises(Refused, match=where):
        rendered(values)


def test_a_change_rolls() -> None:
    """Pods are made anew when the configuration changes, and not when only the chart's labels do."""

    def checksum(**values: Any) -> str:
        ((_, pod), *_) = pod_templates(manifests(values))
        found: str = pod["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum() != checksum(config={"releases": ["stable"]})
    assert checksum() != checksum(configFiles={"cosign.pub": "x"})
    assert checksum() == checksum(commonLabels={"team": "x"})


def test_a_configmap_that_exists() -> None:
    """It is mounted, and none is made."""
    found = manifests({"existingConfigMap": "mine", "config": {"destinations": {"x": DESTINATION}}})
    volumes = of_kind("Deployment", found)["spec"]["template"]["spec"]["volumes"]

    assert [] == [each for each in found if each["kind"] == "ConfigMap"]
    assert {"name": "config", "configMap": {"name": "mine"}} in volumes


def test_null_in_a_list() -> None:
    """It cannot be said in TOML, and is refused in words."""
    with pytest.raises(Refused, match="config: a list holds null"):
        rendered({"config": {"releases": [None]}}, "--skip-schema-validation")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# what Helm makes of numbers is a float64 (or, of --set, an int64): beyond 2**53 whole numbers are not told apart
SCALARS = st.one_of(TEXT, st.booleans(), st.integers(-(2**53), 2**53), st.floats(-(2.0**53), 2.0**53, allow_nan=False))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=8
)
TABLES = st.dictionaries(TEXT, VALUES | st.none(), min_size=1, max_size=8)


def without_nulls(value: Any) -> Any:
    """*value* as TOML can say it."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return value


# every example is a run of Helm: many tables in each, and none to make a failure smaller
@settings(
    max_examples=5,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(cases=st.lists(TABLES, min_size=20, max_size=40))
def test_whatever_values_hold(cases: list[dict[str, Any]]) -> None:
    """Any table arrives as it was, whatever its keys, texts and numbers are; what is null is left out."""
    config = {f"case-{number}": case for number, case in enumerate(cases)}
    read = tomllib.loads(config_toml({"config": config}, "--skip-schema-validation"))

    assert without_nulls(config) == {key: table for key, table in read.items() if key.startswith("case-")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x7f",
        "\x80\x85\x9f",
        "\u2028\u2029",
        "\ufeff",
        "\ufffe\uffff",
        "\U0001f600",
        '"\\\n\t\x00',
        "{{ .x }}",
        "n",
    ],
)
def test_sharp_texts(text: str) -> None:
    """What TOML, YAML or Helm has a meaning for is text here."""
    read = tomllib.loads(config_toml({"config": {"x": {text: [text]}}}, "--skip-schema-validation"))

    assert {text: [text]} == read["x"]


@pytest.mark.parametrize("number", [0, 16, 1_000_000, 1_000_000_000_000, 2**53, -1, 0.5, 1e-7])
def test_numbers(number: float) -> None:
    """A whole number stays one, however large: Helm has floats of them."""
    read = tomllib.loads(config_toml({"config": {"x": number}}, "--skip-schema-validation"))

    assert number == read["x"]
    assert type(number) is type(read["x"])
