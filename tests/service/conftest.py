"""The loop at work in this process: an upstream, a layout as destination, a configuration in a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mirror import settings
from mirror.app import App
from mirror.http.proxies import Proxies
from mirror.service.configuration import Configuration
from mirror.service.ledger import Ledger, Run
from mirror.service.loop import Loop, Report
from mirror.settings import Settings
from tests.servers.upstream import Upstream, upstream_server, write_toml
from tests.waiting import until


@dataclass(slots=True)
class Seat:
    """Where a loop works, and what is seen of it; it is an observer of its runs."""

    directory: Path
    upstream: Upstream
    ended: list[tuple[Run, Report | None]] = field(default_factory=list)
    open_apps: int = 0
    most_apps: int = 0
    breaks: list[Exception] = field(default_factory=list)
    """What the next runs break with."""

    def run_ended(self, run: Run, report: Report | None) -> None:
        """See Observer."""
        self.ended.append((run, report))

    @property
    def outcomes(self) -> list[tuple[str, str, str | None]]:
        """Of the runs that ended: what, why, how."""
        return [(run.work, run.why, run.outcome) for run, _ in self.ended]

    async def runs(self, count: int) -> Run:
        """The *count*-th run, once it has ended."""
        await until(lambda: len(self.ended) >= count)
        return self.ended[count - 1][0]

    def configure(self, **tables: Any) -> None:
        """The file puts the upstream in the place of the real one, and runs far apart."""
        schedule = {"every": "100h", "jitter": "0s", "deep_verify": "0s"} | tables.pop("schedule", {})
        layout = {"kind": "layout", "directory": str(self.directory / "mirror")}
        document = {"destinations": {"test": layout}, "overrides": {"directory": ""}, **tables}
        write_toml(self.directory / "mirror.toml", self.upstream.document(schedule=schedule, **document))

    def loop(self) -> Loop:
        """A loop by the configuration of now."""
        ledger = Ledger()

        def load() -> settings.Loaded:
            return settings.load(self.directory / "mirror.toml", {})

        return Loop(Configuration(load, load(), ledger), ledger, self.open_app, [self])

    @asynccontextmanager
    async def _counted(self, app: App) -> AsyncIterator[App]:
        self.open_apps += 1
        self.most_apps = max(self.most_apps, self.open_apps)
        try:
            async with app:
                yield app
        finally:
            self.open_apps -= 1

    def open_app(self, of: Settings) -> Any:
        """What a loop is given to open."""
        if self.breaks:
            raise self.breaks.pop(0)
        return self._counted(App(of, {}, Proxies()))

    @asynccontextmanager
    async def working(self, **tables: Any) -> AsyncIterator[Loop]:
        """A loop that works."""
        self.configure(**tables)
        loop = self.loop()
        task = asyncio.create_task(loop.run())
        try:
            yield loop
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream with one release."""
    with upstream_server() as running:
        running.publish()
        yield running


@pytest.fixture
def seat(tmp_path: Path, upstream: Upstream) -> Seat:
    """A place of the test's own."""
    return Seat(tmp_path, upstream)
