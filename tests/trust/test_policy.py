"""Who signs what, since when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import SettingsError
from mirror.oci.reference import Reference, Repository
from mirror.trust.policy import (
    GITHUB,
    Expectation,
    Identity,
    Keyed,
    Keyless,
    NeverSigned,
    ThirdParty,
    Uncovered,
    expectation,
)
from tests.linkerd import charts

_WORKFLOWS = "https://github.com/linkerd/{}/.github/workflows/{}@refs/tags/{}"
_KEY = b"-----BEGIN PUBLIC KEY-----"


def _expected(name: str, tag: str, **more: Any) -> Expectation:
    return expectation([Repository.parse(name)], tag, **more)


def _workflow(repository: str, file: str, git_tag: str) -> Keyless:
    return Keyless(GITHUB, _WORKFLOWS.format(repository, file, git_tag))


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("controller", "edge-22.5.3"),
        ("controller", "edge-26.8.3"),
        ("proxy", "edge-25.11.3"),
        ("proxy", "stable-2.12.0"),
        ("proxy", "stable-2.12.0-rc1"),
        ("debug", "stable-2.14.10"),
        ("metrics-api", "edge-100.1.1"),
        ("cni-plugin", "stable-2.12.3"),
        ("policy-controller", "stable-2.13.0"),
        ("policy-controller", "edge-23.2.3"),
        ("jaeger-webhook", "edge-25.8.3"),
        ("something-new", "edge-27.1.1"),
    ],
)
def test_linkerds_release_signs_for_itself(name: str, tag: str) -> None:
    """linkerd2's own workflow, at the git tag of the release; a part that is new is its as well."""
    expected = _workflow("linkerd2", "release.yml", tag)

    assert expected == _expected(f"ghcr.io/linkerd/{name}", tag)
    assert expected == _expected(f"cr.l5d.io/linkerd/{name}", tag)


@pytest.mark.parametrize(
    ("name", "tag", "repository", "file", "git_tag"),
    [
        ("proxy-init", "v2.0.0", "linkerd2-proxy-init", "release.yml", "v2.0.0"),
        ("proxy-init", "v2.0.1", "linkerd2-proxy-init", "release-proxy-init.yml", "proxy-init/v2.0.1"),
        ("proxy-init", "v2.4.9", "linkerd2-proxy-init", "release-proxy-init.yml", "proxy-init/v2.4.9"),
        ("proxy-init", "v2.10.0", "linkerd2-proxy-init", "release-proxy-init.yml", "proxy-init/v2.10.0"),
        ("cni-plugin", "v1.0.0", "linkerd2-proxy-init", "release-cni-plugin.yml", "cni-plugin/v1.0.0"),
        ("cni-plugin", "v1.7.0-alpha.1", "linkerd2-proxy-init", "release-cni-plugin.yml", "cni-plugin/v1.7.0-alpha.1"),
        ("extension-init", "v0.1.0", "linkerd-extension-init", "release.yml", "release/v0.1.0"),
        ("extension-init", "v0.1.12", "linkerd-extension-init", "release.yml", "release/v0.1.12"),
    ],
)
def test_parts_with_versions_of_their_own(name: str, tag: str, repository: str, file: str, git_tag: str) -> None:
    """Each from the repository and the workflow that it is released from."""
    assert _workflow(repository, file, git_tag) == _expected(f"ghcr.io/linkerd/{name}", tag)


