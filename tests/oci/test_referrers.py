"""Signatures, attestations and bills of material travel with the image."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from mirror.errors import ManifestError, RegistryError
from mirror.oci.copy import MANIFESTS_AT_ONCE, MANIFESTS_SIZE_MAX, Copier
from mirror.oci.manifest import OCI_INDEX, Manifest
from mirror.oci.referrers import Travelled, gathered, travel
from mirror.oci.registry import Registry
from tests.content import Image, artifact, image, index
from tests.http.naps import Naps
from tests.servers.client import open_registry
from tests.servers.fake import ALWAYS, FakeRegistry, Fault, Harm, Manners, answer, fake_registry, refusal

_NAME = "linkerd/proxy"
_SUBJECT = image(b"the image")
_FALLBACK = _SUBJECT.digest.fallback_tag()
_NOTE = "application/vnd.example.note"


@pytest.fixture
def upstream() -> Iterator[FakeRegistry]:
    with fake_registry() as running:
        running.add(_NAME, _SUBJECT, "v1")
        yield running


@pytest.fixture
async def source(upstream: FakeRegistry) -> AsyncIterator[Registry]:
    async with open_registry(upstream.url) as opened:
        opened.transport.sleep = Naps()
        yield opened


@pytest.fixture
async def destination(fake: FakeRegistry) -> AsyncIterator[Registry]:
    fake.add(_NAME, _SUBJECT, "v1")
    async with open_registry(fake.url) as opened:
        opened.transport.sleep = Naps()
        yield opened


def _note(text: str, *, annotations: dict[str, str] | None = None) -> Image:
    return artifact(_NOTE, text.encode(), subject=_SUBJECT, annotations=annotations)


def _lacks_api(registry: FakeRegistry) -> None:
    registry.manners = Manners(referrers="absent", links_subject=False)


def _fallback_of(registry: FakeRegistry) -> Manifest:
    stored = registry.repositories[_NAME]
    kind, raw = stored.manifests[stored.tags[_FALLBACK]]
    return Manifest.parse(raw, kind, where="the fake")


async def _travel(source: Registry, destination: Registry) -> Travelled:
    copier, here = Copier(sleep=Naps()), source.repository(_NAME)
    try:
        return await travel(copier, here, destination.repository(_NAME), await gathered(here, _SUBJECT.digest))
    finally:
        copier.close()


async def test_by_cosigns_tags(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """.sig, .att and .sbom, with their blobs."""
    found = {_SUBJECT.digest.fallback_tag(suffix): image(suffix.encode()) for suffix in (".sig", ".att", ".sbom")}
    for tag, what in found.items():
        upstream.add(_NAME, what, tag)
    travelled = await _travel(source, destination)

    assert (tuple(sorted(what.digest for what in found.values())), ()) == (travelled.digests, travelled.problems)
    assert {**{tag: what.digest for tag, what in found.items()}, "v1": _SUBJECT.digest} == fake.repositories[_NAME].tags
    assert upstream.repositories[_NAME].blobs == fake.repositories[_NAME].blobs


async def test_from_api_to_api(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """The registry links them itself; no tag is made."""
    notes = [_note(str(number)) for number in range(3)]
    for note in notes:
        upstream.add(_NAME, note)
    travelled = await _travel(source, destination)

    assert {note.digest for note in notes} == set(travelled.digests)
    assert {"v1"} == set(fake.repositories[_NAME].tags)


async def test_from_api_to_a_registry_without(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """The fallback tag is ours to write, with what a list of referrers says of each; a second time changes nothing."""
    _lacks_api(fake)
    note = _note("a", annotations={"by": "us"})
    upstream.add(_NAME, note)
    await _travel(source, destination)

    (entry,) = _fallback_of(fake).children
    assert (note.digest, _NOTE, {"by": "us"}) == (entry.digest, entry.artifact_type, dict(entry.annotations))
    before = fake.repositories[_NAME].tags[_FALLBACK]
    await _travel(source, destination)
    assert before == fake.repositories[_NAME].tags[_FALLBACK]
    assert 1 == len(fake.asked(f"PUT .*/manifests/{_FALLBACK}"))


async def test_what_others_have_listed_stays(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """As they wrote it, whatever it is."""
    _lacks_api(fake)
    theirs = _note("theirs", annotations={"by": "them"})
    listing = {
        "schemaVersion": 2, "mediaType": OCI_INDEX, "x-unknown": 1,
        "manifests": [{
            "mediaType": theirs.manifest.media_type, "digest": str(theirs.digest), "size": theirs.manifest.size,
            "x-more": "kept",
        }],
    }  # fmt: skip
    listed = Image(Manifest.parse(json.dumps(listing).encode(), where="here"), children=(theirs,))
    fake.add(_NAME, listed, _FALLBACK)
    upstream.add(_NAME, _note("ours"))
    await _travel(source, destination)

    view = json.loads(_fallback_of(fake).raw)
    assert listing["manifests"] == view["manifests"][:1]
    assert 1 == view["x-unknown"]
    assert [str(_note("ours").digest)] == [entry["digest"] for entry in view["manifests"][1:]]


@pytest.mark.parametrize("manners", ["absent", "api"])
async def test_from_a_registry_without(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, manners: str
) -> None:
    """The index of the fallback tag keeps its bytes; a registry with the API links what it lists."""
    _lacks_api(upstream)
    if manners == "absent":
        _lacks_api(fake)
    notes = [_note("a"), _note("b")]
    listed = index(*notes, layout="odd")
    upstream.add(_NAME, listed, _FALLBACK)
    travelled = await _travel(source, destination)

    assert {note.digest for note in notes} == set(travelled.digests)
    assert listed.manifest.raw == _fallback_of(fake).raw
    found = await destination.repository(_NAME).referrers(_SUBJECT.digest)
    assert {note.digest for note in notes} == {descriptor.digest for descriptor in found}


async def test_a_fallback_index_that_grows(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """Upstream's newer bytes take the place of its older ones; what it lists need not have a subject."""
    _lacks_api(upstream)
    _lacks_api(fake)
    one, two = _note("one"), artifact(_NOTE, b"two, which names no subject")
    for listed in (index(one), index(one, two, layout="indented")):
        upstream.add(_NAME, listed, _FALLBACK)
        await _travel(source, destination)

        assert listed.manifest.raw == _fallback_of(fake).raw


