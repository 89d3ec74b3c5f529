"""Logs: what is secret does not get through."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from mirror.logs import Format, configure, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@ghcr.io/v2/", "https://***@ghcr.io/v2/"),
        ("https://s3/x?X-Amz-Signature=abc&X-Amz-Date=1&part=2", "https://s3/x?X-Amz-Signature=***&X-Amz-Date=***&part=2"),
        ("https://blob/x?se=2026&sig=a%2Fb", "https://blob/x?se=2026&sig=***"),
        ("https://a/token?service=ghcr.io&access_token=x", "https://a/token?service=ghcr.io&access_token=***"),
        ("Authorization: Bearer eyJhbGciOi.x-y_z", "Authorization: Bearer ***"),
        ("authorization=Basic bWU6cHc=", "authorization=Basic ***"),
        ('Bearer realm="https://ghcr.io/token"', 'Bearer realm="https://ghcr.io/token"'),
        ("ghcr.io/linkerd/proxy:edge-26.8.3@sha256:abc", "ghcr.io/linkerd/proxy:edge-26.8.3@sha256:abc"),
    ],
)  # fmt: skip
def test_redact(text: str, expected: str) -> None:
    """Userinfo, signed queries and credentials go; the rest stays."""
    assert expected == redact(text)


def test_an_event_has_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """By key at any depth, by shape anywhere, in tracebacks too."""
    configure("auto", "debug")
    log = structlog.get_logger()
    log.error(
        "copy.failed",
        password="hunter2",
        headers={"Authorization": "Bearer hunter2hunter2", "Accept": "*/*"},
        urls=["https://me:hunter2@ghcr.io/"],
        size=3,
        exc_info=RuntimeError("GET https://me:hunter2@ghcr.io/"),
    )

    text = capsys.readouterr().err
    event = json.loads(text)
    assert "hunter" not in text
    assert ("copy.failed", "error", 3) == (event["event"], event["level"], event["size"])
    assert "RuntimeError" in event["exception"]
    assert "*/*" == event["headers"]["Accept"]


def test_what_other_packages_log(capsys: pytest.CaptureFixture[str]) -> None:
    """It is in our form, once, and has no secrets."""
    configure("json", "info")
    configure("json", "info")
    logging.getLogger("uvicorn.error").warning("GET %s failed", "https://me:hunter2@ghcr.io/")

    event = json.loads(capsys.readouterr().err)
    assert ("log.passed_on", "warning", "uvicorn.error") == (event["event"], event["level"], event["logger"])
    assert "GET https://***@ghcr.io/ failed" == event["reason"]


def test_a_console_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    """No colours where there is no terminal, and no secrets either."""
    configure("console", "info")
    log = structlog.get_logger()
    log.debug("http.requested")
    log.warning("auth.refused", host="ghcr.io", token="hunter2")

    (line,) = capsys.readouterr().err.splitlines()
    assert "auth.refused" in line
    assert "host=ghcr.io" in line
    assert "hunter2" not in line
    assert "\x1b" not in line


def _fail() -> None:
    behind = OSError("GET https://s3.example/x?X-Amz-Signature=hunter2 failed")
    raise RuntimeError("Authorization: Bearer hunter2hunter2 at https://me:hunter2@ghcr.io/") from behind


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_has_no_secrets(capsys: pytest.CaptureFixture[str], log_format: Format) -> None:
    """Nor that of what was behind, nor one that another package logs."""
    configure(log_format, "info")
    try:
        _fail()
    except RuntimeError:
        structlog.get_logger().exception("service.run_broke")
        logging.getLogger("uvicorn.error").exception("it broke")

    told = capsys.readouterr().err
    assert 2 == told.count("OSError: GET https://s3.example/x?X-Amz-Signature=*** failed")
    assert 2 == told.count("RuntimeError: Authorization: Bearer *** at https://***@ghcr.io/")
    assert "hunter2" not in told


def test_botocore_tells_us_and_nobody_else() -> None:
    """What it warns of it raises; its debugging would tell the answers that hold passwords."""
    configure("auto", "debug")

    assert not logging.getLogger("botocore.credentials").isEnabledFor(logging.WARNING)
    assert not logging.getLogger("botocore.parsers").isEnabledFor(logging.DEBUG)
