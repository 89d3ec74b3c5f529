"""Debian's docker-registry 2.8: open, or behind htpasswd or tokens; http or https."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.servers.certificates import Certificates
from tests.servers.process import running
from tests.servers.tokens import ISSUER, SERVICE, TokenService
from tests.servers.tools import require

USERNAME = "pusher"
PASSWORD = "push-password"
# bcrypt of PASSWORD, of cost 4, so that no test needs a program that makes one
_HTPASSWD = f"{USERNAME}:$2b$04$abcdefghijklmnopqrstuuR2vT3O8vTqFm61bJJAOx.b4W57TY./u\n"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A running docker-registry; *root* is where its files are, *log* what it says."""

    host: str
    url: str
    root: Path
    log: Path


@contextmanager
def docker_registry(
    directory: Path,
    *,
    htpasswd: bool = False,
    tokens: TokenService | None = None,
    certificates: Certificates | None = None,
    deletes: bool = True,
    address: str = "127.0.0.1:0",
) -> Iterator[Distribution]:
    """Runs docker-registry at *address* with its files in *directory*, which is made; what is there stays."""
    program = require("docker-registry")
    root = directory / "root"
    root.mkdir(parents=True, exist_ok=True)
    http: dict[str, object] = {"addr": address}
    if certificates:
        http["tls"] = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(root)}, "delete": {"enabled": deletes}},
        "http": http,
    }
    if htpasswd:
        path = directory / "htpasswd"
        path.write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "mirror tests", "path": str(path)}}
    if tokens:
        config["auth"] = {
            "token": {
                "realm": tokens.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(tokens.bundle),
            }
        }
    path, log = directory / "config.yml", directory / "log"
    path.write_text(yaml.safe_dump(config))
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), "OTEL_TRACES_EXPORTER": "none"}
    with running(
        [program, "serve", str(path)], log=log, ready=r"listening on (127\.0\.0\.1:\d+)", environ=environ
    ) as at:
        host = at.group(1)
        yield Distribution(host, f"{'https' if certificates else 'http'}://{host}", root, log)
