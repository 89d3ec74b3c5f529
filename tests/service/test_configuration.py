"""The configuration that holds."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from structlog.testing import capture_logs

from mirror import settings
from mirror.service.configuration import Configuration
from mirror.service.ledger import Ledger


def configuration(directory: Path, text: str) -> Configuration:
    """That of a file with *text*."""
    file = directory / "mirror.toml"
    file.write_text(text)
    return Configuration(lambda: settings.load(file, {}), settings.load(file, {}), Ledger())


def test_a_valid_one(tmp_path: Path) -> None:
    """It holds from then on, and the ledger says which it is."""
    held = configuration(tmp_path, 'releases = ["edge"]\n')
    before = held.ledger.configuration
    (tmp_path / "mirror.toml").write_text('releases = ["edge:3"]\n[schedule]\nstuck_after = "1m"\n')
    is_valid = held.reload()
    after = held.ledger.configuration

    assert is_valid
    assert ("edge:3",) == held.settings.releases
    assert timedelta(minutes=1) == held.ledger.stuck_after
    assert (str(tmp_path / "mirror.toml"), "") == (after.path, after.problem)
    assert before.digest != after.digest


def test_one_that_is_refused(tmp_path: Path) -> None:
    """The old one holds, destinations and all; the ledger says why, until one is valid again."""
    old = '[destinations.old]\nkind = "layout"\ndirectory = "old"\n'
    held = configuration(tmp_path, old)
    before = held.ledger.configuration
    (tmp_path / "mirror.toml").write_text('[destinations.new]\nkind = "layuot"\ndirectory = "new"\n')
    with capture_logs() as logs:
        is_valid = held.reload()
    refused = held.ledger.configuration
    (tmp_path / "mirror.toml").write_text(old)

    assert not is_valid
    assert ["old"] == list(held.settings.destinations)
    assert 'destinations.new.kind is "layuot"' in refused.problem
    assert (before.digest, before.loaded_at) == (refused.digest, refused.loaded_at)
    assert [("service.configuration_refused", "error")] == [(each["event"], each["log_level"]) for each in logs]
    assert held.reload()
    assert "" == held.ledger.configuration.problem


def test_another_address(tmp_path: Path) -> None:
    """It needs a restart, which is said as long as it is so; all else of that configuration holds."""
    held = configuration(tmp_path, "")
    (tmp_path / "mirror.toml").write_text('releases = ["stable"]\n[server]\nlisten = "127.0.0.1:9999"\n')
    warnings = []
    with capture_logs() as logs:
        for _ in range(2):
            held.reload()
            warnings.append(held.ledger.configuration.warnings)
    (tmp_path / "mirror.toml").write_text("")
    held.reload()

    words = "server.listen is 127.0.0.1:9999 now, which holds after a restart: until then it is 127.0.0.1:8080"
    assert [(words,), (words,)] == warnings
    assert [words, words] == [each["reason"] for each in logs if each["event"] == "service.restart_needed"]
    assert () == held.ledger.configuration.warnings
