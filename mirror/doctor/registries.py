"""One registry is asked whatever a sync will ask of it, as a source or as a destination."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from mirror import record as records
from mirror.doctor import diagnosis
from mirror.errors import MirrorError, NotFound, Unreachable
from mirror.findings import Finding
from mirror.http.answer import Answer, http_date
from mirror.http.proxies import is_local
from mirror.oci.content import Digest
from mirror.oci.copy import read_small
from mirror.oci.manifest import Manifest
from mirror.oci.registry import Registry, RegistryRepository
from mirror.oci.storage import Destination, Source
from mirror.tasks import gather

_ANSWER_MAX = 64 * 1024
_CONFIG_MAX = 4 * 1024 * 1024
_DATE_RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked about *subject*, each question for *deadline_s* at most."""

    subject: str
    deadline_s: float

    async def answer(
        self, check: str, question: Coroutine[None, None, Finding], *, where: str, who: str = "", may: str = ""
    ) -> Finding:
        """The answer to *question*, or why there is none: *who* needs the right to *may*."""
        try:
            async with asyncio.timeout(self.deadline_s):
                return await question
        except TimeoutError:
            return diagnosis.refused(self.subject, check, silent(where, self.deadline_s))
        except MirrorError as exc:
            return diagnosis.refused(self.subject, check, exc, who=who, may=may)

    async def recorded(self, repository: Destination, *, who: str = "") -> Finding:
        """Whether the records in *repository* can be read."""

        async def asked() -> Finding:
            count = len(await records.recorded(repository))
            releases = "1 release is recorded" if count == 1 else f"{count} releases are recorded"
            told = releases if count else "nothing is recorded yet"
            return Finding(self.subject, "pull", "ok", f"{repository.name} can be read: {told}")

        may = f"pull from {repository.name}, and to list its tags"
        return await self.answer("pull", asked(), where=repository.name, who=who, may=may)


def silent(where: str, deadline_s: float) -> Unreachable:
    """What is said of a place that did not answer in time."""
    return Unreachable(f"{where} did not answer within {deadline_s:g} s")


@dataclass(frozen=True, slots=True)
class _Host:
    """What the first answers of a registry say of it."""

    findings: Sequence[Finding]
    is_asked: bool
    """Asking on is worth it."""
    who: str = ""
    """Whose credential is used; empty: there is none."""


