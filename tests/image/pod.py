"""A container as a kubelet would start it in a namespace that enforces the restricted Pod Security Standard.

Read-only root, a small /tmp, no capability, no new privileges, a user that /etc/passwd does not have in group 0 (as
OpenShift assigns them), and a network of loopback alone. Seccomp's default profile is a runtime's own, and left out.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.image.building import Image

UID = 12345
_CAPABILITIES = ("ambient", "bounding", "effective", "inheritable", "permitted")
_START_S = 30.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Running:
    """A container that was started; *process* is the runtime, which ends as the container does."""

    runc: tuple[str, ...]
    name: str
    process: subprocess.Popen[str]
    environ: Mapping[str, str]

    @property
    def network(self) -> str:
        """The path of its network namespace, for another container to join."""
        return f"/proc/{json.loads(_said(*self.runc, 'state', self.name))['pid']}/ns/net"

    def wait_until_running(self) -> None:
        """Returns once commands can be run in it."""
        deadline = time.monotonic() + _START_S
        while (state := _tried(*self.runc, "state", self.name)).returncode or '"running"' not in state.stdout:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, state
            time.sleep(_POLL_S)

    def asked(self, *command: str) -> subprocess.CompletedProcess[str]:
        """*command*, run in it too."""
        environ = [option for name, value in self.environ.items() for option in ("--env", f"{name}={value}")]
        return _tried(*self.runc, "exec", *environ, self.name, *command)

    def signal(self, name: str) -> None:
        _said(*self.runc, "kill", self.name, name)


@dataclass(slots=True)
class Pod:
    """Runs containers of *image* by runc at *path*; bundles and state are in *directory*."""

    path: str
    image: Image
    directory: Path
    _count: int = field(default=0, init=False)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """*command*, to its end, in a container of its own."""
        with self.started(*command) as running:
            out, err = running.process.communicate(timeout=90)
        return subprocess.CompletedProcess(command, running.process.returncode, out, err)

    def mirror(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What the image's entrypoint does with *arguments*."""
        return self.run(*self.image.settings["Entrypoint"], *arguments)

    @contextmanager
    def started(self, *command: str, mounts: Mapping[Path, str] | None = None, network: str = "") -> Iterator[Running]:
        """*command* as process 1; *mounts* are seen read-only; *network* is a namespace to join."""
        self._count += 1
        name = f"{self.directory.name}-{self._count}"
        bundle = self.directory / name
        bundle.mkdir()
        document = specification(self.image, command, mounts=mounts or {}, network=network)
        (bundle / "config.json").write_text(json.dumps(document))
        runc = (self.path, "--root", str(self.directory / "state"))
        process = subprocess.Popen(
            [*runc, "run", "--bundle", str(bundle), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield Running(runc, name, process, self.image.environ)
            finally:
                subprocess.run([*runc, "delete", "--force", name], capture_output=True, check=False)
                process.kill()


def specification(
    image: Image, command: Sequence[str], *, mounts: Mapping[Path, str], network: str = ""
) -> dict[str, Any]:
    """The runtime's configuration (runtime-spec v1.0.2, config.md)."""
    namespaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": UID, "gid": 0},
            "args": list(command),
            "env": image.settings["Env"],
            "cwd": image.settings["WorkingDir"],
            "capabilities": {kind: [] for kind in _CAPABILITIES},
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=64m"]},
            *(
                {"destination": inside, "type": "bind", "source": str(outside), "options": ["rbind", "ro"]}
                for outside, inside in mounts.items()
            ),
        ],
        "linux": {"namespaces": [*namespaces, {"type": "network"} | ({"path": network} if network else {})]},
    }


def _tried(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


def _said(*command: str) -> str:
    done = _tried(*command)
    assert 0 == done.returncode, done.stderr
    return done.stdout
