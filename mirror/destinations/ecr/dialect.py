"""What ECR means by its answers, and what can be done about its refusals. Nothing here sends anything.

    seen                                                what it is
    ─────────────────────────────────────────────────── ────────────────────────────────────────────────────────────
    403 DENIED "authorization token has expired"        a 401: another token, once
    403 without a word, to a HEAD                       perhaps that, which nobody can tell: likewise
    400 TAG_INVALID "… repository is immutable"         an ImmutableTag, also for the image that it names already
    404 NAME_UNKNOWN                                    no such repository: the three ways to get one
    405 UNSUPPORTED "Invalid JSON syntax"               ManifestRefused, with the fields that ECR does not take
    403 DENIED "User: … is not authorized to perform"   AccessDenied, by whose policy, and where the right one is
    403 DENIED "… maximum allowed number of …"          a quota, which no credential helps
    429 TOOMANYREQUESTS "Rate exceeded"                 a quota of the account, which others use too

Sources are named where they are used; ECR itself was never asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from mirror.destinations.ecr.refusals import permission
from mirror.errors import AccessDenied, ImmutableTag, ManifestRefused, NotFound, RegistryError
from mirror.http.answer import Answer
from mirror.oci.dialect import Dialect
from mirror.oci.manifest import Manifest

_MIB = 1024 * 1024
_EXPIRED = "authorization token has expired"
_OBJECTIONS_MAX = 5


class EcrDialect(Dialect):
    """ECR's."""

    asks_before_put: ClassVar[bool] = True  # PutImage has the one quota that a mirror meets
    reads_without_credential: ClassVar[bool] = False
    chunk_sizes: ClassVar[tuple[int, ...]] = (10 * _MIB, 5 * _MIB)  # the most and the least that a part may have

    def meant(self, answer: Answer, *, sent: str) -> Answer:
        """See Dialect."""
        if answer.status != 403 or not sent:
            return answer
        # no body: an answer to HEAD cannot say why (convox/rack#678 has the words of one that can)
        may_have_expired = not answer.body or _EXPIRED.encode() in answer.body
        return replace(answer, status=401) if may_have_expired else answer

    def explained(self, refused: RegistryError, *, manifest: Manifest | None = None) -> RegistryError:
        """See Dialect."""
        words = refused.words
        if "TAG_INVALID" in refused.codes and "immutable" in words:
            return _told(refused, ImmutableTag, "tags of this repository may not be changed")
        if "NAME_UNKNOWN" in refused.codes:
            return _told(refused, NotFound, _WAYS_TO_A_REPOSITORY)
        if manifest is not None and "UNSUPPORTED" in refused.codes:
            return _told(refused, ManifestRefused, _what_is_wrong(manifest))
        if "maximum allowed number" in words:
            return _told(refused, RegistryError, _A_QUOTA)
        if _EXPIRED in words:
            return _told(refused, AccessDenied, _AN_OLD_LOGIN)
        if "is not authorized to perform" in words:
            return _told(refused, AccessDenied, permission(words, refused.asked))
        if refused.status == 401:
            return _told(refused, AccessDenied, _NO_LOGIN)
        if refused.status == 429:
            return _told(refused, RegistryError, _TOO_FAST)
        return refused


def objections(manifest: Manifest) -> tuple[str, ...]:
    """What ECR is known not to take in *manifest*, a clause each: which field, and where that is written.

    All that ECR itself says is "Invalid parameter at 'ImageManifest' … 'Invalid JSON syntax'".
    """
    try:
        view = json.loads(manifest.raw)
    except (ValueError, RecursionError):
        return ("it is not JSON",)
    return tuple(_objections(view)) if isinstance(view, dict) else ("it is not a JSON object",)


def _objections(view: Mapping[str, Any]) -> Iterator[str]:
    if not view.get("mediaType"):
        yield "it has no mediaType of its own (containers/image#584)"
    if "subject" in view and "artifactType" in view:
        yield "it has both subject and artifactType (aws/containers-roadmap#2783)"
    types = [("artifactType", view.get("artifactType"))]
    for name, descriptor in _descriptors(view):
        types.append((f"the mediaType of {name}", descriptor.get("mediaType")))
        if "data" in descriptor:
            yield f"{name} has embedded data (aws/containers-roadmap#2023)"
        platform = descriptor.get("platform")
        if isinstance(platform, dict) and "features" in platform:
            yield f"{name} has platform.features (aws/containers-roadmap#2439)"
        if name == "config" and "annotations" in descriptor:
            yield "config has annotations (aws/containers-roadmap#308)"
    for name, media_type in types:
        if isinstance(media_type, str) and ";" in media_type:
            yield f"{name} has a parameter, {media_type[:100]!r} (aws/containers-roadmap#2306)"


def _descriptors(view: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every descriptor of a manifest, whatever it is, by its place there."""
    for name in ("config", "subject"):
        if isinstance(descriptor := view.get(name), dict):
            yield name, descriptor
    for name in ("layers", "manifests"):
        entries = view.get(name)
        for at, descriptor in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(descriptor, dict):
                yield f"{name}[{at}]", descriptor


_WAYS_TO_A_REPOSITORY = (
    'let mirror make it (repository_creation = "explicit"), or make it yourself; ECR makes one on push only where a '
    "repository creation template for CREATE_ON_PUSH fits its name (aws/containers-roadmap#853)"
)
_A_QUOTA = "that is a quota and not a matter of credentials: delete images that nobody needs, or have the quota raised"
_AN_OLD_LOGIN = (
    "a token lasts twelve hours, and this one is not renewed: leave the registry's password out of the configuration, "
    "so that mirror asks for tokens with AWS credentials, or log in anew"
)
_NO_LOGIN = (
    "it took no token of ours: check that there are AWS credentials, and that they are for this account and region "
    "(`mirror doctor` says which are used)"
)
_TOO_FAST = (
    "that is a quota of the account in this region, which others use too: try again later, set requests_per_second "
    "for this registry, or have the quota raised"
)


def _what_is_wrong(manifest: Manifest) -> str:
    found = objections(manifest)
    what = "a manifest is copied byte for byte, so it cannot be stored there"
    if not found:
        return f"{what}; nothing is seen in it that ECR is known not to take"
    more = f"; and {len(found) - _OBJECTIONS_MAX} more" if len(found) > _OBJECTIONS_MAX else ""
    return f"{'; '.join(found[:_OBJECTIONS_MAX])}{more}: {what}"


def _told(refused: RegistryError, kind: type[RegistryError], remedy: str) -> RegistryError:
    """*refused* as a *kind*, in ECR's words and with what to do."""
    said = f": {refused.words}" if refused.words else ""
    return refused.retold(f"{refused.where}: ECR refused {refused.asked} ({refused.status}{said}): {remedy}", kind)
