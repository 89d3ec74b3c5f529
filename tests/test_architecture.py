"""The import rules: dependencies point one way, each package has one owner, what is pure stays pure.

They are read from the sources, imports for type checkers and those inside of functions included.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((PROJECT / "mirror").rglob("*.py"))
}

# What a place may import, besides its own room. The longest name that fits a module decides; a room's name stands for
# all that is in it.
OCI_TYPES = ("oci.content", "oci.reference", "oci.manifest")
ENGINE = ("errors", "tasks", "oci", "linkerd", "destinations", "plan", "report", "findings", "record", "trust")
RULES: dict[str, tuple[str, ...]] = {
    "errors": (),
    "amounts": (),
    "loading": (),
    "logs": ("loading",),
    "durations": (),
    "lock": (),
    "schedule": (),
    "shard": ("errors",),
    "tasks": (),
    "http": ("errors", "durations", "loading", "tasks"),
    "oci": ("errors", "http", "lock", "tasks"),
    "linkerd": ("errors", *OCI_TYPES),
    "linkerd.chart": ("errors", "http", "tasks", *OCI_TYPES),
    "plan": ("errors", *OCI_TYPES),
    "report": ("errors", *OCI_TYPES, "plan", "trust.verdict", "shard"),
    "findings": (),
    "kubernetes": ("errors", "http", "findings", "report"),
    "kubernetes.names": (),
    "cluster": ENGINE,
    "cluster.running": ("errors", *OCI_TYPES, "linkerd.injection"),
    "retention": (*ENGINE, "cluster", "durations"),
    "retention.clearing": OCI_TYPES,
    "retention.policy": ("durations", "linkerd.release"),
    "difference": ENGINE,
    "difference.found": OCI_TYPES,
    "upgrade": ("errors", "tasks", "oci", "linkerd", "trust.policy"),
    "upgrade.changes": ("errors", *OCI_TYPES, "linkerd", "trust.policy"),
    "destinations": ("errors", "http", "oci", "plan", "findings", "tasks", "trust.seal"),
    "destinations.ecr.access": (),
    "destinations.ecr.host": (),
    "trust": ("errors", "http", "lock", "oci", "tasks"),
    "record": ("errors", "oci", "linkerd", "plan", "trust.seal", "trust.verdict"),
    "signatures": ("errors", "oci", "plan", "record", "trust"),
    "charts": ENGINE,
    "library": ENGINE,
    "inventory": (*ENGINE, "charts", "signatures", "shard"),
    "values": (*ENGINE, "inventory"),
    "verify": (*ENGINE, "inventory", "signatures"),
    "sync": (*ENGINE, "charts", "inventory", "signatures", "values", "verify"),
    "airgap": (*ENGINE, "http", "inventory", "library", "signatures", "sync"),
    "settings": (
        "errors",
        "durations",
        "oci.content",
        "oci.reference",
        "destinations.ecr.host",
        "kubernetes.names",
        "linkerd.release",
        "trust.policy",
        "schedule",
    ),
    "files": (*ENGINE, "http", "settings"),
    "app": (
        *ENGINE,
        "files",
        "http",
        "inventory",
        "signatures",
        "values",
        "verify",
        "sync",
        "cluster",
        "retention",
        "airgap",
        "doctor",
        "kubernetes",
        "settings",
        "shard",
    ),
    "demo": ("errors", *OCI_TYPES, "trust.keys"),
    "demo.walkthrough": (*ENGINE, "http", "inventory", "signatures", "values", "verify", "sync", "settings", "app"),
    "service": (*ENGINE, "amounts", "http", "logs", "schedule", "verify", "sync", "settings", "app"),
    "cli": (
        *ENGINE,
        "amounts",
        "upgrade",
        "inventory",
        "library",
        "values",
        "verify",
        "sync",
        "cluster",
        "difference",
        "retention",
        "airgap",
        "doctor",
        "settings",
        "files",
        "logs",
        "app",
        "demo",
        "service",
        "shard",
    ),
    "destinations.ecr.iam": ("destinations.ecr.host",),
    "destinations.ecr.refusals": ("errors",),
    "destinations.ecr.repositories": ("plan",),
    "doctor": (*ENGINE, "http", "durations", "inventory", "kubernetes", "signatures"),
    "doctor.diagnosis": ("errors", "durations", "findings", "oci.registry", "trust.verdict"),
    "__main__": ("cli",),
}

# Who may import a package that is not the standard library's.
OWNERS = {
    "apscheduler": "schedule",
    "boto3": "destinations.ecr.aws",
    "botocore": "destinations.ecr.aws",  # it comes with boto3, and has its exceptions
    "certifi": "http",
    "click": "cli",
    "cryptography": "trust",
    "httpx": "http",
    "jinja2": "service",
    "prometheus_client": "service",
    "pydantic": "settings",
    "pydantic_core": "settings",  # it comes with pydantic, whose documentation imports it so
    "pydantic_settings": "settings",
    "rfc8785": "trust",
    "rich": "cli",
    "sigstore": "trust",
    "starlette": "service",
    "structlog": "",  # everywhere but where it is pure: a logger is asked for where it is used; logs.py sets it up
    "tuf": "trust",
    "uvicorn": "service",
    "yaml": "linkerd",
}
DISTRIBUTIONS = {
    "botocore": "boto3",
    "prometheus_client": "prometheus-client",
    "pydantic_core": "pydantic",
    "pydantic_settings": "pydantic-settings",
    "yaml": "pyyaml",
}

UNIMPORTED = {"tzdata"}  # zoneinfo reads it where the system has no time zones

PURE = frozenset(
    {
        "amounts",
        "upgrade.changes",
        "retention.clearing",
        "difference.found",
        "destinations.ecr.access",
        "destinations.ecr.host",
        "destinations.ecr.iam",
        "destinations.ecr.refusals",
        "destinations.ecr.repositories",
        "doctor.diagnosis",
        "destinations.harbor.diagnosis",
        "destinations.harbor.doublestar",
        "destinations.harbor.project",
        "destinations.harbor.words",
        "durations",
        "errors",
        "findings",
        "kubernetes.config_maps",
        "kubernetes.names",
        "cluster.known",
        "oci.content",
        "oci.manifest",
        "oci.reference",
        "linkerd.documented",
        "linkerd.formats",
        "linkerd.holdings",
        "linkerd.images",
        "linkerd.injection",
        "linkerd.overrides",
        "linkerd.parts",
        "linkerd.path",
        "linkerd.release",
        "linkerd.rewrite",
        "linkerd.template",
        "plan",
        "report",
        "retention.policy",
        "cluster.running",
        "service.problems",
        "service.releases",
        "service.status",
        "shard",
        "trust.policy",
        "trust.verdict",
    }
)
OUTSIDE = frozenset(
    {
        "asyncio", "concurrent", "http", "mirror.http", "multiprocessing", "select", "selectors", "shutil", "socket",
        "ssl", "structlog", "subprocess", "tempfile", "threading", "urllib.request",
    }
)  # fmt: skip


def imports(module: str) -> set[str]:
    """Every module that *module* imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


