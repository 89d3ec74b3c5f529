"""What tests of Harbor share: a project with a robot, an upstream, and settings from one into the other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mirror.settings import Settings
from tests.servers.harbor_state import Harbor, Project, Robot
from tests.servers.upstream import Upstream, upstream_server


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def name() -> str:
    """Of a project that no other test uses."""
    return f"p{uuid.uuid4().hex}"


@dataclass(slots=True)
class Site:
    """A Harbor, the account that we have there, and the project that we are to write to."""

    harbor: Harbor
    upstream: Upstream
    robot: Robot
    name: str
    """Of the project, be it there or not."""
    overrides: Path

    @property
    def project(self) -> Project:
        return self.harbor.projects[self.name]

    def document(self, *, registry: dict[str, Any] | None = None, **destination: Any) -> dict[str, Any]:
        """The tables of a configuration that mirrors there, with *destination*'s keys and *registry*'s for the host."""
        where = {"kind": "harbor", "registry": self.harbor.host, "prefix": f"{self.name}/l5d", **destination}
        access = {
            "endpoint": self.harbor.url,
            "username": self.harbor.username(self.robot),
            "password": self.robot.secret,
            **(registry or {}),
        }
        return {
            "destinations": {"test": where},
            "registries": {self.harbor.host: access},
            "overrides": {"directory": str(self.overrides)},
        }

    def settings(self, *, registry: dict[str, Any] | None = None, **destination: Any) -> Settings:
        """`document` with the upstream's."""
        return self.upstream.settings(**self.document(registry=registry, **destination))

    def tags(self) -> dict[str, str]:
        """`NAME:TAG` of all that the project holds, signatures left out, and the digests."""
        start = f"{self.name}/l5d/"
        return {
            f"{repository.removeprefix(start)}:{tag}": digest
            for repository, tags in self.project.tags.items()
            for tag, digest in tags.items()
            if not tag.startswith("sha256-")
        }

    def writes(self) -> list[str]:
        """What was asked that changes something."""
        return [str(seen) for seen in self.harbor.asked("(POST|PUT|PATCH|DELETE) .*")]


@pytest.fixture
def site(harbor_server: Harbor, upstream: Upstream, name: str, tmp_path: Path) -> Site:
    """With a project, and a robot of it that may pull and push."""
    harbor_server.add_project(name)
    robot = harbor_server.add_robot(f"{name}+mirror")
    return Site(harbor_server, upstream, robot, name, tmp_path / "overrides")
