"""The files that the configuration names: whether each can be read, and is what it is to be. Asks nobody.

A run reads each when it needs it, anew where it may be replaced meanwhile; `mirror config check` reads all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path

from mirror.errors import MirrorError, SettingsError
from mirror.http.answer import tls_context
from mirror.settings import EcrDestination, Settings
from mirror.settings.models import PolicyIdentity
from mirror.trust.policy import Keyed
from mirror.trust.root import RootFile
from mirror.trust.seal import Seal


async def problems(settings: Settings) -> tuple[str, ...]:
    """A sentence for each file that *settings* name and no run could use."""
    found = list[str]()
    for reading in _readings(settings):
        try:
            await reading
        except MirrorError as exc:
            found.append(str(exc))
    return tuple(dict.fromkeys(found))


def _readings(settings: Settings) -> Iterator[Coroutine[None, None, object]]:
    for registry in settings.registries.values():
        yield asyncio.to_thread(registry.credential)
        yield asyncio.to_thread(tls_context, str(registry.ca_file or ""))
    for identity in settings.policy.identities:
        yield asyncio.to_thread(_signer, identity)
    if settings.policy.trusted_root is not None:
        yield RootFile(settings.policy.trusted_root).load()
    seal = Seal(settings.record.sign_key_file, settings.record.verify_key_file)
    yield seal.signature(b"anything")
    yield seal.problem(b"anything", "none")
    for path in (path for several in settings.overrides.values.values() for path in several):
        yield asyncio.to_thread(_values, path)
    for name, destination in settings.destinations.items():
        if isinstance(destination, EcrDestination):
            wanted = destination.repository
            yield asyncio.to_thread(
                ecr_policy, wanted.lifecycle_policy_file, f"{name}.repository.lifecycle_policy_file"
            )
            yield asyncio.to_thread(ecr_policy, wanted.policy_file, f"{name}.repository.policy_file")


def _signer(identity: PolicyIdentity) -> None:
    from mirror.trust.keys import public_key  # late, with cryptography

    signer = identity.signer().signer
    if isinstance(signer, Keyed):
        public_key(signer.key, what=f"policy.identities: the key {identity.key}")


def _values(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as exc:
        raise SettingsError(f"overrides.values: {path} cannot be read: {exc.strerror}") from exc


def ecr_policy(path: Path | None, key: str) -> str:
    """The policy in the file *path*, which destinations.*key* names; empty for none. Raises SettingsError."""
    if path is None:
        return ""
    from mirror.destinations.ecr.repositories import canonical  # late, as all that ECR alone needs

    try:
        text = path.read_text()
        canonical(text)
    except OSError as exc:
        raise SettingsError(f"destinations.{key}: {path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise SettingsError(f"destinations.{key}: {path} holds no policy: it must be a JSON object: {exc}") from exc
    return text
