"""References: parsed as Docker parses them, written as they are read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import BadReference
from mirror.oci.content import Digest
from mirror.oci.reference import Reference, Repository

_DIGEST = Digest.of(b"content")
_HEX = str(_DIGEST)

_COMPONENTS = st.from_regex(r"[a-z0-9]{1,8}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
_PATHS = st.lists(_COMPONENTS, min_size=1, max_size=4).map("/".join)
_HOSTS = st.sampled_from(
    [
        "ghcr.io",
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000",
        "[::1]:5000",
        "registry.k8s.io",
        "Registry.Example:443",
    ]
)
_TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
_REPOSITORIES = st.builds(Repository, _HOSTS, _PATHS)
_REFERENCES = st.builds(Reference, _REPOSITORIES, _TAGS, st.none() | st.just(_DIGEST)) | st.builds(
    Reference, _REPOSITORIES, st.just(""), st.just(_DIGEST)
)


@given(_REFERENCES)
def test_a_reference_reads_as_it_is_written(reference: Reference) -> None:
    """Host, path, tag and digest."""
    assert reference == Reference.parse(str(reference))


@given(_REPOSITORIES)
def test_a_repository_reads_as_it_is_written(repository: Repository) -> None:
    """Host and path."""
    assert repository == Repository.parse(str(repository))


@given(st.text() | st.text(alphabet="abcAB019./:@_-[]% \n"))
def test_any_text_is_a_reference_or_a_bad_reference(text: str) -> None:
    """Nothing else comes out; what is read is written in a form that reads the same."""
    with contextlib.suppress(BadReference):
        reference = Reference.parse(text)

        assert reference == Reference.parse(str(reference))


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest"),
    [
        ("cr.l5d.io/linkerd/proxy:edge-26.8.3", "cr.l5d.io", "linkerd/proxy", "edge-26.8.3", None),
        ("ghcr.io/linkerd/proxy", "ghcr.io", "linkerd/proxy", "latest", None),
        (f"ghcr.io/linkerd/proxy@{_HEX}", "ghcr.io", "linkerd/proxy", "", _DIGEST),
        (f"ghcr.io/linkerd/proxy:v1@{_HEX}", "ghcr.io", "linkerd/proxy", "v1", _DIGEST),
        ("localhost:5000/proxy", "localhost:5000", "proxy", "latest", None),
        ("localhost/proxy:v1", "localhost", "proxy", "v1", None),
        ("[::1]:5000/proxy:v1", "[::1]:5000", "proxy", "v1", None),
        ("prom/prometheus:v3", "docker.io", "prom/prometheus", "v3", None),
        ("nginx", "docker.io", "library/nginx", "latest", None),
        ("docker.io/nginx:1", "docker.io", "library/nginx", "1", None),
        ("index.docker.io/prom/prometheus:v3", "docker.io", "prom/prometheus", "v3", None),
        ("REGISTRY/proxy:v1", "REGISTRY", "proxy", "v1", None),
        ("a/b/c/d:v1", "docker.io", "a/b/c/d", "v1", None),
    ],
)
def test_what_is_left_out_is_filled_in(text: str, host: str, path: str, tag: str, digest: Digest | None) -> None:
    """Host and `library/`, as Docker does; `latest` where there is neither tag nor digest."""
    assert Reference(Repository(host, path), tag, digest) == Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":v1",
        "@",
        "ghcr.io/",
        "ghcr.io/Linkerd/proxy",
        "ghcr.io/linkerd//proxy",
        "ghcr.io/linkerd/proxy:",
        "ghcr.io/linkerd/proxy@",
        "ghcr.io/linkerd/proxy:v1@sha256:00",
        f"ghcr.io/linkerd/proxy:@{_HEX}",
        "ghcr.io/linkerd/proxy:" + "v" * 129,
        "ghcr.io/linkerd/proxy:-v1",
        "ghcr.io/linkerd/../proxy:v1",
        "https://ghcr.io/linkerd/proxy:v1",
        "ghcr.io/linkerd/proxy:v1\n",
        "ghcr.io:port/proxy",
        "user@ghcr.io/proxy",
        "ghcr.io/" + "a" * 250,
        "ghcr.io/linkerd/prоxy:v1",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    """The error quotes it."""
    with pytest.raises(BadReference, match="is not an image reference"):
        Reference.parse(text)


def test_a_huge_text_is_refused_in_few_words() -> None:
    """The error is a sentence, not the text."""
    with pytest.raises(BadReference) as caught:
        Reference.parse("a" * 1_000_000)

    assert len(str(caught.value)) < 2000


def test_a_digest_wins_over_the_tag() -> None:
    """Content is read by the digest where there is one."""
    repository = Repository.parse("ghcr.io/linkerd/proxy")

    assert Reference(repository, "v1", _DIGEST).version == _DIGEST
    assert repository.tagged("v1").version == "v1"
    assert repository.name == "proxy"


def test_neither_tag_nor_digest_is_no_reference() -> None:
    """There would be nothing to read."""
    with pytest.raises(BadReference, match="neither"):
        Reference(Repository.parse("ghcr.io/linkerd/proxy"))
