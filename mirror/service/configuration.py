"""The configuration that holds, and its replacement: an invalid one is refused, and the old one stays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from mirror.errors import SettingsError
from mirror.service.ledger import ConfigurationState, Ledger
from mirror.settings import Loaded, Settings

log = structlog.get_logger()


@dataclass(slots=True)
class Configuration:
    """What *load* gave when it last gave something valid."""

    load: Callable[[], Loaded]
    loaded: Loaded
    ledger: Ledger
    _listens: str = field(init=False)

    def __post_init__(self) -> None:
        self._listens = self.settings.server.listen
        self._tell()

    @property
    def settings(self) -> Settings:
        """Those that hold."""
        return self.loaded.settings

    def reload(self) -> bool:
        """Whether what is on disk and in the environment now is valid; then it holds, else what held goes on to."""
        try:
            loaded = self.load()
        except SettingsError as exc:
            log.error("service.configuration_refused", reason=str(exc))  # noqa: TRY400 - the reason is all of it
            self.ledger.configuration = replace(self.ledger.configuration, problem=str(exc))
            return False
        for warning in loaded.warnings:
            log.warning("settings.variable_ignored", reason=warning)
        self.loaded = loaded
        if self._restart:
            log.warning("service.restart_needed", reason=self._restart)
        self._tell()
        log.info("service.configuration_loaded", path=str(loaded.path or ""), digest=self.ledger.configuration.digest)
        return True

    @property
    def _restart(self) -> str:
        """What holds only after a restart, in words; empty for nothing."""
        wanted = self.settings.server.listen
        if wanted == self._listens:
            return ""
        return f"server.listen is {wanted} now, which holds after a restart: until then it is {self._listens}"

    def _tell(self) -> None:
        held = [[each.key, each.value] for each in self.loaded.describe()]
        self.ledger.configuration = ConfigurationState(
            path=str(self.loaded.path or ""),
            digest=hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:12],
            loaded_at=datetime.now(UTC),
            warnings=(*self.loaded.warnings, *filter(None, [self._restart])),
        )
        self.ledger.stuck_after = self.settings.schedule.stuck_after
