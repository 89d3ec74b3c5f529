"""Digests, platforms, descriptors, and bytes held to their promise."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import BadReference, ContentError, ManifestError, MirrorError
from mirror.oci.content import Descriptor, Digest, Platform, verified

_ALGORITHMS = st.sampled_from(["sha256", "sha512"])
_DIGESTS = st.builds(Digest.of, st.binary(max_size=20), _ALGORITHMS)


@given(_DIGESTS)
def test_a_digest_reads_as_it_is_written(digest: Digest) -> None:
    """And nothing is lost on the way."""
    assert digest == Digest.parse(str(digest))


@given(st.text())
def test_any_text_is_a_digest_or_a_bad_reference(text: str) -> None:
    """Nothing else comes out, and what is read is what was written."""
    with contextlib.suppress(BadReference):
        assert text == str(Digest.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        ":" + "0" * 64,
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 64 + "\n",
        "sha256:" + "٠" * 64,
        "sha512:" + "0" * 64,
        "md5:" + "0" * 32,
        "sha256:../../../../etc/passwd" + "0" * 41,
    ],
)
def test_what_is_no_digest(text: str) -> None:
    """Wrong algorithm, length or characters."""
    with pytest.raises(BadReference):
        Digest.parse(text)


@given(st.binary(), _ALGORITHMS)
def test_bytes_keep_their_promise(data: bytes, algorithm: str) -> None:
    """They come back if their digest is the one promised."""
    assert data == verified(data, Digest.of(data, algorithm), where="here")


@given(st.binary(), st.binary(), _ALGORITHMS)
def test_bytes_break_their_promise(data: bytes, other: bytes, algorithm: str) -> None:
    """The error says where, and both digests."""
    if data == other:
        return
    promised = Digest.of(other, algorithm)

    with pytest.raises(ContentError) as caught:
        verified(data, promised, where="ghcr.io/linkerd/proxy")

    for part in ("ghcr.io/linkerd/proxy", promised, Digest.of(data, algorithm)):
        assert str(part) in str(caught.value)


@given(st.binary())
def test_a_hasher_agrees_with_the_digest(data: bytes) -> None:
    """In pieces or whole."""
    digest = Digest.of(data)
    hasher = digest.hasher()
    hasher.update(data[:5])
    hasher.update(memoryview(data)[5:])

    assert digest.hex == hasher.hexdigest()


@pytest.mark.parametrize(
    ("algorithm", "suffix", "tag"),
    [
        ("sha256", "", "sha256-" + Digest.of(b"").hex),
        ("sha256", ".sig", "sha256-" + Digest.of(b"").hex + ".sig"),
        ("sha512", "", "sha512-" + Digest.of(b"", "sha512").hex[:64]),
    ],
)
def test_fallback_tags(algorithm: str, suffix: str, tag: str) -> None:
    """The encoded part is cut to 64 characters (distribution-spec v1.1 #referrers-tag-schema)."""
    assert tag == Digest.of(b"", algorithm).fallback_tag(suffix)


_PARTS = st.from_regex(r"[a-z0-9._-]+", fullmatch=True)


@given(_PARTS, _PARTS, st.just("") | _PARTS)
def test_a_platform_reads_as_it_is_written(os: str, architecture: str, variant: str) -> None:
    """OS/ARCH or OS/ARCH/VARIANT."""
    platform = Platform(os, architecture, variant)

    assert platform == Platform.parse(str(platform))


@given(st.text())
def test_any_text_is_a_platform_or_a_bad_reference(text: str) -> None:
    """Nothing else comes out."""
    with contextlib.suppress(BadReference):
        assert text == str(Platform.parse(text))


@pytest.mark.parametrize(
    "parts",
    [("linux", "amd64", ""), ("linux", "arm", "v7"), ("unknown", "unknown"), ("Linux", "x86_64"), ("", "")],
    ids=str,
)
def test_what_indexes_call_a_platform(parts: tuple[str, ...]) -> None:
    """Is one, also where it is not as it should be."""
    assert "/".join(filter(None, parts)) == str(Platform(*parts))


@pytest.mark.parametrize("word", ["\ud800", "\x1b[2J", "a b", "amd64\n", "a/b", "\u202e", "é"])
@pytest.mark.parametrize("where", ["os", "architecture", "variant"])
def test_what_is_no_platform(where: str, word: str) -> None:
    """Is told in a sentence that any terminal and document bears."""
    with pytest.raises(BadReference, match="is not a platform") as caught:
        Platform(**{"os": "linux", "architecture": "arm", "variant": "v7", where: word})

    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("wanted", "have", "covers"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm64", "linux/arm", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_what_a_platform_covers(wanted: str, have: str, covers: bool) -> None:
    """A variant that is not asked for is not compared."""
    assert covers == Platform.parse(wanted).covers(Platform.parse(have))


def test_a_platform_without_a_variant_is_arm64s_usual_one() -> None:
    """linux/arm64 covers linux/arm64/v8, as every index of Docker's has it."""
    assert Platform.parse("linux/arm64").covers(Platform.parse("linux/arm64/v8"))


@pytest.mark.parametrize("size", [-1, 2**63])
def test_what_is_no_size_is_no_promise(size: int) -> None:
    """It is refused at once."""
    with pytest.raises(ManifestError, match="is promised a size that is none"):
        Descriptor("a/b", Digest.of(b""), size)


@given(st.text(), st.text(), st.text())
def test_only_our_errors_come_out(algorithm: str, hex_digits: str, text: str) -> None:
    """Whatever goes in."""
    with contextlib.suppress(MirrorError):
        Digest(algorithm, hex_digits)
    with contextlib.suppress(MirrorError):
        Platform.parse(text)