async def test_a_fallback_index_that_both_sides_write(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """Lists what either has listed."""
    _lacks_api(upstream)
    _lacks_api(fake)
    ours, bare, theirs = _note("ours"), artifact(_NOTE, b"no subject"), _note("theirs")
    upstream.add(_NAME, index(ours, bare), _FALLBACK)
    fake.add(_NAME, index(theirs), _FALLBACK)
    await _travel(source, destination)

    assert [theirs.digest] == [child.digest for child in _fallback_of(fake).children][:1]
    assert {ours.digest, bare.digest, theirs.digest} == {child.digest for child in _fallback_of(fake).children}


async def test_api_and_fallback_tag_together(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """What only the tag lists travels too."""
    old = artifact(_NOTE, b"listed by the tag alone")
    upstream.add(_NAME, _note("by the API"))
    upstream.add(_NAME, index(old), _FALLBACK)
    travelled = await _travel(source, destination)

    assert old.digest in travelled.digests
    assert _note("by the API").digest in travelled.digests


async def test_one_that_is_refused(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """Is a problem, in the registry's words, and the others travel (aws/containers-roadmap#2783)."""
    good, bad = _note("good"), _note("bad")
    upstream.add(_NAME, good)
    upstream.add(_NAME, bad)
    fake.faults.append(Fault(f"PUT .*/manifests/{bad.digest}", refusal(405, "UNSUPPORTED", "not here"), times=ALWAYS))
    travelled = await _travel(source, destination)

    (problem,) = travelled.problems
    assert (good.digest,) == travelled.digests
    assert str(bad.digest) in problem
    assert "405: UNSUPPORTED not here" in problem


@pytest.mark.parametrize("has_api", [True, False], ids=["listed", "by the fallback tag"])
async def test_a_signature_that_is_not_taken(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, *, has_api: bool
) -> None:
    """Is kept with its bytes, so that it can be verified without upstream; what is no signature is named alone."""
    signature = artifact("application/vnd.dev.sigstore.bundle.v0.3+json", b'{"a": 1}', subject=_SUBJECT)
    upstream.add(_NAME, signature)
    upstream.add(_NAME, _note("a bill of material"))
    if not has_api:
        _lacks_api(upstream)
        upstream.add(_NAME, index(signature, _note("a bill of material")), _FALLBACK)
    fake.faults.append(Fault("PUT .*/manifests/.*", refusal(405, "UNSUPPORTED", "Invalid JSON syntax"), times=ALWAYS))
    travelled = await _travel(source, destination)

    kept = {one.manifest.digest: one.blobs for one in travelled.untaken}
    assert {signature.digest, _note("a bill of material").digest} == set(kept)
    assert b'{"a": 1}' in kept[signature.digest].values()
    assert {} == kept[_note("a bill of material").digest]
    assert not travelled.is_worth_another_try


async def test_a_signature_of_an_insane_size(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """Is not kept: the record is read whole."""
    large = artifact("application/vnd.dev.sigstore.bundle.v0.3+json", bytes(200_000), subject=_SUBJECT)
    upstream.add(_NAME, large)
    fake.faults.append(Fault("PUT .*/manifests/.*", refusal(405, "UNSUPPORTED"), times=ALWAYS))
    (untaken,) = (await _travel(source, destination)).untaken

    assert {} == untaken.blobs


@pytest.mark.parametrize(
    "harm", [refusal(403, "DENIED"), answer(503), refusal(400, "TAG_INVALID")], ids=["denied", "busy", "tag"]
)
async def test_what_is_refused_for_another_reason_is_not_unsupported(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry, harm: Harm
) -> None:
    """It says nothing about the artifact."""
    upstream.add(_NAME, _note("a"))
    fake.faults.append(Fault("PUT .*/manifests/.*", harm, times=ALWAYS))
    travelled = await _travel(source, destination)

    assert () == travelled.untaken
    assert 1 == len(travelled.problems)


async def test_one_that_is_gone(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """Upstream lists it and has it no more: a problem, and the others travel."""
    _lacks_api(upstream)
    here, gone = _note("here"), _note("gone")
    upstream.add(_NAME, index(here, gone), _FALLBACK)
    del upstream.repositories[_NAME].manifests[gone.digest]
    travelled = await _travel(source, destination)

    (problem,) = travelled.problems
    assert (here.digest,) == travelled.digests
    assert str(gone.digest) in problem


async def test_a_tag_in_the_way(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """A fallback tag that is no index is left as it is."""
    _lacks_api(fake)
    fake.repositories[_NAME].tags[_FALLBACK] = _SUBJECT.digest
    upstream.add(_NAME, _note("a"))
    travelled = await _travel(source, destination)

    (problem,) = travelled.problems
    assert "is not an index, so it cannot list referrers" in problem
    assert _SUBJECT.digest == fake.repositories[_NAME].tags[_FALLBACK]


async def test_an_index_with_no_list(
    upstream: FakeRegistry, fake: FakeRegistry, source: Registry, destination: Registry
) -> None:
    """Is an empty one."""
    _lacks_api(fake)
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": None}).encode()
    fake.add(_NAME, Image(Manifest.parse(raw, where="here")), _FALLBACK)
    upstream.add(_NAME, _note("a"))
    await _travel(source, destination)

    assert [_note("a").digest] == [child.digest for child in _fallback_of(fake).children]


async def test_what_refers_to_nothing_costs_little(upstream: FakeRegistry, source: Registry) -> None:
    """Four requests an image at most, once it is known that there is no API."""
    _lacks_api(upstream)
    await gathered(source.repository(_NAME), image(b"first").digest)
    upstream.requests.clear()
    found = await gathered(source.repository(_NAME), _SUBJECT.digest)

    assert ((), ()) == (found.tagged, found.listed)
    assert 4 == len(upstream.requests)


async def test_more_than_belongs_to_an_image(upstream: FakeRegistry, source: Registry) -> None:
    """Is refused before it fills the memory, in one sentence."""
    for at in range(48):
        note = _note(str(at))
        large = Manifest.parse(note.manifest.raw + b" " * 1_000_000, where="here")
        upstream.add(_NAME, replace(note, manifest=large))

    with pytest.raises(
        ManifestError, match=rf"{_SUBJECT.digest} \(referrers\): its manifests are larger than 16777216"
    ):
        await gathered(source.repository(_NAME), _SUBJECT.digest)
    assert len(upstream.asked("GET .*/manifests/sha256:.*")) <= MANIFESTS_SIZE_MAX // 1_000_000 + MANIFESTS_AT_ONCE + 1


async def test_what_cannot_be_asked(upstream: FakeRegistry, source: Registry) -> None:
    """Is no answer."""
    upstream.faults.append(Fault("GET .*sig", answer(503), times=ALWAYS))

    with pytest.raises(RegistryError, match="503"):
        await gathered(source.repository(_NAME), _SUBJECT.digest)
