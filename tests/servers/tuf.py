"""A TUF repository with one target, in the layout of Sigstore's; signed by one key for every role.

What is published can be changed, signed again, expired, or served by somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from tests.servers.loopback import Handler, Response, Seen, serving

TARGET = "trusted_root.json"
_ROLES = ("root", "timestamp", "snapshot", "targets")


@dataclass(slots=True)
class TufRepository:
    """A running repository; *files* is what it serves, by path."""

    url: str = ""
    signer: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    status: int = 0
    """What every request is answered with, if not 0."""
    version: int = 0
    root: bytes = b""
    """The first root metadata, which a client begins with."""

    def publish(
        self,
        data: bytes,
        *,
        name: str = TARGET,
        lives: timedelta = timedelta(days=7),
        root_lives: timedelta = timedelta(days=90),
    ) -> None:
        """The next version of everything but the root, which is published once, with *data* as the target *name*."""
        self.version += 1
        expires = (datetime.now(UTC) + lives).replace(microsecond=0)
        if not self.root:
            root = Root(expires=(datetime.now(UTC) + root_lives).replace(microsecond=0), consistent_snapshot=True)
            for role in _ROLES:
                root.add_key(self.signer.public_key, role)
            self.root = self._signed(root)
            self.files["/1.root.json"] = self.root
        file = TargetFile.from_data(name, data)
        targets = Targets(version=self.version, expires=expires, targets={name: file})
        snapshot = Snapshot(
            version=self.version, expires=expires, meta={"targets.json": MetaFile(version=self.version)}
        )
        timestamp = Timestamp(version=self.version, expires=expires, snapshot_meta=MetaFile(version=self.version))
        self.files |= {
            f"/{self.version}.targets.json": self._signed(targets),
            f"/{self.version}.snapshot.json": self._signed(snapshot),
            "/timestamp.json": self._signed(timestamp),
            f"/targets/{file.hashes['sha256']}.{name}": data,
        }

    def _signed(self, signed: Root | Timestamp | Snapshot | Targets) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self.signer)
        return metadata.to_bytes()

    def asked(self) -> list[str]:
        """The paths that were asked for."""
        return [seen.path for seen in self.requests]


@contextmanager
def tuf_repository() -> Iterator[TufRepository]:
    """Runs one that has nothing yet."""
    repository = TufRepository()

    class Files(Handler):
        def respond(self) -> None:
            seen = self.seen()
            repository.requests.append(seen)
            data = repository.files.get(seen.path)
            status = repository.status or (200 if data is not None else 404)
            self.send(Response(status, body=data if status == 200 and data else b"no"))

    with serving(Files) as address:
        repository.url = f"http://{address}"
        yield repository
