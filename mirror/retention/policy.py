"""Retention: which of the releases that a mirror has recorded stay, and which may go. Pure.

A release goes only if its channel has a rule and none keeps it:

    rule                     keeps
    ──────────────────────── ──────────────────────────────────────────────────────────────────────────────────────
    keep = {CHANNEL = N}     the newest N releases of the channel that are recorded
    keep_for = D             what was recorded no longer ago than that, of every channel
    whatever is *wanted*     what the configuration asks for now, what is named, what lies on an upgrade path, what runs

A channel without a rule loses nothing; without any rule nothing goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mirror.durations import format_duration
from mirror.linkerd.release import Newest, Release, select


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept in any case."""

    keep: Mapping[str, int] = field(default_factory=dict)
    """By channel, how many of its newest releases."""
    keep_for: timedelta = timedelta()
    """Since a release was recorded; nothing: it counts not."""


@dataclass(frozen=True, slots=True)
class Held:
    """A release that is recorded."""

    release: Release
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a release, and why."""

    release: Release
    goes: bool
    reasons: tuple[str, ...]


def fates(held: Iterable[Held], policy: Policy, wanted: Mapping[Release, str], *, now: datetime) -> tuple[Fate, ...]:
    """The fate of each release that is *held*, newest first by channel; *wanted* says of some why they stay."""
    known = {each.release: each.recorded_at for each in held}
    channels = {release.channel for release in known}
    newest = {
        release: channel
        for channel in channels & set(policy.keep)
        for release in select(Newest(channel, policy.keep[channel]), known)
    }
    return tuple(
        _fate(release, known[release], policy, wanted.get(release, ""), is_newest=release in newest, now=now)
        for channel in sorted(channels)
        for release in select(Newest(channel, len(known)), known)
    )


def _fate(
    release: Release, recorded_at: datetime, policy: Policy, wanted: str, *, is_newest: bool, now: datetime
) -> Fate:
    stays, goes = [wanted] if wanted else [], list[str]()
    if release.channel in policy.keep:
        count = policy.keep[release.channel]
        told = f"among the newest {count} of {release.channel}" if count != 1 else f"the newest of {release.channel}"
        (stays if is_newest else goes).append(told if is_newest else f"not {told}")
    if policy.keep_for:
        span, is_young = format_duration(policy.keep_for), now - recorded_at <= policy.keep_for
        told = f"recorded no longer than {span} ago" if is_young else f"recorded more than {span} ago"
        (stays if is_young else goes).append(told)
    if not stays and not goes:
        stays.append(f"the channel {release.channel} has no rule")
    return Fate(release, goes=not stays, reasons=tuple(stays or goes))


def kept(before: Sequence[Fate], more: Mapping[Release, str]) -> tuple[Fate, ...]:
    """*before*, with what *more* says of some releases why they stay all the same."""
    return tuple(_kept(each, more[each.release]) if each.release in more else each for each in before)


def _kept(fate: Fate, reason: str) -> Fate:
    return Fate(fate.release, goes=False, reasons=(reason,) if fate.goes else (*fate.reasons, reason))
