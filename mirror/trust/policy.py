"""Who signs what, since when: from a repository and a tag to what is to be expected of its signature. Decides only.

    configured identities, in their order ─► Linkerd's own, below ─► third parties ─► Uncovered

Linkerd signs without keys, from its release workflows on GitHub (linkerd2#8519), so an identity is a workflow at the
git tag of the release: certain for each image and tag, and compared by equality.

    image                       signed since             workflow, and the git tag
    ─────────────────────────── ──────────────────────── ──────────────────────────────────────────────────────────────
    linkerd2's, edge-…          edge-22.5.3              linkerd2 release.yml, the release
    linkerd2's, stable-…        stable-2.12.0            linkerd2 release.yml, the release
    policy-controller           edge-23.2.3, 2.13.0      as above; before, its list of platforms was put together after
                                                         the platforms' images were signed (linkerd2#10334)
    proxy-init                  v2.0.0                   linkerd2-proxy-init release.yml, v2.0.0
                                later                    linkerd2-proxy-init release-proxy-init.yml, proxy-init/vX.Y.Z
    cni-plugin, v…              v1.0.0                   linkerd2-proxy-init release-cni-plugin.yml, cni-plugin/vX.Y.Z
    extension-init              v0.1.0                   linkerd-extension-init release.yml, release/vX.Y.Z
    smi-adaptor, failover       never

The sources are the workflow files at each tag; of linkerd2 such a signature has been seen in public, the others are
inferred.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, total_ordering

from mirror.errors import SettingsError
from mirror.oci.content import Digest
from mirror.oci.reference import Repository

GITHUB = "https://token.actions.githubusercontent.com"
LINKERD = frozenset({"ghcr.io", "cr.l5d.io"})
"""Where Linkerd's own images are, below `linkerd/`: by the charts' name and by the real one."""
THIRD_PARTIES = (
    "docker.io/curlimages/curl",
    "docker.io/jaegertracing/all-in-one",
    "docker.io/library/nginx",
    "docker.io/omnition/opencensus-collector",
    "docker.io/otel/opentelemetry-collector",
    "docker.io/otel/opentelemetry-collector-contrib",
    "docker.io/prom/prometheus",
    "gcr.io/google_containers/pause",
    "registry.k8s.io/pause",
)
"""What Linkerd's charts name of others, who sign otherwise or not at all."""
_TAG = "{tag}"


@dataclass(frozen=True, slots=True)
class Keyless:
    """Signed by *identity*, whom *issuer* vouched for; valid from birth: neither is empty."""

    issuer: str
    identity: str

    def __post_init__(self) -> None:
        if not self.issuer or not self.identity:
            raise SettingsError(
                "an identity needs both issuer and identity: without one of them anybody's signature would do"
            )


@dataclass(frozen=True, slots=True)
class Keyed:
    """Signed by the private half of *key*, PEM; with *transparency_log*, and entered there."""

    key: bytes
    transparency_log: bool = False

    def __post_init__(self) -> None:
        if not self.key.strip():
            raise SettingsError("an identity's key is empty: expected a PEM public key, as cosign.pub")

    @property
    def digest(self) -> Digest | None:
        """Of its SubjectPublicKeyInfo, as verdicts call it; None for what is no PEM of a public key (RFC 7468)."""
        body = re.search(rb"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----", self.key)
        try:
            return Digest.of(b64decode(body[1])) if body else None
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class NeverSigned:
    """Upstream did not sign it; *why*, in words."""

    why: str


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """Of others than Linkerd, and pinned to the digest that was recorded first."""


@dataclass(frozen=True, slots=True)
class Uncovered:
    """Nobody has said who signs it; *why*, in words that say what to do."""

    why: str


