"""What there is to say of a Harbor, and what to do about it: for refusals and for findings alike. Pure.

Where something is set is said as Harbor's own pages call it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """What is so, and what to do about it."""

    told: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.told}: {self.remedy}"


READ_ONLY = Advice(
    "Harbor is in read-only mode, so that nothing can be written",
    "let an administrator end that (Administration > Configuration > System Settings > Repository Read Only)",
)
RAISE_QUOTA = "raise it (Administration > Project Quotas), or delete what is not needed and run the garbage collection"
MAY_CREATE = (
    "create it by hand, or use a robot account of the system with the permission Create on Project: Harbor lets no "
    "robot of a project do that"
)


def no_project(project: str) -> Advice:
    """There is no such project."""
    return Advice(
        f"Harbor has no project {project}",
        "create it, or set create_project = true for this destination, with an account that may create projects",
    )


def is_proxy_cache(project: str) -> Advice:
    """Nothing can be written to the project."""
    return Advice(
        f"the project {project} is a proxy cache, which Harbor lets nobody push to",
        "give the destination a prefix in an ordinary project",
    )


def needs_signatures(project: str) -> Advice:
    """A policy that only lets signed images be pulled."""
    return Advice(
        f"the project {project} lets nobody pull what is not signed, which the platforms of an image, and the record, "
        "are not",
        "switch that off (the project's Configuration > Deployment security), and verify signatures where images run",
    )


def needs_scans(project: str) -> Advice:
    """A policy that prevents vulnerable images from running."""
    return Advice(
        f"the project {project} prevents vulnerable images from running (its Configuration > Deployment security)",
        "let it scan images on push and sync again once they are scanned, allow what was found (CVE allowlist), or "
        "switch that off",
    )


def may_push(project: str) -> str:
    """What an account needs."""
    return (
        f"the permissions Pull and Push on Repository in the project {project} (of a robot: the project's Robot "
        "Accounts, or Administration > Robot Accounts)"
    )


def may_delete(project: str) -> str:
    """What an account needs that is to delete."""
    return (
        f"it needs the permissions Delete on Artifact and Delete on Tag in the project {project} (of a robot: the "
        "project's Robot Accounts, or Administration > Robot Accounts)"
    )


def is_held(project: str, said: str) -> Advice:
    """An immutable tag rule keeps what is to be deleted."""
    return Advice(
        f"an immutable tag rule of the project {project} holds it ({plain(said)})",
        "disable the rule while mirror prune runs (the project's Policy > Tag Immutability), or keep the release",
    )


def plain(text: object) -> str:
    """*text* of Harbor's, as a terminal may show it: no line breaks, no escapes, not without end."""
    return "".join(filter(str.isprintable, str(text)))[:200]


def human(size: int) -> str:
    """*size* in bytes, as Harbor writes it (goharbor/harbor, src/pkg/quota/types/format.go)."""
    if size < 1024:
        return f"{size} B"
    value, unit = size / 1024, 0
    while value >= 1024 and unit < 5:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {'KMGTPE'[unit]}iB"