@pytest.mark.parametrize(
    ("name", "tag", "why"),
    [
        ("proxy", "stable-2.11.5", "unsigned upstream: signing began with 2.12"),
        ("proxy", "stable-2.9.12", "unsigned upstream: signing began with 2.12"),
        ("web", "edge-22.5.2", "unsigned upstream: signing began with edge-22.5.3"),
        ("web", "edge-21.12.31", "unsigned upstream: signing began with edge-22.5.3"),
        ("grafana", "stable-2.10.2", "unsigned upstream: signing began with 2.12"),
        ("proxy-init", "v1.5.3", "unsigned upstream: signing of proxy-init began with v2.0.0"),
        ("proxy-init", "v2.0.0-rc.1", "unsigned upstream: signing of proxy-init began with v2.0.0"),
        ("cni-plugin", "v0.9.0", "unsigned upstream: signing of cni-plugin began with v1.0.0"),
        ("extension-init", "v0.0.9", "unsigned upstream: signing of extension-init began with v0.1.0"),
        ("smi-adaptor", "v0.2.7", "unsigned upstream: linkerd-smi does not sign its images"),
        ("failover", "v0.1.3", "unsigned upstream: linkerd-failover does not sign its images"),
    ],
)
def test_what_was_never_signed_is_said(name: str, tag: str, why: str) -> None:
    """In words; versions are compared as versions."""
    assert NeverSigned(why) == _expected(f"ghcr.io/linkerd/{name}", tag)


@pytest.mark.parametrize("tag", ["stable-2.12.0", "stable-2.12.6", "edge-22.5.3", "edge-23.2.2"])
def test_the_policy_controllers_list_was_not_signed_at_first(tag: str) -> None:
    """Its images were, of each platform, and the list was made after that."""
    name = "ghcr.io/linkerd/policy-controller"
    expected = _expected(name, tag)

    assert isinstance(expected, NeverSigned)
    assert "list of platforms" in expected.why
    for architecture in ("amd64", "arm64", "arm"):
        assert _workflow("linkerd2", "release.yml", tag) == _expected(name, f"{tag}-{architecture}")


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("ghcr.io/linkerd/proxy", "latest"),
        ("ghcr.io/linkerd/proxy", "edge-26.8"),
        ("ghcr.io/linkerd/proxy", "xedge-26.8.3"),
        ("ghcr.io/linkerd/proxy", "v1.0.0"),
        ("ghcr.io/linkerd/proxy", ""),
        ("ghcr.io/linkerd/proxy-init", "latest"),
        ("ghcr.io/linkerd/cni-plugin", "1.0.0"),
        ("ghcr.io/linkerd/extension-init", "v1"),
        ("ghcr.io/linkerdio/proxy", "edge-26.8.3"),
        ("ghcr.io/buoyantio/proxy", "enterprise-2.19.4"),
        ("ghcr.io.evil.example/linkerd/proxy", "edge-26.8.3"),
        ("docker.io/linkerd/proxy", "edge-26.8.3"),
        ("docker.io/prom/prometheus-operator", "v1"),
        ("example.com/prom/prometheus", "v1"),
    ],
)
def test_what_nobody_vouches_for(name: str, tag: str) -> None:
    """Says what to write into the configuration."""
    expected = _expected(name, tag)

    assert isinstance(expected, Uncovered)
    assert "policy.identities" in expected.why


def test_every_image_that_charts_name_is_known() -> None:
    """Nothing of what a chart of Linkerd's has named so far is uncovered."""
    references = {
        Reference.parse(entry["ref"])
        for release in charts.rendered().values()
        for entries in release.values()
        for entry in entries
    }
    uncovered = [
        reference
        for reference in references
        if isinstance(expectation([reference.repository], reference.tag), Uncovered)
    ]

    assert 100 < len(references)
    assert [] == uncovered


def test_third_parties() -> None:
    """Those that charts name, by every name, and those of the configuration."""
    assert ThirdParty() == _expected("docker.io/prom/prometheus", "v2.55.1")
    assert ThirdParty() == _expected("prom/prometheus", "v2.55.1")
    assert ThirdParty() == _expected("gcr.io/google_containers/pause", "3.2")
    assert ThirdParty() == _expected("example.com/a/tool", "1", third_party=["example.com/a/*"])
    assert isinstance(_expected("example.com/b/tool", "1", third_party=["example.com/a/*"]), Uncovered)


def test_linkerds_images_are_not_made_third_parties() -> None:
    """A pattern that is too wide does not let them in unsigned."""
    expected = _expected("ghcr.io/linkerd/proxy", "edge-26.8.3", third_party=["**", "ghcr.io/**"])

    assert _workflow("linkerd2", "release.yml", "edge-26.8.3") == expected