@dataclass(frozen=True, slots=True)
class RegistryExam:
    """*registry*, looked at as *questions* has it."""

    questions: Questions
    registry: Registry

    @property
    def _subject(self) -> str:
        return self.questions.subject

    async def as_source(self, pulled: tuple[RegistryRepository, str | Digest] | None) -> Sequence[Finding]:
        """What is to be said of it as a source; *pulled* is an image that is to be read from it, where one is known."""
        host = await self._host(is_written=False)
        if not host.is_asked:
            return host.findings
        read = await self._pulled(*pulled, who=host.who) if pulled else ()
        return [*host.findings, *read, *self._allowance()]

    async def as_destination(self, record: RegistryRepository, paths: Sequence[str]) -> Sequence[Finding]:
        """What is to be said of it as a destination that writes to *paths*, with the records in *record*."""
        host = await self._host(is_written=True)
        if not host.is_asked:
            return host.findings
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self.questions.recorded(record, who=host.who))
            looking = group.create_task(self._first_known(paths))
        recorded, there = reading.result(), looking.result()
        if there is None and self.registry.dialect.forgets_uploads:
            there = record
        if there is not None:
            written = await self._written(there, who=host.who)
        else:
            written = [diagnosis.push_is_unknown(self._subject)] if recorded.state == "ok" else []
        return [*host.findings, recorded, *written, *self._allowance()]

    def _allowance(self) -> Sequence[Finding]:
        left = self.registry.allowance
        return [diagnosis.allowance(self._subject, left)] if left else []

    async def _host(self, *, is_written: bool) -> _Host:
        url, host = f"{self.registry.endpoint.rstrip('/')}/v2/", self.registry.host
        sent_at, begin = datetime.now(UTC), time.monotonic()
        try:
            async with asyncio.timeout(self.questions.deadline_s):
                # by the wire itself: one try, and the answer as it is
                answer = await self.registry.connections.exchange("GET", url, {}, None, bound=_ANSWER_MAX)
        except (TimeoutError, MirrorError) as exc:
            error = exc if isinstance(exc, MirrorError) else silent(host, self.questions.deadline_s)
            setting = f'registries."{host}".endpoint'
            return _Host([diagnosis.unreached(self._subject, error, setting=setting, host=host)], is_asked=False)
        seconds = time.monotonic() - begin
        proxy = self.registry.connections.proxies.for_url(url)
        found = [
            diagnosis.reached(
                self._subject,
                self.registry.endpoint,
                seconds=seconds,
                status=answer.status,
                proxy=proxy.url if proxy else "",
            ),
            *await self._tls(),
        ]
        if (ahead := clock_ahead(answer, sent_at, sent_at + timedelta(seconds=seconds))) is not None:
            found.append(diagnosis.clock(self._subject, ahead))
        if answer.status == 429:
            found.append(diagnosis.too_many(self._subject, f"{self.registry.endpoint} answers 429, too many requests"))
        credential, who = await self._credential(is_asked_for=answer.status in (401, 403), is_written=is_written)
        is_known = credential.state != "failed"  # else nothing more would be answered
        return _Host([*found, credential], is_asked=is_known, who=who)

    async def _tls(self) -> Sequence[Finding]:
        endpoint = self.registry.endpoint
        try:
            async with asyncio.timeout(self.questions.deadline_s):
                ends = await self.registry.connections.certificate_ends(endpoint)
        except (TimeoutError, MirrorError):  # it answered a moment ago, and will say more where it is asked more
            return []
        if ends is not None:
            return [diagnosis.certificate(self._subject, ends, now=datetime.now(UTC))]
        return [] if is_local(urlsplit(endpoint).hostname or "") else [diagnosis.plain(self._subject, endpoint)]

    async def _credential(self, *, is_asked_for: bool, is_written: bool) -> tuple[Finding, str]:
        """What becomes of our credential, and whose it is."""
        host, who, where, is_issued = self.registry.host, "", "", False
        try:
            async with asyncio.timeout(self.questions.deadline_s):
                credential = await self.registry.auth.credential()
                if credential is None:
                    told = diagnosis.no_credential(
                        self._subject, host, is_asked_for=is_asked_for, is_written=is_written
                    )
                    return told, ""
                who, is_issued = credential.username or "an identity token", credential.renew_at is not None
                where = f"{who}, from {credential.origin}" if credential.origin else who
                await self.registry.login()
        except TimeoutError:
            told = diagnosis.refused(self._subject, "credential", silent(host, self.questions.deadline_s))
            return told, who
        except MirrorError as exc:
            told = diagnosis.credential_refused(
                self._subject, exc, host=host, where=where, is_issued=is_issued, is_written=is_written
            )
            return told, who
        return diagnosis.credential_taken(self._subject, where, is_asked_for=is_asked_for), who

    async def _pulled(self, repository: RegistryRepository, version: str | Digest, *, who: str) -> Sequence[Finding]:
        """Whether the image can be read, to the bytes of a blob, which may come from another host."""
        name, may = repository.name, f"pull from {repository.name}"

        async def head() -> Finding:
            is_there = await repository.head(version) is not None
            who_not = who if repository.is_read_anonymously else ""
            return diagnosis.pulled(self._subject, f"{name}:{version}", is_there=is_there, who_not=who_not)

        async def blob() -> Finding:
            config = (await _an_image(repository, version)).config
            if config is not None:
                await read_small(repository, config, bound=_CONFIG_MAX)
            return Finding(self._subject, "blobs", "ok", "blobs can be read, from wherever it sends us for them")

        async def referrers() -> Finding:
            manifest = await repository.manifest(version)
            return await self._referrers(repository, manifest.digest)

        pull = await self.questions.answer("pull", head(), where=name, who=who, may=may)
        if pull.state == "failed":
            return [pull]
        rest = await gather(
            self.questions.answer("blobs", blob(), where=name, who=who, may=may),
            self.questions.answer("referrers", referrers(), where=name, who=who, may=may),
        )
        return [pull, *rest]

    async def _referrers(self, repository: RegistryRepository, digest: Digest) -> Finding:
        await repository.referrers(digest)
        return diagnosis.referrers(self._subject, has_api=not self.registry.lacks_referrers_api)

    async def _first_known(self, paths: Sequence[str]) -> RegistryRepository | None:
        """The first of *paths* that the registry knows; what may not be asked about is not known."""

        async def known(path: str) -> RegistryRepository | None:
            repository = self.registry.repository(path)
            try:
                async with asyncio.timeout(self.questions.deadline_s):
                    return repository if await repository.exists() else None
            except (MirrorError, TimeoutError):
                return None

        return next(filter(None, await gather(*map(known, paths))), None)

    async def _written(self, repository: RegistryRepository, *, who: str) -> Sequence[Finding]:
        """What a sync will ask of *repository*, which exists; an upload is begun, and given up."""
        name, may = repository.name, f"push to {repository.name}"

        async def pushed() -> Finding:
            try:
                await repository.try_upload()
            except NotFound:  # it was gone again, or what it is to be in is not there
                return diagnosis.push_is_unknown(self._subject)
            return Finding(self._subject, "push", "ok", f"an upload to {name} was begun, and given up")

        async with asyncio.TaskGroup() as group:
            pushing = group.create_task(self.questions.answer("push", pushed(), where=name, who=who, may=may))
            holding = group.create_task(self._held(repository))
        push, held = pushing.result(), holding.result()
        if held is None or held.config is None:
            return [push]
        blob = held.config

        async def mounted() -> Finding:
            upload = await repository.start_upload(blob, mount_from=repository.path)
            if upload is not None:
                await repository.give_up(upload.session)
            return diagnosis.mount(self._subject, is_mounted=upload is None)

        asked = [self.questions.answer("referrers", self._referrers(repository, held.digest), where=name, who=who)]
        if push.state == "ok":
            asked.append(self.questions.answer("blob mounting", mounted(), where=name, who=who, may=may))
        return [push, *await gather(*asked)]

    async def _held(self, repository: RegistryRepository) -> Manifest | None:
        """An image that *repository* has, if there is one that can be read."""
        try:
            async with asyncio.timeout(self.questions.deadline_s):
                tags = await repository.tags()
                return await _an_image(repository, tags[0]) if tags else None
        except (MirrorError, TimeoutError):
            return None


def clock_ahead(answer: Answer, sent_at: datetime, came_at: datetime) -> timedelta | None:
    """How far the clock that dated *answer* is ahead of ours, at least; None where it is not dated.

    RFC 9110 §6.6.1: Date is when the answer was made, to the second; §5.1 of RFC 9111: Age is how long ago a cache had
    it from there.
    """
    try:
        dated = http_date(answer.headers.get("date", ""))
        age = timedelta(seconds=min(int(answer.headers.get("age", "0")), 10**9))
    except (ValueError, OverflowError):
        return None
    made_at = dated + age
    if made_at > came_at:
        return made_at - came_at
    return min(timedelta(), made_at + _DATE_RESOLUTION - sent_at)


async def _an_image(source: Source, version: str | Digest) -> Manifest:
    """The manifest at *version*, or the first that an index names."""
    manifest = await source.manifest(version)
    return await source.manifest(manifest.children[0].digest) if manifest.children else manifest
