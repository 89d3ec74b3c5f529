"""The tools that are measured: how each is called, and the configuration that it reads.

A command is a shell template. Its placeholders: {source} {destination} (HOST:PORT), {tag}, {references} (a file with
one NAME:TAG a line), {work} (a folder; also the tool's HOME).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.release import PREFIX, Inventory
from tests.servers.upstream import write_toml

MIRROR = (str(Path(sys.executable).with_name("mirror")),)
"""This checkout's program."""


@dataclass(frozen=True, slots=True)
class Bed:
    """Where things are in the bed, as bed.sh says; *ca* is a PEM file, or empty."""

    scheme: str
    ca: str
    source: str
    destination: str
    charts: str


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to call a program."""

    name: str
    program: str
    command: str
    plain: str = ""
    """What the command says beside over http, in the place of {plain}."""
    version: tuple[str, ...] = ("--version",)

    def line(self, bed: Bed, work: Path, tag: str) -> str:
        """The command for a shell."""
        values = {
            "plain": self.plain if bed.scheme == "http" else "",
            "source": bed.source,
            "destination": bed.destination,
            "tag": tag,
            "references": str(work / "references"),
            "work": str(work),
        }
        command = self.command
        for key, value in values.items():
            command = command.replace(f"{{{key}}}", value)
        return command

    def told_version(self) -> str:
        """The version that it says it is."""
        return version_of([self.program, *self.version])


def version_of(command: Sequence[str]) -> str:
    """The last word of the first line that *command* prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return (done.stdout.partition("\n")[0].split() or ["unknown"])[-1]


def _each(copy: str, *, transport: str = "") -> str:
    """*copy* once for each image, four at a time; *transport* is what it puts before a reference."""
    source, destination = (f"{transport}{{{end}}}/{PREFIX}/@" for end in ("source", "destination"))
    return f"xargs -P4 -I@ {copy} {source} {destination} < {{references}}"


OURS = Tool("mirror", MIRROR[0], f"{MIRROR[0]} --config {{work}}/mirror.toml sync {{tag}} --to bench -o json")
PEERS = (
    # As fast as it goes here: every image at once, sixteen requests at once to a registry (its default is three).
    Tool(
        "regsync-tuned",
        "regsync",
        "regsync once -v error -c {work}/regsync.json",
        version=("version", "--format", "{{.VCSTag}}"),
    ),
    Tool(
        "oras-xargs4",
        "oras",
        _each("oras cp --no-tty --concurrency 6 {plain}"),
        plain="--from-plain-http --to-plain-http",
        version=("version",),
    ),
    Tool(
        "crane-xargs4",
        "crane",
        _each("crane copy -j 8 {plain}"),
        plain="--insecure",
        version=("version",),
    ),
    Tool(
        "skopeo-xargs4",
        "skopeo",
        _each("skopeo --insecure-policy copy -q --all --preserve-digests {plain}", transport="docker://"),
        plain="--src-tls-verify=false --dest-tls-verify=false",
    ),
)
TOOLS = (OURS, *PEERS)


def chosen(names: Sequence[str]) -> list[Tool]:
    """Those of *names*, without names all, that are here; says how to get the others."""
    unknown = set(names) - {tool.name for tool in TOOLS}
    if unknown:
        raise SystemExit(f"no such tool: {', '.join(unknown)}; there are {', '.join(tool.name for tool in TOOLS)}")
    wanted = [tool for tool in TOOLS if not names or tool.name in names]
    for tool in wanted:
        if not shutil.which(tool.program):
            print(f"left out: {tool.program} is neither in BENCH_BIN nor on PATH; `make bench-tools` installs it")
    return [tool for tool in wanted if shutil.which(tool.program)]


def write_configuration(work: Path, bed: Bed, inventory: Inventory) -> None:
    """Everything that a tool reads to bring the destination in step with this release is in *work*."""
    work.mkdir(parents=True, exist_ok=True)
    images = [f"{name}:{inventory.tag}" for name in inventory.repositories]
    (work / "references").write_text("".join(f"{image}\n" for image in images))
    (work / "regsync.json").write_text(json.dumps(_regsync(bed, images)))
    write_toml(work / "mirror.toml", _mirror(bed, work))


def _regsync(bed: Bed, images: Sequence[str]) -> dict[str, Any]:
    tls = "enabled" if bed.ca else "disabled"
    hosts = (bed.source, bed.destination)
    return {
        "version": 1,
        "creds": [{"registry": host, "tls": tls, "reqConcurrent": 16} for host in hosts],
        "defaults": {"parallel": len(images)},
        "sync": [
            {
                "source": f"{bed.source}/{PREFIX}/{image}",
                "target": f"{bed.destination}/{PREFIX}/{image}",
                "type": "image",
            }
            for image in images
        ],
    }


def _mirror(bed: Bed, work: Path) -> dict[str, Any]:
    def registry(host: str) -> dict[str, str]:
        return {"endpoint": f"{bed.scheme}://{host}", "ca_file": bed.ca}

    return {
        "channels": {"edge": {"chart_repository": bed.charts}},
        "registries": {"ghcr.io": registry(bed.source), bed.destination: registry(bed.destination)},
        "destinations": {"bench": {"kind": "registry", "registry": bed.destination, "prefix": PREFIX}},
        "policy": {"signatures": "off", "referrers": "off"},
        "overrides": {"directory": str(work / "overrides")},
    }


def environment(work: Path, bed: Bed, tool: Tool) -> dict[str, str]:
    """What a tool sees: no proxy reaches into the bed, nothing of the caller's home, no Helm."""
    path = [each for each in os.environ["PATH"].split(os.pathsep) if not Path(each, "helm").exists()]
    # ours is given its CA by its configuration; the others, being Go, by SSL_CERT_FILE
    trust = {"SSL_CERT_FILE": bed.ca} if bed.ca and tool is not OURS else {}
    return {"PATH": os.pathsep.join(path), "HOME": str(work), "LC_ALL": "C.UTF-8", **trust}
