"""Logs: structlog, to stderr, one event a line.

A terminal gets readable lines, everything else JSON. Events are `area.past_tense` with everything else as keys; times
are UTC. Nothing secret gets through: `redact` takes it out of every value, whatever key it is under.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal

from mirror.loading import without

# structlog loads rich wherever it finds it, for tracebacks that we do not show: a tenth of a start, and no option.
with without("rich"):
    import structlog

Format = Literal["auto", "json", "console"]
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}

_HIDDEN = "***"
_SECRET_KEY = re.compile(r"passw(or)?d|token|authorization|secret|credential|cookie", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s\"'<>]+@")
# A presigned URL is a credential: S3 (X-Amz-*), Azure (sig, se, sp …), CloudFront (Policy, Signature, Key-Pair-Id).
_SIGNED = re.compile(
    r"(?<=[?&])((?:x-amz-|x-goog-)[\w-]*|sig|signature|key-pair-id|policy|[\w-]*(?:token|secret|password|verify)[\w-]*)"
    r"=[^&\s\"'<>]*",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(bearer|basic)(\s+)(?!realm=)[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)


def redact(text: str) -> str:
    """*text* without userinfo and signatures in URLs, and without Authorization values."""
    text = _USERINFO.sub(f"{_HIDDEN}@", text)
    text = _SIGNED.sub(rf"\1={_HIDDEN}", text)
    return _SCHEME.sub(rf"\1\2{_HIDDEN}", text)


def configure(log_format: Format, level: str) -> None:
    """Afterwards every logger of the process writes to stderr, at *level* and above."""
    is_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    if is_json:
        renderer: Any = structlog.processors.JSONRenderer()
    else:
        colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            structlog.processors.format_exc_info,  # before what redacts: a traceback tells what an exception says
            redacted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,
    )
    others = logging.getLogger()
    if not any(isinstance(each, _Passing) for each in others.handlers):
        others.addHandler(_Passing())
    # pydantic_settings would tell the passwords that it merges, if PYDANTIC_SETTINGS_DEBUG asked it to
    for name in ("httpx", "httpcore", "pydantic_settings"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # what it warns of it raises too, and its debugging tells the answers that hold tokens
    logging.getLogger("botocore").setLevel(logging.CRITICAL)


def redacted(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The processor that takes secrets out of an event, however deep."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and value not in (None, "", True, False):
        return _HIDDEN
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(inner): _redacted(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item) for item in value]
    if value is None or isinstance(value, bool | int | float) or key == "exc_info":
        return value
    return redact(str(value))


class _Passing(logging.Handler):
    """Passes on what other packages log: in our form, and without secrets."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                record.levelno,
                "log.passed_on",
                logger=record.name,
                reason=record.getMessage(),
                **({"exc_info": record.exc_info} if record.exc_info else {}),
            )
        except Exception:  # noqa: BLE001 - as every handler: to log breaks nothing (logging, Handler.handleError)
            self.handleError(record)


class _Stderr:
    """Writes each line to what `sys.stderr` is at that moment: a progress display may stand in for it."""

    def __init__(self, *_: object) -> None: ...

    def msg(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    debug = info = warning = warn = error = critical = exception = fatal = log = msg
