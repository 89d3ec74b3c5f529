"""`mirror config`: show, check, schema."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mirror.cli.main import run
from mirror.trust.keys import KeyPair
from tests.servers.certificates import Certificates


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


FILES = """
[registries."ghcr.io"]
ca_file = "noise"
[policy]
trusted_root = "absent.json"
identities = [{images = "a.b/*", key = "absent.pub"}, {images = "a.c/*", key = "noise"}]
[record]
sign_key_file = "noise"
verify_key_file = "noise"
[overrides.values]
linkerd-viz = ["absent.yaml"]
[destinations.aws]
kind = "ecr"
registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
repository = {lifecycle_policy_file = "absent.json", policy_file = "noise"}
"""


def test_check_reads_every_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each that is not there, or not what it is to be."""
    monkeypatch.delenv("MIRROR_REGISTRIES")
    Path("noise").write_text("noise")
    Path("mirror.toml").write_text(FILES)

    assert 2 == run(["config", "check"])
    wanted = [
        "ca_file 'noise' cannot be read as PEM certificates: ",
        "policy.identities: the key absent.pub cannot be read: No such file or directory",
        "policy.identities: the key noise is not a public key in PEM",
        "the trusted root absent.json cannot be read (No such file or directory)",
        "record.sign_key_file holds no private key",
        "record.verify_key_file is not a public key in PEM",
        "overrides.values: absent.yaml cannot be read: No such file or directory",
        "destinations.aws.repository.lifecycle_policy_file: absent.json cannot be read: No such file or directory",
        "destinations.aws.repository.policy_file: noise holds no policy",
    ]
    found = [line.removeprefix("mirror: ") for line in capsys.readouterr().err.splitlines()]
    assert wanted == [line[: len(words)] for line, words in zip(found, wanted, strict=True)]


def test_check_of_files_that_are_right(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    """No problem: of authorities, keys, values and policies."""
    monkeypatch.delenv("MIRROR_REGISTRIES")
    pair = KeyPair.generate()
    Path("private").write_bytes(pair.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for name in ("absent.pub", "public"):
        Path(name).write_bytes(pair.public_pem)
    for name in ("absent.json", "absent.yaml"):
        Path(name).write_text("{}")
    text = re.sub("trusted_root.*\n", "", FILES).replace('ca_file = "noise"', f'ca_file = "{certificates.authority}"')
    text = text.replace('sign_key_file = "noise"', 'sign_key_file = "private"')
    text = text.replace('policy_file = "noise"', 'policy_file = "absent.json"')
    Path("mirror.toml").write_text(text.replace('"noise"', '"public"'))

    assert 0 == run(["config", "check"])
    assert "mirror.toml: no problem\n" == capsys.readouterr().out


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON Schema, and nothing else."""
    assert 0 == run(["config", "schema"])

    assert "overrides" in json.loads(capsys.readouterr().out)["properties"]
