"""The record: what goes in comes out, it is written only when it must be, and what others put there is not believed."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror import record as records
from mirror.errors import ManifestError
from mirror.linkerd.parts import ChartFacts, Control, Image
from mirror.oci.content import Digest
from mirror.oci.manifest import OCI_MANIFEST, Manifest
from mirror.oci.referrers import Untaken
from mirror.oci.storage import Destination
from mirror.plan import Recorded, Target
from mirror.record import (
    ANNOTATION,
    CONFIG_TYPE,
    Evidence,
    Missing,
    Record,
    RecordedChart,
    RecordedImage,
    dated,
    is_changed,
)
from tests import content
from tests.servers.client import open_registry
from tests.servers.fake import FakeRegistry

RELEASE = "edge-26.8.1"
NOW = datetime(2026, 8, 2, 12, 0, 5, tzinfo=UTC)

_REFERENCE = f"cr.l5d.io/linkerd/web:{RELEASE}"
_NESTED = f'{{"images": [{{"reference": "{_REFERENCE}", "evidence": {{"x": {"[" * 500}{"]" * 500}}}}}]}}'

_texts = st.text(max_size=20)
_names = st.text("abcxyz019", min_size=1, max_size=8)
_digests = st.binary(max_size=4).map(Digest.of)
_times = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda time: time.replace(microsecond=0)
)
_paths = st.none() | st.from_regex(r"[a-zA-Z]{1,8}(\.[a-zA-Z]{1,8}){0,2}", fullmatch=True)
_controls = st.builds(Control, _names, _paths, _paths, _paths, _texts)
_images = st.builds(
    Image,
    reference=st.builds("cr.l5d.io/linkerd/{}:{}".format, _names, _names),
    charts=st.lists(_names, max_size=3).map(tuple),
    controls=st.lists(_controls, max_size=3).map(tuple),
    is_hardcoded=st.booleans(),
    is_first_party=st.booleans(),
    is_optional=st.booleans(),
    notes=st.lists(_texts, max_size=2).map(tuple),
)
_recorded = st.builds(
    RecordedImage,
    image=_images,
    target=st.builds(Target, _names, _names),
    digests=st.builds(Recorded, _digests, _digests),
    is_accepted=st.just(value=False),
) | st.builds(
    RecordedImage,
    image=_images,
    target=st.builds(Target, _names, _names),
    digests=st.builds(Recorded, _digests, _digests),
    is_accepted=st.just(value=True),
    accepted_at=_texts,
    replaced=_digests.map(str),
)
_charts = st.builds(ChartFacts, _names, _texts, _texts, _texts, st.booleans())
_plain_records = st.builds(
    Record,
    release=st.just(RELEASE),
    asked=_texts,
    recorded_at=_times,
    charts=st.lists(_charts, max_size=3, unique_by=lambda chart: chart.name).map(tuple),
    images=st.lists(_recorded, max_size=4, unique_by=lambda image: image.image.reference).map(tuple),
    proof=st.sampled_from(["proven", "not proven", "failed"]),
    missing=st.lists(st.builds(Missing, _texts, st.lists(_names, max_size=2).map(tuple)), max_size=2).map(tuple),
)
_places = {"target": st.builds(Target, _names, _names), "digests": st.builds(Recorded, _digests, _digests)}


def _artifact(chart: str) -> st.SearchStrategy[RecordedChart | None]:
    accepted = {"is_accepted": st.just(value=True), "accepted_at": _texts, "replaced": _digests.map(str)}
    plain = st.builds(RecordedChart, name=st.just(chart), **_places)
    return st.none() | plain | st.builds(RecordedChart, name=st.just(chart), **_places, **accepted)


_records = _plain_records.flatmap(
    lambda record: st.tuples(*(_artifact(chart.name) for chart in record.charts)).map(
        lambda held: replace(record, artifacts=tuple(filter(None, held)))
    )
)


def _brief(parameter: object) -> str:
    return str(parameter)[:40]


@pytest.fixture
async def repository(fake: FakeRegistry) -> AsyncIterator[Destination]:
    """Where records are kept."""
    async with open_registry(fake.url) as registry:
        yield registry.repository("l5d/mirror-record")


def image(name: str = "web", *, evidence: Evidence | None = None, text: bytes = b"web") -> RecordedImage:
    return RecordedImage(
        image=Image(
            reference=f"cr.l5d.io/linkerd/{name}:{RELEASE}",
            charts=("linkerd-viz",),
            controls=(Control("linkerd-viz", "r", "n", "t"),),
            is_hardcoded=False,
            is_first_party=True,
            is_optional=False,
        ),
        target=Target(name, RELEASE),
        digests=Recorded(Digest.of(text), Digest.of(text)),
        evidence=evidence,
    )


def record(*images: RecordedImage) -> Record:
    facts = ChartFacts("linkerd-viz", "2026.8.1", RELEASE, "0" * 64, has_pull_secrets=True)
    return Record(RELEASE, "asked", NOW, (facts,), images or (image(),), "proven")


def evidence(text: str = "") -> Evidence:
    return Evidence("application/vnd.oci.image.index.v1+json", 7, ("linux/amd64",), ("sha256:x",), text)


async def layer(repository: Destination) -> dict[str, Any]:
    manifest = await repository.manifest(RELEASE)
    [blob] = [blob for blob in manifest.blobs if blob.media_type == records.LAYER_TYPE]
    document: dict[str, Any] = json.loads(await content.download(repository, blob))
    return document


async def relayer(repository: Destination, text: str | None) -> None:
    """Somebody replaces the layer of the record, by one of another type without *text*."""
    manifest = await repository.manifest(RELEASE)
    data = (text or "").encode()
    await content.upload(repository, data)
    view = json.loads(manifest.raw)
    blob = {"digest": str(Digest.of(data)), "size": len(data)}
    view["config"] |= blob
    view["layers"] = [{"mediaType": "a/b" if text is None else records.LAYER_TYPE, **blob}]
    await repository.put_manifest(Manifest.parse(json.dumps(view).encode(), where="a test"), tag=RELEASE)


async def claim(repository: Destination, summary: object, *, tag: str = RELEASE) -> None:
    """Somebody pushes what looks like a record."""
    await content.upload(repository, b"{}")
    config = {"mediaType": CONFIG_TYPE, "digest": str(Digest.of(b"{}")), "size": 2}
    text = summary if isinstance(summary, str) else json.dumps(summary)
    view = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": [],
        "annotations": {ANNOTATION: text},
    }
    await repository.put_manifest(Manifest.parse(json.dumps(view).encode(), where="a test"), tag=tag)


async def test_a_signature_that_the_registry_does_not_take_is_in_the_layer(repository: Destination) -> None:
    """Manifest and blobs as they came, so that it can be verified from the mirror alone."""
    signature = content.artifact("application/vnd.dev.sigstore.bundle.v0.3+json", b'{"a": 1}')
    untaken = Untaken(signature.manifest, "405: UNSUPPORTED", dict(signature.blobs))
    held = replace(image(), evidence=replace(evidence(), untaken=(untaken,)))
    await records.write(repository, record(held), verified_at=NOW)
    [entry] = (await layer(repository))["images"][0]["evidence"]["untaken"]

    assert str(signature.digest) == entry["digest"]
    assert "405: UNSUPPORTED" == entry["reason"]
    assert signature.digest == Digest.of(entry["manifest"].encode())
    assert {str(digest) for digest in signature.blobs} == set(entry["blobs"])
    assert all(Digest.of(b64decode(data)) == Digest.parse(digest) for digest, data in entry["blobs"].items())


class TestRoundTrip:
    @settings(max_examples=60)
    @given(_records)
    def test_what_is_written_is_read(self, written: Record) -> None:
        """Everything but the evidence, which planning does not need."""
        assert written == records._parsed(json.loads(records._json(records._summary(written))))

    async def test_one_get_reads_it(self, repository: Destination, fake: FakeRegistry) -> None:
        """The annotation has all that is needed."""
        await records.write(repository, record(), verified_at=NOW)
        fake.requests.clear()
        found = await records.read(repository, RELEASE)

        assert record() == found
        assert [f"GET /v2/l5d/mirror-record/manifests/{RELEASE}"] == list(map(str, fake.requests))

    async def test_none(self, repository: Destination) -> None:
        """No record is an answer."""
        assert await records.read(repository, RELEASE) is None

    async def test_what_the_most_particular_registry_takes(self, repository: Destination) -> None:
        """No artifactType, no subject, no data in descriptors: ECR refuses some of them."""
        await records.write(repository, record(image(evidence=evidence())), verified_at=NOW)
        view = json.loads((await repository.manifest(RELEASE)).raw)

        assert {"schemaVersion", "mediaType", "config", "layers", "annotations"} == set(view)
        assert [{"mediaType", "digest", "size"}] * 2 == [set(view["config"]), set(view["layers"][0])]
        assert CONFIG_TYPE == view["config"]["mediaType"]

    async def test_the_same_record_has_the_same_bytes(self, repository: Destination) -> None:
        """Two runs at once do no harm."""
        await records.write(repository, record(image(evidence=evidence())), verified_at=NOW)
        first = await repository.manifest(RELEASE)
        await records.write(repository, record(image(evidence=evidence())), verified_at=NOW)

        assert first == await repository.manifest(RELEASE)


class TestChange:
    def test_times_are_no_change(self) -> None:
        """Whether anything but `recorded_at` differs."""
        later = replace(record(), recorded_at=NOW + timedelta(days=1))

        assert not is_changed(later, record())
        assert is_changed(record(), None)

    @pytest.mark.parametrize(
        "other",
        [
            replace(record(), asked="something else"),
            replace(record(), proof="not proven"),
            replace(record(), missing=(Missing("x", ("y",)),)),
            replace(record(), charts=()),
            replace(record(), images=(image(), image("tap"))),
            replace(record(), images=(image(text=b"another"),)),
            replace(record(), images=(replace(image(), is_accepted=True, accepted_at="now", replaced="sha256:x"),)),
            replace(record(), images=(replace(image(), target=Target("elsewhere", RELEASE)),)),
        ],
    )
    def test_everything_else_is(self, other: Record) -> None:
        """Any of it."""
        assert is_changed(other, record())

    def test_the_time_stays_while_the_digests_do(self) -> None:
        """So that two runs write the same values."""
        before = replace(record(), recorded_at=NOW - timedelta(days=9))

        assert before.recorded_at == dated(replace(record(), proof="failed", asked="else"), before).recorded_at
        assert NOW == dated(record(image(text=b"another")), before).recorded_at
        assert NOW == dated(record(image(), image("tap")), before).recorded_at
        assert NOW == dated(record(), None).recorded_at


class TestEvidence:
    async def test_it_is_carried_over(self, repository: Destination) -> None:
        """What this run did not gather is as it was; what it did is new."""
        both = record(image("web", evidence=evidence("old web")), image("tap", evidence=evidence("old tap")))
        await records.write(repository, both, verified_at=NOW)
        await records.write(
            repository, record(image("web"), image("tap", evidence=evidence("new tap"))), verified_at=NOW
        )

        found = {
            entry["reference"].split("/")[-1].split(":")[0]: entry["evidence"]
            for entry in (await layer(repository))["images"]
        }
        assert {"web": "old web", "tap": "new tap"} == {name: each["upstreamIndex"] for name, each in found.items()}

    async def test_a_layer_that_is_lost_is_no_failure(self, repository: Destination, fake: FakeRegistry) -> None:
        """The record is written without it."""
        await records.write(repository, record(image(evidence=evidence())), verified_at=NOW)
        manifest = await repository.manifest(RELEASE)
        for blob in manifest.blobs:
            if blob.media_type == records.LAYER_TYPE:
                del fake.repositories["l5d/mirror-record"].blobs[blob.digest]
        await records.write(repository, record(), verified_at=NOW)

        assert [False] == ["evidence" in entry for entry in (await layer(repository))["images"]]

    @pytest.mark.parametrize(
        "damaged", [None, "", "null", '{"images": 1}', '{"images": [5]}', "[" * 100_000, _NESTED], ids=_brief
    )
    async def test_a_layer_that_is_damaged(self, repository: Destination, damaged: str | None) -> None:
        """Or none of ours: who needs it is told in one sentence, and the record is written without it."""
        await records.write(repository, record(image(evidence=evidence())), verified_at=NOW)
        await relayer(repository, damaged)

        for read in (records.kept, records.with_evidence):
            with pytest.raises(ManifestError, match=rf"mirror-record:{RELEASE}: .*; remove that tag to have"):
                await read(repository, record(replace(image(), keeps_signature=True)))
        await records.write(repository, record(), verified_at=NOW)
        assert [False] == ["evidence" in entry for entry in (await layer(repository))["images"]]

    @pytest.mark.parametrize(
        "change",
        [{"size": 10**400}, {"size": -1}, {"size": "7"}, {"platforms": 5}, {"platforms": ["\ud800"]}],
        ids=_brief,
    )
    async def test_what_is_none(self, repository: Destination, change: dict[str, object]) -> None:
        """No report tells of it."""
        await records.write(repository, record(image(evidence=evidence())), verified_at=NOW)
        document = await layer(repository)
        document["images"][0]["evidence"] |= change
        await relayer(repository, json.dumps(document))

        with pytest.raises(ManifestError, match="its evidence cannot be read"):
            await records.with_evidence(repository, record())

    async def test_times(self, repository: Destination) -> None:
        """When the digests were first recorded, and when all was last verified."""
        await records.write(repository, record(), verified_at=NOW + timedelta(hours=1))
        document = await layer(repository)

        assert "2026-08-02T12:00:05+00:00" == document["recordedAt"]
        assert "2026-08-02T13:00:05+00:00" == document["lastVerifiedAt"]


class TestClaims:
    async def test_something_else_at_its_tag(self, repository: Destination) -> None:
        """It is named, with what to do."""
        await content.push(repository, content.image(b"no record"), tag=RELEASE)

        with pytest.raises(ManifestError, match=f"l5d/mirror-record:{RELEASE}.*not a record.*remove that tag"):
            await records.read(repository, RELEASE)

    async def test_a_newer_one(self, repository: Destination) -> None:
        """Not guessed at."""
        await claim(repository, records._summary(record()) | {"schema": 2})

        with pytest.raises(ManifestError, match="a newer mirror wrote it, or it is damaged; remove that tag"):
            await records.read(repository, RELEASE)

    @pytest.mark.parametrize(
        "summary",
        [
            "not JSON",
            "[]",
            "null",
            "[" * 100_000,
            {},
            {"schema": 1},
            records._summary(record()) | {"images": [{}]},
            records._summary(record()) | {"images": 7},
            records._summary(record()) | {"charts": [{"name": 7}]},
            records._summary(record()) | {"recordedAt": "yesterday"},
            records._summary(record()) | {"recordedAt": "0001-01-01T00:00:00+14:00"},
            records._summary(record()) | {"missing": [[]]},
            records._summary(record()) | {"release": None},
            records._summary(record()) | {"proof": "\ud800"},
        ],
        ids=lambda summary: str(summary)[:40],
    )
    async def test_a_damaged_one(self, repository: Destination, summary: object) -> None:
        """One sentence, whatever it is."""
        await claim(repository, summary)

        with pytest.raises(ManifestError, match="cannot be read"):
            await records.read(repository, RELEASE)

    @pytest.mark.parametrize("name", ["../evil", "/etc/evil", "..", "a/b", "", "a\nb", "~", "a\0b"])
    async def test_a_chart_that_would_leave_its_folder(self, repository: Destination, name: str) -> None:
        """Values are written to CHART.yaml, so a record may not choose another place."""
        summary = records._summary(record())
        summary["charts"][0]["name"] = name
        await claim(repository, summary)

        with pytest.raises(ManifestError, match="cannot be read"):
            await records.read(repository, RELEASE)

    @pytest.mark.parametrize(
        "target", [["../x", "v1"], ["x?y", "v1"], ["a b", "v1"], ["web", "a/b"], ["web", ""], ["", "v"]]
    )
    async def test_a_target_that_is_none(self, repository: Destination, target: list[str]) -> None:
        """It becomes a part of a URL."""
        summary = records._summary(record())
        summary["images"][0]["target"] = target
        await claim(repository, summary)

        with pytest.raises(ManifestError, match="cannot be read"):
            await records.read(repository, RELEASE)

    async def test_a_reference_that_is_none(self, repository: Destination) -> None:
        """It is planned with."""
        summary = records._summary(record())
        summary["images"][0]["reference"] = "NOT A REFERENCE"
        await claim(repository, summary)

        with pytest.raises(ManifestError, match="cannot be read"):
            await records.read(repository, RELEASE)

    async def test_that_of_another_release(self, repository: Destination) -> None:
        """A record that was retagged is not believed."""
        await claim(repository, records._summary(record()), tag="edge-26.8.9")

        with pytest.raises(ManifestError, match=f"it is of {RELEASE}"):
            await records.read(repository, "edge-26.8.9")
