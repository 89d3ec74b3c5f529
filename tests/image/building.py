"""Buildah, with a storage of its own, building the Dockerfile of this project as an operator would."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.program import PROJECT

BASE = "localhost/base"
_CA = "/run/secrets/ca"
_LIMIT_S = 500


@dataclass(frozen=True, slots=True)
class Buildah:
    """The program at *path*, which keeps everything in *directory*."""

    path: str
    directory: Path

    def __call__(self, *arguments: str) -> str:
        """What it prints; fails the test with what it said where it fails."""
        done = self.tried(*arguments)
        assert 0 == done.returncode, f"{done.args}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        storage = (f"--root={self.directory / 'root'}", f"--runroot={self.directory / 'run'}")
        defaults = self.directory / "storage.conf"
        defaults.touch()  # empty: overlay where the file system can, else vfs
        return subprocess.run(
            [self.path, *storage, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
            cwd=PROJECT,
            env={
                **os.environ,
                "BUILDAH_ISOLATION": "chroot",
                "CONTAINERS_STORAGE_CONF": str(defaults),
                "TMPDIR": str(self.directory),
            },
        )

    def imported(self, archive: Path) -> None:
        """The image BASE holds the file system in *archive*."""
        (self.directory / "Dockerfile").write_text(f"FROM scratch\nADD {archive.name} /\n")
        self("build", "--tag", BASE, "--file", str(self.directory / "Dockerfile"), str(archive.parent))

    def of_dockerfile(self, *options: str, arguments: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """A build of the project's Dockerfile on BASE with *arguments*."""
        given = [f"--build-arg={name}={value}" for name, value in {"BASE": BASE, **arguments}.items()]
        return self.tried("build", *given, *options, ".")


@dataclass(frozen=True, slots=True)
class Image:
    """What was built: as it would be pushed, and as a node would unpack it."""

    layout: Path
    """An OCI image layout that holds nothing else."""
    root: Path
    """Its file system."""

    @property
    def manifest(self) -> dict[str, Any]:
        [entry] = json.loads((self.layout / "index.json").read_text())["manifests"]
        return self._blob(entry["digest"])

    @property
    def settings(self) -> dict[str, Any]:
        """`config` of its configuration (image-spec v1.1, config.md)."""
        settings: dict[str, Any] = self._blob(self.manifest["config"]["digest"])["config"]
        return settings

    @property
    def sizes(self) -> list[int]:
        """Of its layers, as they are pulled."""
        return [layer["size"] for layer in self.manifest["layers"]]

    @property
    def environ(self) -> dict[str, str]:
        return dict(each.split("=", 1) for each in self.settings["Env"])

    def _blob(self, digest: str) -> dict[str, Any]:
        blob: dict[str, Any] = json.loads((self.layout / "blobs" / digest.replace(":", "/")).read_text())
        return blob


def pip_secrets(directory: Path) -> list[str]:
    """Options that give a build this machine's configuration of pip, as docs/image.md says; nothing of it stays."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = dict(_setting(line) for line in listed.stdout.splitlines())
    options = list[str]()
    if authorities := settings.pop("cert", ""):
        options.append(f"--secret=id=ca,src={authorities}")
        settings["cert"] = _CA
    if Path(wheels := settings.get("find-links", "")).is_dir() and wheels:
        options.append(f"--volume={wheels}:{wheels}:ro")
    file = directory / "pip.conf"
    file.write_text("\n".join(["[global]", *(f"{name} = {_value(value)}" for name, value in settings.items())]))
    return [*options, f"--secret=id=pip,src={file}"]


def _setting(line: str) -> tuple[str, str]:
    """Of `global.index-url='https://…'`, or of `:env:.index-url=…`, which pip lists later, since it counts more."""
    name, _, value = line.partition("=")
    return name.rpartition(".")[2], str(ast.literal_eval(value))


def _value(value: str) -> str:
    return "\n    ".join(value.splitlines())


def layers_total(sizes: Sequence[int]) -> str:
    return " + ".join(f"{size / 1e6:.1f}" for size in sizes) + f" = {sum(sizes) / 1e6:.1f} MB"
