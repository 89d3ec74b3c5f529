"""The image: built from the Dockerfile on a base of Debian's, and run as restricted as a cluster would run it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import botocore
import pytest

from mirror.demo.release import RELEASE
from tests.image.building import BASE, Buildah, Image, layers_total, pip_secrets
from tests.image.debian import debian
from tests.image.pod import Pod
from tests.program import PROJECT
from tests.servers.loopback import Handler, Response, serving
from tests.servers.tools import absent, require
from tests.servers.upstream import write_toml

# One worker builds it; from nothing that takes minutes, most of them debootstrap's.
pytestmark = [pytest.mark.xdist_group("image"), pytest.mark.timeout(600)]

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
REVISION = "0123456789abcdef0123456789abcdef01234567"
SIZE_MAX = 200_000_000
GRACE_S = 5

SERVICES = {"ecr", "sts", "sso", "sso-oidc", "signin"}
ASKS_AWS = """
import boto3
from botocore.exceptions import EndpointConnectionError
keys = dict(region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
print(*boto3.Session().get_available_services())
asked = dict(ecr="get_authorization_token", sts="get_caller_identity")
for service in ("ecr", "sts", "sso", "sso-oidc", "signin"):
    print(boto3.client(service, **keys).meta.endpoint_url)
for service, operation in asked.items():
    try:
        getattr(boto3.client(service, endpoint_url="http://127.0.0.1:1", **keys), operation)()
    except EndpointConnectionError:
        print(service, "was asked")
"""
DEMO_UPSTREAM = """
import json, sys
from mirror.demo.upstream import Upstream
with Upstream() as upstream:
    told = {"configuration": upstream.configuration, "key": upstream.release.public_key.decode()}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
"""
ASKS_UNTIL_READY = """
import sys, time, urllib.error, urllib.request
deadline = time.monotonic() + 60
while True:
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8080/readyz", timeout=5).read().decode())
        break
    except (OSError, urllib.error.HTTPError) as exc:
        if time.monotonic() > deadline:
            sys.exit(f"not ready: {exc}")
        time.sleep(0.1)
print(urllib.request.urlopen("http://127.0.0.1:8080/livez", timeout=5).read().decode())
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that is gone when the tests are: gigabytes would be kept otherwise."""
    if os.geteuid():
        absent("debootstrap, and an image's files as they are owned, need root")
    directory = tmp_path_factory.mktemp("image")
    yield directory
    unmount_below(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def buildah(scratch: Path) -> Buildah:
    """Buildah, with the base."""
    program = Buildah(require("buildah"), scratch / "storage")
    program.directory.mkdir()
    program.imported(debian(scratch))
    return program


@pytest.fixture(scope="module")
def helm_archive(scratch: Path) -> Iterator[dict[str, str]]:
    """The build arguments for an archive in the shape of Helm's own, of the Helm on PATH, on a mirror of one's own."""
    archive = scratch / "helm.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(require("helm"), arcname=f"linux-{ARCHITECTURE}/helm")
    digest = subprocess.run(["sha256sum", archive], capture_output=True, text=True, check=True).stdout.split()[0]

    class Archives(Handler):
        def respond(self) -> None:
            self.send(Response(200, {"Content-Type": "application/gzip"}, archive.read_bytes()))

    with serving(Archives) as address:
        yield {"HELM_ARCHIVE": f"http://{address}/helm.tar.gz", "HELM_SHA256": digest}


@pytest.fixture(scope="module")
def image(buildah: Buildah, helm_archive: dict[str, str], scratch: Path) -> Image:
    """The image, built as docs/image.md says."""
    name = "localhost/mirror"
    arguments = {**helm_archive, "VERSION": version("linkerd-mirror"), "REVISION": REVISION}
    built = buildah.of_dockerfile(*pip_secrets(scratch), f"--tag={name}", arguments=arguments)
    assert 0 == built.returncode, f"{built.stdout[-6000:]}{built.stderr[-6000:]}"
    buildah("push", name, f"oci:{scratch / 'layout'}:mirror")
    return Image(scratch / "layout", Path(buildah("mount", buildah("from", name).strip()).strip()))


@pytest.fixture(scope="module")
def pod(image: Image, scratch: Path) -> Pod:
    directory = scratch / "pod"
    directory.mkdir()
    return Pod(require("runc"), image, directory)


class TestBuild:
    def test_the_checksum_of_helm_is_reviewed(self) -> None:
        """For each architecture that is published, of the version that is fetched."""
        [fetched] = re.findall(r"^ARG HELM_VERSION=(.*)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
        lines = (PROJECT / "image" / "helm.sha256").read_text().splitlines()
        checksums = [line for line in lines if not line.startswith("#")]

        assert {f"helm-v{fetched}-linux-{each}.tar.gz" for each in ("amd64", "arm64")} == {
            line.split("  ")[1] for line in checksums
        }
        assert all(re.fullmatch(r"[0-9a-f]{64}  \S+", line) for line in checksums)

    def test_its_arguments_are_documented(self) -> None:
        """docs/image.md has each that an operator gives, with its default where that is short."""
        declared = re.findall(r"^ARG (\w+)=?(.*)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
        told = re.findall(
            r"^\| `([A-Z0-9_]+)` \| `?([^`|]*)`? \|", (PROJECT / "docs/image.md").read_text(), re.MULTILINE
        )

        assert {name for name, _ in declared} - {"TARGETARCH"} == {name for name, _ in told}
        assert {default for _, default in told} >= {dict(reversed(declared))[name] for name in ("BASE", "HELM_VERSION")}

    @pytest.mark.parametrize(
        "checksum", [pytest.param("0" * 64, id="another was given"), pytest.param("", id="ours, of the real archive")]
    )
    def test_another_archive_ends_it(self, checksum: str, buildah: Buildah, helm_archive: dict[str, str]) -> None:
        """What HELM_ARCHIVE gives is held to HELM_SHA256, and to image/helm.sha256 without one."""
        built = buildah.of_dockerfile("--target=helm", arguments={**helm_archive, "HELM_SHA256": checksum})

        assert 0 != built.returncode
        assert "archive.tar.gz: FAILED" in built.stdout
        assert "did NOT match" in built.stderr

    def test_the_services_of_aws_are_those_that_give_credentials(self) -> None:
        """A provider that a newer botocore brings needs its service in the Dockerfile's list."""
        sources = Path(botocore.__file__).parent
        asked = set[str]()
        for name in ("credentials.py", "tokens.py", "utils.py"):
            made = r"(?:client_creator|create_client|create_nested_client)\((?:self\._session,)?\s*['\"]([a-z0-9-]+)"
            asked |= set(re.findall(made, (sources / name).read_text()))

        assert SERVICES - {"ecr"} == asked


class TestWhatIsInIt:
    def test_its_size(self, image: Image, capsys: pytest.CaptureFixture[str]) -> None:
        """Under 200 MB to be pulled, the base included; a third of that is ours."""
        with capsys.disabled():
            print(f"\nimage, compressed: {layers_total(image.sizes)}")  # noqa: T201 - for who measures it, with -n 0

        assert sum(image.sizes) < SIZE_MAX
        assert sum(image.sizes[1:]) < SIZE_MAX / 3

    def test_its_configuration(self, image: Image) -> None:
        """Process 1 is mirror, under a number that is not root's; it says what it is."""
        settings = image.settings
        said = {name.rpartition(".")[2]: value for name, value in settings["Labels"].items() if ".image." in name}

        assert ["mirror"] == settings["Entrypoint"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", settings["User"])
        assert {"Cmd", "Healthcheck", "StopSignal"}.isdisjoint(settings)
        assert (version("linkerd-mirror"), REVISION, "Apache-2.0") == (
            said["version"],
            said["revision"],
            said["licenses"],
        )
        assert BASE == settings["Labels"]["org.opencontainers.image.base.name"]
        assert all(value.startswith("/tmp") for name, value in image.environ.items() if name.endswith("HOME"))

    def test_its_files_are_roots(self, image: Image) -> None:
        """Nobody else can change one, and none lends its owner's rights."""
        strangers, writable, lending = list[Path](), list[Path](), list[Path]()
        for path in files(image.root):
            about = path.lstat()
            if about.st_uid or (about.st_gid and path.is_relative_to(image.root / "opt")):
                strangers.append(path)
            if about.st_mode & stat.S_IWOTH and not path.is_symlink() and not about.st_mode & stat.S_ISVTX:
                writable.append(path)
            if about.st_mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(about.st_mode):
                lending.append(path)

        assert [] == strangers
        assert [] == writable
        assert [] == lending

    def test_what_is_not_in_it(self, image: Image) -> None:
        """Nothing that installs packages, nothing of the build or of the tests, no configuration of pip."""
        names = [str(path.relative_to(image.root)) for path in files(image.root)]

        assert [] == [name for name in names if re.search(r"/(pip|hatchling|ensurepip|pytest)(-[^/]*)?$", name)]
        assert [] == [name for name in names if name.startswith("opt/mirror/") and "/tests/" in name]
        assert [] == [name for name in names if re.search(r"(^|/)(\.git|pip\.conf|requirements.*\.lock)$", name)]
        programs = [name.removeprefix("opt/mirror/bin/") for name in names if name.startswith("opt/mirror/bin/")]
        assert ["mirror", "python"] == sorted(name for name in programs if not re.fullmatch(r"python3(\.\d+)?", name))

    def test_its_bytecode(self, image: Image) -> None:
        """Every module of mirror has it, and it is taken without a look at the source (PEP 552)."""
        [package] = image.root.glob("opt/mirror/lib/python3.*/site-packages/mirror")
        sources = {path.relative_to(package) for path in package.rglob("*.py")}
        compiled = list(package.rglob("*.pyc"))

        assert sources == {
            path.parent.parent.relative_to(package) / f"{path.name.partition('.')[0]}.py" for path in compiled
        }
        assert {1} == {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}


class TestRun:
    def test_mirror(self, pod: Pod) -> None:
        """It says its version."""
        done = pod.mirror("--version")

        assert (0, f"mirror {version('linkerd-mirror')}\n", "") == (done.returncode, done.stdout, done.stderr)

    def test_helm(self, pod: Pod) -> None:
        """The Helm that the archive held."""
        here = subprocess.run([require("helm"), "version", "--short"], capture_output=True, text=True, check=True)
        done = pod.run("helm", "version", "--short")

        assert (0, here.stdout) == (done.returncode, done.stdout)

    def test_it_can_write_to_tmp_alone(self, pod: Pod) -> None:
        """As whom it runs, and where."""
        script = 'id -u; id -g; touch x && pwd; for place in / /opt/mirror /var/tmp; do touch "$place/x"; done'
        done = pod.run("sh", "-c", script)

        assert ["12345", "0", "/tmp"] == done.stdout.splitlines()
        assert 3 == done.stderr.count("Read-only file system")

    def test_aws(self, pod: Pod) -> None:
        """boto3 has what ECR and every kind of credential need, and no other service."""
        done = pod.run("python", "-c", ASKS_AWS)

        assert 0 == done.returncode, done.stderr
        services, *told = done.stdout.splitlines()
        assert SERVICES == set(services.split())
        assert ["https://api.ecr.eu-west-1.amazonaws.com", "https://sts.eu-west-1.amazonaws.com"] == told[:2]
        assert ["ecr was asked", "sts was asked"] == told[-2:]

    def test_demo(self, pod: Pod) -> None:
        """The whole job, the proof by Helm included, without a network."""
        done = pod.mirror("demo")

        assert 0 == done.returncode, f"{done.stdout}{done.stderr}"
        assert ": proven" in done.stdout
        assert "not proven" not in done.stdout

    def test_serve(self, pod: Pod, scratch: Path) -> None:
        """As process 1 it answers, brings a mirror in step, and ends by SIGTERM: in time, and with 0."""
        with pod.started("python", "-c", DEMO_UPSTREAM) as upstream:
            assert upstream.process.stdout is not None
            told = json.loads(upstream.process.stdout.readline())
            mounted = configuration(scratch, told)
            command = [*pod.image.settings["Entrypoint"], "serve"]
            with pod.started(*command, mounts={mounted: "/etc/mirror"}, network=upstream.network) as service:
                service.wait_until_running()
                asked = service.asked("python", "-c", ASKS_UNTIL_READY)
                values = service.asked("ls", f"/tmp/overrides/demo/{RELEASE}")
                begin = time.monotonic()
                service.signal("TERM")
                _, log = service.process.communicate(timeout=30)
                took_s = time.monotonic() - begin

        assert (0, ["ok", "ok"]) == (asked.returncode, asked.stdout.split()), f"{asked.stderr}{log}"
        assert 0 == service.process.returncode, log
        assert took_s < GRACE_S
        assert "linkerd-control-plane.yaml" in values.stdout.split(), log
        assert "Traceback" not in log


def configuration(scratch: Path, told: dict[str, object]) -> Path:
    """A directory with what a ConfigMap would hold, for the upstream that has *told* where it is."""
    directory = scratch / "configuration"
    directory.mkdir()
    (directory / "cosign.pub").write_text(str(told["key"]))
    assert isinstance(told["configuration"], dict)
    document = {
        **told["configuration"],
        "policy": {"identities": [{"images": "ghcr.io/linkerd/*", "key": "/etc/mirror/cosign.pub"}]},
        "destinations": {
            "demo": {"kind": "layout", "directory": "/tmp/mirror", "pull_registry": "registry.example.com/linkerd"}
        },
        "overrides": {"directory": "/tmp/overrides"},
        "server": {"listen": "127.0.0.1:8080"},
    }
    write_toml(directory / "config.toml", document)
    return directory


def unmount_below(directory: Path) -> None:
    """Nothing is mounted below *directory*, not by a debootstrap or a buildah either that was interrupted."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((each for each in mounted if Path(each).is_relative_to(directory)), reverse=True):
        subprocess.run(["umount", place], check=True)


def files(root: Path) -> Iterator[Path]:
    """All that is below *root*, but what a runtime puts there."""
    for path in root.rglob("*"):
        if path.relative_to(root).parts[0] not in ("dev", "proc", "sys"):
            yield path
