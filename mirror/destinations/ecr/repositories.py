"""What an ECR repository is wanted to be, what it is, and how the two differ. Pure.

    Wanted, Seen ─► drift ─► Difference: in words, and whether it can be repaired

Encryption is for ever; everything else can be changed. Nothing is a difference that nobody asked for: tags beside ours,
scanning that is on, a policy where none is configured are left as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mirror.plan import RECORD_NAME

Aspect = Literal["tag mutability", "scanning", "encryption", "lifecycle policy", "repository policy", "tags"]

_ROOT = re.compile(r"arn:[a-z0-9-]+:iam::([0-9]{12}):root")


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a repository is made, and held to afterwards."""

    mutability: str = "IMMUTABLE_WITH_EXCLUSION"
    exclusions: tuple[str, ...] = ("sha256-*",)
    """Wildcards of the tags that mutability does not hold for; empty where it has no exclusion."""
    encryption: str = "AES256"
    kms_key: str = ""
    """Empty: AWS's own."""
    scan_on_push: bool = False
    lifecycle_policy: str = ""
    """JSON; empty: none of ours."""
    policy: str = ""
    """The repository policy, JSON; empty: none of ours."""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def at(self, path: str) -> Wanted:
        """What is wanted of the repository at *path*: the records are written anew, so their tags must move."""
        is_record = path.rpartition("/")[2] == RECORD_NAME
        return replace(self, mutability="MUTABLE", exclusions=()) if is_record else self

    @property
    def mutability_in_words(self) -> str:
        """As in `IMMUTABLE_WITH_EXCLUSION (sha256-*)`."""
        return _mutability(self.mutability, self.exclusions)


@dataclass(frozen=True, slots=True)
class Seen:
    """A repository as it is; None for what was not asked, or may not be read by us."""

    path: str
    arn: str
    mutability: str
    exclusions: tuple[str, ...]
    encryption: str
    kms_key: str
    scan_on_push: bool
    lifecycle_policy: str | None = None
    """Empty: there is none."""
    policy: str | None = None
    """Empty: there is none."""
    tags: Mapping[str, str] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it is wanted."""

    aspect: Aspect
    told: str
    """As in `its tag mutability is MUTABLE, and IMMUTABLE is wanted`."""

    @property
    def is_repairable(self) -> bool:
        """Whether ECR can change it."""
        return self.aspect != "encryption"


def drift(wanted: Wanted, seen: Seen) -> tuple[Difference, ...]:
    """How *seen* differs from *wanted*."""
    found: list[Difference] = []
    is_as_mutable = (wanted.mutability, sorted(wanted.exclusions)) == (seen.mutability, sorted(seen.exclusions))
    if not is_as_mutable:
        now = _mutability(seen.mutability, seen.exclusions)
        told = f"its tag mutability is {now}, and {wanted.mutability_in_words} is wanted"
        found.append(Difference("tag mutability", told))
    if wanted.scan_on_push and not seen.scan_on_push:
        found.append(Difference("scanning", "it does not scan on push, which is wanted"))
    if wanted.encryption != seen.encryption or not _is_key(wanted.kms_key, seen.kms_key):
        now, then = _encryption(seen.encryption, seen.kms_key), _encryption(wanted.encryption, wanted.kms_key)
        found.append(Difference("encryption", f"its encryption is {now}, and {then} is wanted"))
    if wanted.lifecycle_policy and _differs(wanted.lifecycle_policy, seen.lifecycle_policy):
        found.append(Difference("lifecycle policy", f"its lifecycle policy is {_whether(seen.lifecycle_policy)}"))
    if wanted.policy and _differs(wanted.policy, seen.policy):
        found.append(Difference("repository policy", f"its repository policy is {_whether(seen.policy)}"))
    if seen.tags is not None and (missing := set(wanted.tags.items()) - set(seen.tags.items())):
        names = ", ".join(f"{key}={value}" for key, value in sorted(missing))
        found.append(Difference("tags", f"it lacks the tags {names}"))
    return tuple(found)


def expires(lifecycle_policy: str) -> tuple[str, ...]:
    """The rules of *lifecycle_policy* that may take a tagged image away, in words.

    A rule for untagged images takes none of ours: what an index lists is kept as long as the index
    (docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html).
    """
    try:
        rules = json.loads(lifecycle_policy)["rules"]
        return tuple(told for told in map(_expiry, rules) if told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def canonical(policy: str) -> str:
    """*policy* in the one form that all of its spellings have; raises ValueError where it is no JSON object.

    AWS gives policies back in another order, with a list of one as the one, and with an account by its root
    (docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html).
    """
    try:
        document = json.loads(policy)
        if not isinstance(document, dict):
            raise ValueError("it is JSON, but no object")  # noqa: TRY004  one exception for what is not a policy
        return json.dumps(_canonical(document), sort_keys=True)
    except RecursionError as exc:
        raise ValueError("it nests too deep") from exc


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list):
        items = sorted((_canonical(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        return items[0] if len(items) == 1 else items
    if isinstance(value, str) and (root := _ROOT.fullmatch(value)):
        return root[1]
    return value


def _differs(wanted: str, seen: str | None) -> bool:
    if seen is None:  # it may not be read: nothing is claimed of it
        return False
    try:
        return canonical(wanted) != canonical(seen)
    except ValueError:
        return True


def _whether(seen: str | None) -> str:
    return "another one than is configured" if seen else "missing"


def _is_key(wanted: str, seen: str) -> bool:
    """Whether *seen*, an ARN, may be the key *wanted*: an ARN too, or an id; which key an alias is, only KMS knows."""
    is_alias = wanted.startswith("alias/") or ":alias/" in wanted
    return not wanted or is_alias or wanted == seen or seen.endswith(f":key/{wanted}")


def _mutability(mutability: str, exclusions: tuple[str, ...]) -> str:
    return f"{mutability} ({', '.join(exclusions)})" if exclusions else mutability


def _encryption(kind: str, key: str) -> str:
    return f"{kind} by {key}" if key else kind


def _expiry(rule: Mapping[str, Any]) -> str:
    selection, action = rule["selection"], rule["action"]["type"]
    if selection["tagStatus"] == "untagged":
        return ""
    tags = selection.get("tagPatternList") or selection.get("tagPrefixList") or ["all tags"]
    count, unit = selection.get("countNumber"), selection.get("countUnit")
    beyond = f"after {count} {unit}" if unit else f"beyond {count} images"
    does = "archives" if action != "expire" else "expires"
    return f"rule {rule.get('rulePriority')} {does} {', '.join(map(str, tags))} {beyond}"