def ours(module: str) -> set[str]:
    """The modules of ours that *module* imports, without the leading `mirror.`."""
    return {name.removeprefix("mirror.") for name in imports(module) if name.startswith("mirror.")}


def third_party(module: str) -> set[str]:
    """The packages that *module* imports which are neither ours nor the standard library's."""
    return {name.partition(".")[0] for name in imports(module)} - sys.stdlib_module_names - {"mirror"}


def is_in(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.") or not place


def room(name: str) -> str:
    return name.partition(".")[0]


def rule(name: str) -> tuple[str, ...]:
    return RULES[max((place for place in RULES if is_in(name, place)), key=len)]


every_module = pytest.mark.parametrize("module", [name for name in MODULES if name != "mirror"])


def test_the_rules_have_an_order() -> None:
    """No room depends on itself by way of another."""
    graph: dict[str, set[str]] = {}
    for place, allowed in RULES.items():
        graph.setdefault(room(place), set()).update({room(other) for other in allowed} - {room(place)})

    assert set(graph) == set(TopologicalSorter(graph).static_order())


@every_module
def test_a_module_is_in_a_room(module: str) -> None:
    """A new room needs a rule."""
    assert room(module.removeprefix("mirror.")) in RULES


@every_module
def test_dependencies_point_one_way(module: str) -> None:
    """A module imports its own room and what the table allows."""
    name = module.removeprefix("mirror.")
    allowed = (room(name), *rule(name))

    wrong = {other for other in ours(module) if not any(is_in(other, place) for place in allowed)}
    assert set() == wrong


@every_module
def test_packages_have_one_owner(module: str) -> None:
    """A package from outside is imported where it belongs, and nowhere else."""
    name = module.removeprefix("mirror.")

    wrong = {package for package in third_party(module) if not is_in(name, OWNERS.get(package, "(nobody)"))}
    assert set() == wrong


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_stay_pure(name: str) -> None:
    """What decides does not reach outside: no network, no processes, no threads, no log."""
    found = imports(f"mirror.{name}")

    assert set() == {other for other in found for outside in OUTSIDE if is_in(other, outside)}


def test_what_is_declared_is_what_is_imported() -> None:
    """pyproject.toml names the packages that have an owner, and each of them is used."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in declared}
    used = {package for module in MODULES for package in third_party(module)}

    assert {DISTRIBUTIONS.get(package, package) for package in OWNERS} == names - UNIMPORTED
    assert {DISTRIBUTIONS.get(package, package) for package in used} == names - UNIMPORTED