Expectation = Keyless | Keyed | NeverSigned | ThirdParty | Uncovered


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs the images that *images* matches: *signer*, in whose identity `{tag}` stands for the image's tag.

    *images* is a pattern over HOST/PATH: `*` stands for anything but a slash, `**` for anything.
    """

    images: str
    signer: Keyless | Keyed

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._:/*\[\]-]+", self.images) or "/" not in self.images:
            raise SettingsError(
                f"{self.images[:200]!r} is not a pattern of images: expected HOST/PATH, as ghcr.io/me/*"
            )
        if isinstance(self.signer, Keyless) and re.search(r"[{}]", self.signer.identity.replace(_TAG, "")):
            raise SettingsError(f"the identity {self.signer.identity[:200]!r} has braces that are not {_TAG}")

    def covers(self, repository: Repository) -> bool:
        """Whether this is of *repository*."""
        return _pattern(self.images).fullmatch(str(repository)) is not None

    def of(self, tag: str) -> Keyless | Keyed | Uncovered:
        """Who is to have signed the image at *tag*."""
        if isinstance(self.signer, Keyed) or _TAG not in self.signer.identity:
            return self.signer
        if not tag:
            return Uncovered(f"it has no tag, which the identity of its signer is made of ({self.signer.identity})")
        return Keyless(self.signer.issuer, self.signer.identity.replace(_TAG, tag))


_WILD = {"*": "[^/]*", "**": ".*"}


@lru_cache(maxsize=256)
def _pattern(images: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*?)", images)
    return re.compile("".join(_WILD.get(part, re.escape(part)) for part in parts))


def expectation(
    names: Sequence[Repository], tag: str, *, identities: Sequence[Identity] = (), third_party: Sequence[str] = ()
) -> Expectation:
    """What is to be expected of the signature of the image at *tag*.

    *names* are all that its repository goes by, from the one that a chart has to the one after every alias: Linkerd's
    images are Linkerd's, whatever proxy they come through. *third_party* has patterns as `Identity.images`.
    """
    for identity in identities:
        if any(map(identity.covers, names)):
            return identity.of(tag)
    for name in names:
        if name.host in LINKERD and name.path.startswith("linkerd/"):
            return _linkerds(name.path.removeprefix("linkerd/"), tag)
    known = (*THIRD_PARTIES, *third_party)
    if any(_pattern(pattern).fullmatch(str(name)) for pattern in known for name in names):
        return ThirdParty()
    return Uncovered(
        f"nobody has said who signs {names[-1]}: name its signer in [[policy.identities]], "
        "or list it in policy.third_party_images"
    )


# Linkerd's own


@total_ordering
@dataclass(frozen=True, slots=True)
class _Version:
    """A version of a part that has its own: `v1.7.0-alpha.1`, in the order of SemVer 2.0.0 (§11)."""

    numbers: tuple[int, int, int]
    before: tuple[tuple[int, int | str], ...]
    """The parts of a pre-release; none for a release."""

    @classmethod
    def parse(cls, tag: str) -> _Version | None:
        match = re.fullmatch(r"v(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,64}))?", tag, re.ASCII)
        if match is None:
            return None
        parts = match[4].split(".") if match[4] else []
        before = tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)
        return cls((int(match[1]), int(match[2]), int(match[3])), before)

    def __lt__(self, other: _Version) -> bool:
        return (self.numbers, not self.before, self.before) < (other.numbers, not other.before, other.before)


_RELEASE = re.compile(r"(edge|stable)-(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,64}))?", re.ASCII)
_SIGNED_SINCE = {"edge": (22, 5, 3), "stable": (2, 12, 0)}
_LIST_SIGNED_SINCE = {"edge": (23, 2, 3), "stable": (2, 13, 0)}
_ARCHITECTURES = frozenset({"amd64", "arm64", "arm"})
_POLICY_CONTROLLER = "policy-controller"


def _workflow(repository: str, file: str, git_tag: str) -> Keyless:
    return Keyless(GITHUB, f"https://github.com/linkerd/{repository}/.github/workflows/{file}@refs/tags/{git_tag}")


def _linkerds(name: str, tag: str) -> Expectation:
    release = _RELEASE.fullmatch(tag)
    if release:
        return _core(name, tag, release)
    if name in _OF_THEIR_OWN:
        return _OF_THEIR_OWN[name](tag)
    return Uncovered(
        f"{tag!r} is not the tag of a release of linkerd/{name}, whose signer would be known: name its signer in "
        "[[policy.identities]]"
    )


def _core(name: str, tag: str, release: re.Match[str]) -> Expectation:
    channel, architecture = release[1], release[5]
    numbers = (int(release[2]), int(release[3]), int(release[4]))
    if numbers < _SIGNED_SINCE[channel]:
        began = "edge-22.5.3" if channel == "edge" else "2.12"
        return NeverSigned(f"unsigned upstream: signing began with {began}")
    if name == _POLICY_CONTROLLER and numbers < _LIST_SIGNED_SINCE[channel]:
        if architecture in _ARCHITECTURES:
            return _workflow("linkerd2", "release.yml", tag.removesuffix(f"-{architecture}"))
        return NeverSigned(
            "unsigned upstream: until edge-23.2.3 and 2.13 the policy controller's list of platforms was not signed"
        )
    return _workflow("linkerd2", "release.yml", tag)


def _proxy_init(tag: str) -> Expectation:
    first = _Version((2, 0, 0), ())
    version = _Version.parse(tag)
    if version is None:
        return _no_version("proxy-init", tag)
    if version < first:
        return NeverSigned("unsigned upstream: signing of proxy-init began with v2.0.0")
    if version == first:
        return _workflow("linkerd2-proxy-init", "release.yml", tag)
    return _workflow("linkerd2-proxy-init", "release-proxy-init.yml", f"proxy-init/{tag}")


def _cni_plugin(tag: str) -> Expectation:
    version = _Version.parse(tag)
    if version is None:
        return _no_version("cni-plugin", tag)
    if version < _Version((1, 0, 0), ()):
        return NeverSigned("unsigned upstream: signing of cni-plugin began with v1.0.0")
    return _workflow("linkerd2-proxy-init", "release-cni-plugin.yml", f"cni-plugin/{tag}")


def _extension_init(tag: str) -> Expectation:
    version = _Version.parse(tag)
    if version is None:
        return _no_version("extension-init", tag)
    if version < _Version((0, 1, 0), ()):
        return NeverSigned("unsigned upstream: signing of extension-init began with v0.1.0")
    return _workflow("linkerd-extension-init", "release.yml", f"release/{tag}")


def _unsigned(project: str) -> Callable[[str], Expectation]:
    return lambda _: NeverSigned(f"unsigned upstream: {project} does not sign its images")


def _no_version(name: str, tag: str) -> Uncovered:
    return Uncovered(
        f"{tag!r} is not a version of {name}, whose signer would be known: name its signer in [[policy.identities]]"
    )


_OF_THEIR_OWN: Mapping[str, Callable[[str], Expectation]] = {
    "cni-plugin": _cni_plugin,
    "extension-init": _extension_init,
    "failover": _unsigned("linkerd-failover"),
    "proxy-init": _proxy_init,
    "smi-adaptor": _unsigned("linkerd-smi"),
}
