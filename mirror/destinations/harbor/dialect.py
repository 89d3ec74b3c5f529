"""What Harbor means by its answers, and what to do about its refusals (goharbor/harbor, src/server/middleware).

    answer                                         what it is                                   where
    ────────────────────────────────────────────── ──────────────────────────────────────────── ────────────────────────
    401 without a challenge, "project … not found" no such project: a 404 elsewhere             v2auth
    401, Basic realm="harbor"                      the account may not, or is not (any more)    v2auth
    403 DENIED, "… upper limit …"                  the project's storage quota                  quota
    403 DENIED, "… to a proxy project"             a proxy cache takes nothing                  repoproxy
    403 DENIED, "… read only mode"                 nobody may write at the moment               readonly
    412 PRECONDITION                               an immutable tag, be it the same manifest    immutable
    412 PROJECTPOLICYVIOLATION                     what is there may not be pulled              contenttrust, vulnerable
    413 REQUEST_ENTITY_TOO_LARGE                   a manifest of more than 4 MiB                src/lib/request.go
    413, a page of nginx's                         what stands before Harbor                    harbor-helm#859

A challenge that answers a request with an Authorization header is never read (oci/auth.py): Harbor's is Basic then,
also to a Bearer token.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

from mirror.destinations.harbor import words
from mirror.errors import AccessDenied, ImmutableTag, NotFound, RegistryError
from mirror.http.answer import Answer
from mirror.oci.dialect import Dialect
from mirror.oci.manifest import Manifest

_NO_PROJECT = re.compile(r"project (\S+) not found")
_NOT_ALLOWED = re.compile(r"unauthorized to access repository: \S+, action: ([a-z-]+)")
_QUOTA = re.compile(  # src/pkg/quota/errors.go, ResourceOverflow
    r"adding (.{1,20}) of storage resource, which when updated to current usage of (.{1,20}) "
    r"will exceed the configured upper limit of (.{1,20})\."
)
_TOO_LARGE_ON_THE_WAY = words.Advice(
    "what stands before Harbor does not let a body of this size through (413; Harbor's own nginx does)",
    'raise its limit, of an ingress-nginx by the annotation nginx.ingress.kubernetes.io/proxy-body-size: "0"',
)


class HarborDialect(Dialect):
    """Says of each refusal which setting of Harbor it is about."""

    asks_before_put: ClassVar[bool] = True  # a tag that a rule holds is refused even to the same manifest
    forgets_uploads: ClassVar[bool] = True  # a manifest makes the repository (src/server/registry/manifest.go)

    def meant(self, answer: Answer, *, sent: str) -> Answer:
        """See Dialect; a project that is missing is a 404. In an answer to HEAD there are no words for it."""
        if answer.status != 401 or answer.headers.get("www-authenticate"):
            return answer
        is_missing = _NO_PROJECT.search(answer.body[:4096].decode(errors="replace")) or (sent and not answer.body)
        return replace(answer, status=404) if is_missing else answer

    def explained(self, refused: RegistryError, *, manifest: Manifest | None = None) -> RegistryError:
        """See Dialect."""
        project, said = refused.where.partition("/")[2].partition("/")[0], refused.words
        match refused.status:
            case 401:
                return _told(AccessDenied, refused, _not_allowed(refused, project))
            case 404 if found := _NO_PROJECT.search(said):
                return _told(NotFound, refused, words.no_project(found[1]))
            case 403 if found := _QUOTA.search(said):
                return _told(RegistryError, refused, _over_quota(project, *found.groups()))
            case 403 if "to a proxy project" in said:
                return _told(RegistryError, refused, words.is_proxy_cache(project))
            case 403 if "read only mode" in said:
                return _told(RegistryError, refused, words.READ_ONLY)
            case 412 if "PROJECTPOLICYVIOLATION" in refused.codes:
                return _told(RegistryError, refused, _may_not_be_pulled(project, said))
            case 412 if "PRECONDITION" in refused.codes:
                return _told(ImmutableTag, refused, f"an immutable tag rule of the project {project} holds it: {said}")
            case 413 if "REQUEST_ENTITY_TOO_LARGE" in refused.codes:
                has = f"the manifest has {manifest.size} bytes, and " if manifest else ""
                return _told(RegistryError, refused, f"{has}Harbor takes no manifest of more than 4 MiB (413)")
            case 413:
                return _told(RegistryError, refused, _TOO_LARGE_ON_THE_WAY)
        return refused


def _not_allowed(refused: RegistryError, project: str) -> str:
    found = _NOT_ALLOWED.search(refused.words)
    action = found[1] if found else "pull" if refused.asked in ("GET", "HEAD") else "push"
    return (
        f"Harbor does not let this account {action} here (401 to {refused.asked}): it needs {words.may_push(project)}; "
        "of a secret that is wrong, and of a robot that is expired or disabled, Harbor says the same"
    )


def _over_quota(project: str, more: str, used: str, limit: str) -> words.Advice:
    told = f"the storage quota of the project {project} does not suffice: {used} of {limit} are used"
    return words.Advice(f"{told}, and {more} more are needed", words.RAISE_QUOTA)


def _may_not_be_pulled(project: str, said: str) -> str:
    policy = words.needs_signatures if "not signed by" in said else words.needs_scans
    return f"it cannot be read back ({said.removeprefix('PROJECTPOLICYVIOLATION ')}): {policy(project)}"


def _told(kind: type[RegistryError], refused: RegistryError, sentence: object) -> RegistryError:
    """*refused* as a *kind*, in a *sentence* of what, why, and what to do."""
    return refused.retold(f"{refused.where}: {sentence}", kind)
