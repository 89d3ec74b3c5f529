"""Versions of the project: what the file says, what is refused, and the copy that stands in for it."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
from structlog.testing import capture_logs

from mirror.errors import ChartError, MirrorError, UnknownRelease, Unreachable
from mirror.linkerd import versions
from mirror.linkerd.parts import Fetched
from mirror.linkerd.release import ProjectVersion, Release
from mirror.linkerd.versions import COPIED, COPY, Versions, VersionsFile, parse

URL = "https://example.com/versions.yaml"
FILE = """\
- version: "2.10"
  edge: "edge-26.6.3"
  releaseDate: "June 23, 2026"
  announcement: "/blog/2026/"
- version: "2.9"
  edge: edge-25.10.7
  releaseDate: October 31, 2025
"""


class Answer:
    """What answers with *body*, or fails with it."""

    def __init__(self, body: bytes | MirrorError) -> None:
        self._body = body

    async def fetch(self, url: str, *, bound: int, etag: str = "") -> Fetched:
        assert (URL, versions.FILE_SIZE_MAX) == (url, bound)
        if isinstance(self._body, MirrorError):
            raise self._body
        return Fetched(self._body)


async def read(body: bytes | MirrorError) -> tuple[Versions, list[str]]:
    """What is read of *body*, and the reasons that were given for using the copy."""
    with capture_logs() as logs:
        found = await VersionsFile(URL, Answer(body)).read()
    return found, [f"{line['event']}: {line['reason']}; {line['used']}" for line in logs]


def test_a_version_is_an_edge_release() -> None:
    """2.10 comes after 2.9, and is no number."""
    found = parse(FILE.encode(), where=URL)

    assert Release("edge", "26.6.3") == found.release(ProjectVersion(2, 10))
    assert date(2025, 10, 31) == found.released[ProjectVersion(2, 9)]


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("edge-25.10.6", None),
        ("edge-25.10.7", ProjectVersion(2, 9)),
        ("edge-26.6.2", ProjectVersion(2, 9)),
        ("edge-26.6.3", ProjectVersion(2, 10)),
        ("edge-30.1.1", ProjectVersion(2, 10)),
        ("stable-2.14.10", ProjectVersion(2, 14)),
        ("enterprise-2.19.4", ProjectVersion(2, 19)),
    ],
)
def test_a_release_is_part_of_the_version_at_or_before_it(release: str, version: ProjectVersion | None) -> None:
    """Other channels say it in their names."""
    assert version == parse(FILE.encode(), where=URL).of(Release.parse(release))


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("2.11", f"^{URL} has no version 2.11: it has 2.9 to 2.10$"),
        ("2.8", "it has 2.9 to 2.10; versions before that are of the channel stable, as stable-2.14.10$"),
    ],
)
def test_a_version_that_is_not_there(version: str, why: str) -> None:
    """What there is is said, and where it was looked for."""
    with pytest.raises(UnknownRelease, match=why):
        parse(FILE.encode(), where=URL).release(ProjectVersion.parse(version))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a list"),
        ("404: Not Found", "is not a list"),
        ("[]", "is not a list"),
        ("{", "is not YAML"),
        ("\x00", "is not YAML"),
        ("[" * 100, "is not YAML"),
        ("- 1", "has an entry that is not"),
        ("- [version]", "has an entry that is not"),
        (FILE.replace("edge:", "stable:"), "has an entry that is not"),
        (FILE.replace("June 23, 2026", "2026-06-23"), "has an entry that is not"),
        (FILE.replace('"2.10"', "[2]"), "has an entry that is not"),
        (FILE.replace("2.10", "two"), "'two' is not a version of the project"),
        (FILE.replace("edge-26.6.3", "stable-2.14.10"), "2.10 is stable-2.14.10, which is not an edge release"),
        (FILE.replace("2.10", "2.9"), "has a version twice, or"),
        (FILE.replace("2.10", "2.8"), "or a later version with an earlier release"),
    ],
)
def test_another_file_is_one_sentence(text: str, why: str) -> None:
    """It names the place, and goes on for one line."""
    with pytest.raises(ChartError, match=why) as failed:
        parse(text.encode(), where=URL)

    assert str(failed.value).startswith(f"{URL} ")
    assert "\n" not in str(failed.value)


async def test_the_file_is_what_counts() -> None:
    """And nothing is said."""
    found, told = await read(FILE.encode())

    assert {ProjectVersion(2, 10), ProjectVersion(2, 9)} == set(found.releases)
    assert [] == told


@pytest.mark.parametrize("body", [Unreachable("raw.example did not answer"), b"<html>", b"\xff", b""])
async def test_without_the_file_the_copy_counts(body: bytes | MirrorError) -> None:
    """The warning names why, and the day of the copy."""
    found, [told] = await read(body)

    assert COPY == found
    assert Release("edge", "25.10.7") == found.release(ProjectVersion(2, 19))
    assert told.startswith("versions.copy_used: ")
    assert told.endswith("mirror's copy of 2026-08-20 of linkerd.io's versions")


async def test_a_file_that_takes_its_time_is_not_waited_for() -> None:
    """It is worth some seconds, not a run."""

    class Never:
        async def fetch(self, url: str, *, bound: int, etag: str = "") -> Fetched:
            await asyncio.Event().wait()
            raise AssertionError

    assert COPY == await VersionsFile(URL, Never(), patience_s=0.01).read()


def test_the_copy_is_of_its_day() -> None:
    """Every version in it was released before it was made, later ones later."""
    ordered = sorted(COPY.releases)

    assert ordered == sorted(COPY.released)
    assert sorted(COPY.releases.values()) == [COPY.releases[version] for version in ordered]
    assert sorted(COPY.released.values()) == [COPY.released[version] for version in ordered]
    assert max(COPY.released.values()) <= COPIED
