"""`mirror config`: show, check, schema."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from mirror.cli.main import run


@pytest.fixture(autouse=True)
def _configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file with a host that has a password, in the environment."""
    for variable in [name for name in os.environ if name.startswith("MIRROR_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    Path("mirror.toml").write_text('[registries."ghcr.io"]\nusername = "me"\n')
    monkeypatch.setenv("MIRROR_REGISTRIES", '{"ghcr.io": {"password": "hunter2"}}')


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    """Every key with its source, and no secret."""
    assert 0 == run(["config", "show"])

    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert ['"me"', "mirror.toml"] == rows['registries."ghcr.io".username']
    assert ['"**********"', "MIRROR_REGISTRIES"] == rows['registries."ghcr.io".password']
    assert ['"digest"', "default"] == rows["overrides.pin"]
    assert "hunter2" not in out


def test_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for scripts."""
    assert 0 == run(["config", "show", "-o", "json"])

    document = json.loads(capsys.readouterr().out)
    assert (1, "mirror.toml", []) == (document["schema"], document["file"], document["warnings"])
    assert {"key": "releases", "value": ["edge"], "source": "default"} in document["keys"]
    assert "hunter2" not in json.dumps(document)


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    """A file without a problem is exit code 0."""
    assert 0 == run(["config", "check"])

    assert "mirror.toml: no problem\n" == capsys.readouterr().out


def test_check_finds_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each problem, exit code 2."""
    Path("mirror.toml").write_text('pin = "tag"\n[policy]\nmoved_tags = "x"\n')

    assert 2 == run(["config", "check"])
    assert [
        'mirror: mirror.toml: policy.moved_tags is "x": expected "refuse" or "follow"',
        "mirror: mirror.toml: unknown key pin; did you mean overrides.pin?",
    ] == sorted(line for line in capsys.readouterr().err.splitlines() if "MIRROR_REGISTRIES" not in line)


def test_check_finds_what_no_run_could_ask_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel that there is not, and what is no release: each by its key; a channel of one's own is one."""
    monkeypatch.delenv("MIRROR_REGISTRIES")
    Path("mirror.toml").write_text(
        'releases = ["edgee", "edge:x", "edge:2", "2.19", "edge-26.8.1", "night"]\n'
        'exclude = ["edge-26", "edge-26.8.1"]\n'
        '[channels.night]\nchart_repository = "https://charts.example.com"\n'
        '[retention]\nalways = ["latest", "stable"]\nkeep_paths_from = ["26.8.1"]\n'
    )

    assert 2 == run(["config", "check"])
    assert [
        "releases: 'edgee' is not a channel",
        "releases: 'edge:x' is not a release",
        "exclude: 'edge-26' is not a release",
        "retention.always: 'latest' is not a channel",
        "retention.keep_paths_from: '26.8.1' is not a release",
    ] == re.findall(r"^mirror: mirror.toml: (.* is not a \w+)", capsys.readouterr().err, re.MULTILINE)


def test_check_reads_password_files(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there is found now and not at night."""
    monkeypatch.delenv("MIRROR_REGISTRIES")
    Path("mirror.toml").write_text('[registries."ghcr.io"]\nusername = "me"\npassword_file = "absent"\n')

    assert 2 == run(["config", "check"])
    assert "mirror: password_file absent cannot be read: No such file or directory\n" == capsys.readouterr().err


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON Schema, and nothing else."""
    assert 0 == run(["config", "schema"])

    assert "overrides" in json.loads(capsys.readouterr().out)["properties"]