def test_linkerds_images_are_linkerds_through_a_proxy() -> None:
    """An alias leads elsewhere, and who signs is the same; the configuration may go by any name."""
    names = [Repository.parse("cr.l5d.io/linkerd/proxy"), Repository.parse("proxy.example.com/ghcr/linkerd/proxy")]
    mine = Identity("proxy.example.com/ghcr/**", Keyless("https://issuer.example", "me@example.com"))

    assert _workflow("linkerd2", "release.yml", "edge-26.8.3") == expectation(names, "edge-26.8.3")
    assert mine.signer == expectation(names, "edge-26.8.3", identities=[mine])


def test_the_first_identity_that_matches_wins() -> None:
    """Before the built-in ones."""
    first = Identity("ghcr.io/linkerd/p*", Keyless("https://a.example", "https://a.example/{tag}"))
    second = Identity("ghcr.io/linkerd/*", Keyed(_KEY))

    assert Keyless("https://a.example", "https://a.example/x-1") == _expected(
        "ghcr.io/linkerd/proxy", "x-1", identities=[first, second]
    )
    assert Keyed(_KEY) == _expected("ghcr.io/linkerd/web", "x-1", identities=[first, second])


@pytest.mark.parametrize(
    ("images", "name", "covers"),
    [
        ("ghcr.io/me/*", "ghcr.io/me/a", True),
        ("ghcr.io/me/*", "ghcr.io/me/a/b", False),
        ("ghcr.io/me/**", "ghcr.io/me/a/b", True),
        ("ghcr.io/me/a", "ghcr.io/me/a", True),
        ("ghcr.io/me/a", "ghcr.io/me/ab", False),
        ("ghcr.io/me/a", "xghcr.io/me/a", False),
        ("ghcr.io/me/a.b", "ghcr.io/me/axb", False),
        ("*/me/a", "localhost:5000/me/a", True),
        ("**", "ghcr.io/me/a", None),
    ],
)
def test_patterns(images: str, name: str, covers: bool | None) -> None:
    """Over host and path, whole; one star stays in its place."""
    if covers is None:
        with pytest.raises(SettingsError, match="HOST/PATH"):
            Identity(images, Keyed(_KEY))
        return

    assert covers == Identity(images, Keyed(_KEY)).covers(Repository.parse(name))


@pytest.mark.parametrize(("issuer", "identity"), [("", "me"), ("https://issuer.example", ""), ("", "")])
def test_an_identity_without_issuer_or_name_is_refused(issuer: str, identity: str) -> None:
    """sigstore-python checks no issuer where it is empty; here there is none such."""
    with pytest.raises(SettingsError, match="needs both"):
        Keyless(issuer, identity)


def test_an_empty_key_is_refused() -> None:
    """It would be nobody's."""
    with pytest.raises(SettingsError, match="empty"):
        Keyed(b" \n")


def test_braces_that_are_no_tag_are_refused() -> None:
    """{version} would be compared as it stands, and never match."""
    with pytest.raises(SettingsError, match="braces"):
        Identity("ghcr.io/me/a", Keyless("https://issuer.example", "me/{version}"))


def test_an_identity_of_the_tag_needs_one() -> None:
    """An image that is named by digest alone has none; a key does not care."""
    identity = Identity("ghcr.io/me/a", Keyless("https://issuer.example", "me@{tag}"))

    assert isinstance(identity.of(""), Uncovered)
    assert Keyed(_KEY) == Identity("ghcr.io/me/a", Keyed(_KEY)).of("")


@given(st.text(max_size=40), st.sampled_from(["proxy", "proxy-init", "cni-plugin", "policy-controller", "failover"]))
def test_no_tag_is_third_party_or_escapes_its_workflow(tag: str, name: str) -> None:
    """Whatever a tag is, Linkerd's images are Linkerd's to sign."""
    expected = _expected(f"ghcr.io/linkerd/{name}", tag)

    assert not isinstance(expected, ThirdParty | Keyed)
    if isinstance(expected, Keyless):
        assert expected.identity.startswith("https://github.com/linkerd/")
        assert expected.identity.count("@refs/tags/") == 1
