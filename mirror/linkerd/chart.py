"""Charts: the classic chart repository's index, and archives read safely.

A *repository* is a web folder with an `index.yaml` (https://helm.sh/docs/topics/chart_repository/) that names archives
with their sha256. Of the index only what is needed is read; an archive is held to its digest before anything else is
done with it, and read in memory within bounds.

Which entries are a release's:

    chart                                     version of a release
    linkerd-control-plane, linkerd2 (≤ 2.11)  the entry whose appVersion is the release
    linkerd2-cni, -viz, -multicluster,        likewise; between 2.12 and edge-24.2.5, when several releases shared a
    -jaeger (until edge-25.10.1)              version, else that of the first release after it in its line
    linkerd-crds, which has no appVersion     the control plane's own CalVer version (since edge-24.3.1); else as above,
                                              by what was published at the same time, and at last the newest that was
                                              there a day after the control plane

A channel may consist of other charts than Linkerd's own (`Lineup`): the versions of the first of them, or the
appVersions where those name the channel, are its releases, and the others go with it by the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import yaml

from mirror.errors import AccessDenied, ChartError, NotFound, UnknownRelease, UsageError
from mirror.http.answer import parsed_target
from mirror.linkerd.parts import Chart, Fetcher
from mirror.linkerd.release import Release, nearest
from mirror.tasks import gather

INDEX_SIZE_MAX = 64 << 20
ARCHIVE_SIZE_MAX = 4 << 20
PROVENANCE_SIZE_MAX = 1 << 20
UNPACKED_SIZE_MAX = 16 << 20  # of all files together; linkerd-crds, the largest, is below 4 MiB
FILE_SIZE_MAX = 4 << 20
FILES_MAX = 2000
DEPTH_MAX = 64  # of YAML
ALIASES_MAX = 256  # of YAML; Linkerd's charts have up to 9
MERGES_MAX = 8  # of YAML (`<<`), which multiply; Linkerd's charts have none

# The first that a repository has for a release says what the release is.
MAIN_CHARTS = ("linkerd-control-plane", "linkerd2")
CRDS = "linkerd-crds"
# Linkerd's own, as facts of the project: its repositories hold others too (linkerd-failover, linkerd2-multicluster).
OWN_CHARTS = (CRDS, *MAIN_CHARTS, "linkerd2-cni", "linkerd-viz", "linkerd-multicluster", "linkerd-jaeger")

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


# --- the index -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChartEntry:
    """One version of one chart, as the index has it; what the index leaves out is empty."""

    name: str
    version: str
    app_version: str = ""
    kube_version: str = ""
    created: datetime | None = None
    sha256: str = ""
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Lineup:
    """The charts that the releases of a channel consist of."""

    channel: str = ""
    charts: tuple[str, ...] = ()
    """Empty: Linkerd's own. Else the first says what releases there are."""


@dataclass(frozen=True)  # no slots: what is derived from the entries is kept
class ChartIndex:
    """A chart repository's index: its entries by chart."""

    entries: Mapping[str, tuple[ChartEntry, ...]]
    lineup: Lineup = field(default_factory=Lineup)

    @classmethod
    def parse(cls, data: bytes, lineup: Lineup | None = None) -> ChartIndex:
        """The index that *data* holds, as Helm writes it or any YAML or JSON; raises ChartError."""
        try:
            text = data.decode()
        except UnicodeDecodeError as exc:
            raise ChartError(f"the chart index is not UTF-8: {exc}") from exc
        listing = _by_lines(text)
        return cls(_entries(_by_yaml(text) if listing is None else listing), lineup or Lineup())

    def releases(self) -> tuple[Release, ...]:
        """The releases that the repository has, newest first within a channel."""
        return tuple(sorted(self._main, reverse=True))

    def created(self, release: Release) -> datetime | None:
        """When *release* was published, where the index says so."""
        entry = self._main.get(release)
        return entry.created if entry else None

    @cached_property
    def _main(self) -> Mapping[Release, ChartEntry]:
        """The chart that says what a release is, by release."""
        if self.lineup.charts:
            entries = reversed(self.entries.get(self.lineup.charts[0], ()))
            return {release: entry for entry in entries if (release := self._versioned(entry))}
        return {**self._published[MAIN_CHARTS[1]], **self._published[MAIN_CHARTS[0]]}

    @cached_property
    def _published(self) -> Mapping[str, Mapping[Release, ChartEntry]]:
        """By chart and release, the entry; of two for one release the first, which is the newest."""
        return {
            name: {release: entry for entry in reversed(self.entries.get(name, ())) if (release := _release(entry))}
            for name in OWN_CHARTS
        }

    @cached_property
    def _published_crds(self) -> Mapping[Release, ChartEntry]:
        """The CRDs that were published with a release."""
        dated = self._dated_crds
        return {each: entry for each, chart in self._main.items() if (entry := _published_with(chart, dated))}

    @cached_property
    def _dated_crds(self) -> Sequence[ChartEntry]:
        return [entry for entry in self.entries.get(CRDS, ()) if entry.created and not _is_calver(entry)]

    def charts_of(self, release: Release) -> tuple[ChartEntry, ...]:
        """The charts of *release*, each at its version; raises UnknownRelease with the nearest ones."""
        main = self._main
        if release not in main:
            near = " and ".join(str(each) for each in nearest(str(release), main))
            raise UnknownRelease(
                f"the chart repository has no {release}" + (f": the nearest it has are {near}" if near else "")
            )
        if self.lineup.charts:
            found = (self._listed_with(release, name) for name in self.lineup.charts)
        else:
            found = (self._chart_of(release, name) for name in OWN_CHARTS)
        return tuple(entry for entry in found if entry is not None)

    def _versioned(self, entry: ChartEntry) -> Release | None:
        """The release that *entry* of the lineup's first chart is: its appVersion if that is one, else its version."""
        channel = self.lineup.channel
        named = _release(entry)
        if named is not None and named.channel == channel:
            return named
        try:
            return Release(channel, entry.version)
        except UsageError:
            return None

    def _listed_with(self, release: Release, name: str) -> ChartEntry | None:
        """The entry of *name* that goes with *release*: of its appVersion, else of the first chart's version."""
        main, entries = self._main[release], self.entries.get(name, ())
        if name == main.name:
            return main
        of_release = (entry for entry in entries if entry.app_version == str(release))
        of_version = (entry for entry in entries if entry.version == main.version)
        return next(of_release, None) or next(of_version, None)

    def _chart_of(self, release: Release, name: str) -> ChartEntry | None:
        """The version of chart *name* that goes with *release*."""
        control = self._main[release]
        if name in MAIN_CHARTS:
            return control if name == control.name else None
        is_split = control.name == MAIN_CHARTS[0]
        if name == CRDS:
            return self._crds(release) if is_split else None
        published = self._published[name]
        return published.get(release) or (_next(release, published) if is_split else None)

    def _crds(self, release: Release) -> ChartEntry | None:
        """The CRDs that go with *release*: they have no appVersion, and are known by when they were published."""
        control, entries = self._main[release], self.entries.get(CRDS, ())
        if same := [entry for entry in entries if entry.version == control.version and _is_calver(entry)]:
            return same[0]
        published = self._published_crds
        there = [entry for entry in self._dated_crds if _created(entry) <= _created(control) + _DAY]
        return published.get(release) or _next(release, published) or max(there, key=_created, default=None)


_DAY = timedelta(days=1)
_ONE_RUN = timedelta(minutes=10)


def _created(entry: ChartEntry) -> datetime:
    return entry.created or datetime.min.replace(tzinfo=UTC)


def _is_calver(entry: ChartEntry) -> bool:
    return re.match(r"20\d\d\.", entry.version) is not None


def _next(release: Release, published: Mapping[Release, ChartEntry]) -> ChartEntry | None:
    """The entry of the first release after *release* in its line; it was the same version at *release*.

    A chart that did not change keeps its version, and each release publishes it anew over what was there
    (bin/helm-build, `helm repo index --merge`), so that its entry tells of the last release that had it.
    """
    later = (
        each
        for each, entry in published.items()
        if each > release and _line(each) == _line(release) and not _is_calver(entry)
    )
    first = min(later, default=None)
    return None if first is None else published[first]


def _line(release: Release) -> tuple[str, tuple[int, ...]]:
    """What releases may share a version of a chart: those of one minor version; of the edge, all."""
    return release.channel, () if release.channel == "edge" else release.numbers[:2]


def _published_with(control: ChartEntry, crds: Iterable[ChartEntry]) -> ChartEntry | None:
    """Those of *crds* that one run published along with *control*."""
    run = [entry for entry in crds if control.created and abs(_created(entry) - control.created) < _ONE_RUN]
    return max(run, key=_created, default=None)


def _release(entry: ChartEntry) -> Release | None:
    try:
        return Release.parse(entry.app_version)
    except UsageError:
        return None


_WANTED = frozenset({"name", "version", "appVersion", "kubeVersion", "created", "digest"})
_Fields = dict[str, Any]


def _by_lines(text: str) -> dict[str, list[_Fields]] | None:  # noqa: PLR0912 — one pass, one table of cases
    """The wanted fields of each entry by chart, if *text* is of the shape that `helm repo index` writes; else None.

    That is ten times as fast as libyaml. The shape: charts are indented by two spaces, their entries' fields by four
    with `  - ` before the first, everything within a field by six or more but its lists, which are not indented.
    """
    listing: dict[str, list[_Fields]] = {}
    entries: list[_Fields] = []
    fields: _Fields = {}
    is_within = is_urls = is_wanted = False
    for line in text.split("\n"):
        if not is_within:
            if line == "entries:":
                is_within = True
            elif not re.fullmatch(r"(?:---|apiVersion: \S+|generated: \S+|)", line):
                return None
            continue
        if line.startswith("      "):
            if is_wanted:
                return None  # a wanted scalar that goes on
            continue
        if line.startswith("    - "):
            if is_urls:
                url = _plain(line[6:])
                if url is None:
                    return None
                fields["urls"].append(url)
            continue
        is_urls = is_wanted = False
        head = line[:4]
        if head in ("  - ", "    "):
            if head == "  - ":
                fields = {}
                entries.append(fields)
            key, colon, value = line[4:].partition(":")
            if not colon or not entries or not key.isalnum() or key in fields:
                return None
            if key in _WANTED:
                scalar = _plain(value[1:]) if value[:1] == " " else None
                if scalar is None:
                    return None
                fields[key] = scalar
                is_wanted = True
            elif key == "urls":
                if value:
                    return None
                fields["urls"] = []
                is_urls = True
        elif (
            head[:2] == "  " and line.endswith(":") and re.fullmatch(r"  [\w.-]+:", line) and line[2:-1] not in listing
        ):
            entries = listing[line[2:-1]] = []
            fields = {}
        elif re.fullmatch(r"(?:generated: \S+|)", line):
            continue
        else:
            return None
    return listing if is_within else None


def _plain(scalar: str) -> str | None:
    """A scalar on one line; None where it takes a YAML parser to say."""
    if re.fullmatch(r"[A-Za-z0-9_./~+][^\s#'\"\\]*", scalar) and not scalar.endswith(":"):
        return scalar
    if len(scalar) > 1 and scalar[0] == scalar[-1] and scalar[0] in "'\"" and not re.search(r"['\"\\]", scalar[1:-1]):
        return scalar[1:-1]
    return None


def _by_yaml(text: str) -> dict[str, list[_Fields]]:
    try:
        root = _json_or_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as exc:
        raise ChartError(f"the chart index is neither YAML nor JSON: {_brief(exc)}") from exc
    listing = root.get("entries") if isinstance(root, dict) else None
    if not isinstance(listing, dict):
        raise ChartError("the chart index has no entries: is this the address of a chart repository?")
    for name, entries in listing.items():
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ChartError(f"the chart index has something else than a list of versions for {str(name)[:100]!r}")
    return {str(name): entries for name, entries in listing.items()}


def _json_or_yaml(text: str) -> Any:
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return _yaml(text, _BaseLoader)


def plain_yaml(text: str) -> Any:
    """What *text* holds, every scalar as it is written (1.10 is a version, not a number); raises ValueError."""
    try:
        return _yaml(text, _BaseLoader)
    except (yaml.YAMLError, RecursionError) as exc:
        raise ValueError(_brief(exc)) from exc


def _yaml(text: str, loader: Any) -> Any:
    """What *text* holds; raises ValueError where PyYAML would crash (its C loader recurses) or grow without a bound."""
    depth = aliases = merges = 0
    for event in yaml.parse(text, loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        merges += isinstance(event, yaml.ScalarEvent) and event.value == "<<"
        if depth > DEPTH_MAX or aliases > ALIASES_MAX or merges > MERGES_MAX:
            raise ValueError(f"it is nested deeper than {DEPTH_MAX}, or repeats itself by aliases without end")
    return yaml.load(text, loader)  # noqa: S506 — a SafeLoader, or one that makes strings alone


def _brief(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:300]


def _entries(listing: Mapping[str, Sequence[_Fields]]) -> dict[str, tuple[ChartEntry, ...]]:
    return {name: tuple(_entry(name, fields) for fields in _unique(name, entries)) for name, entries in listing.items()}


def _unique(name: str, entries: Sequence[_Fields]) -> Sequence[_Fields]:
    versions = [entry.get("version") for entry in entries if isinstance(entry.get("version"), str)]
    if len(set(versions)) < len(versions):
        twice = next(version for version in versions if versions.count(version) > 1)
        raise ChartError(f"the chart index has {name} {str(twice)[:100]} twice: which of them is meant cannot be said")
    return entries


def _entry(name: str, fields: _Fields) -> ChartEntry:
    def text(key: str) -> str:
        value = fields.get(key, "")
        if not isinstance(value, str | int | float | None) or not str(value).isprintable():
            raise ChartError(f"the chart index has something else than a text as {key} of a version of {name}")
        return "" if value in (None, "null", "~") else str(value)

    version, urls = text("version"), fields.get("urls") or []
    if not version or text("name") != name:
        raise ChartError(f"the chart index has a version of {name[:100]} that lacks its version or its name")
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise ChartError(f"the chart index has something else than a list as urls of {name} {version}")
    return ChartEntry(
        name=name,
        version=version,
        app_version=text("appVersion"),
        kube_version=text("kubeVersion"),
        created=_time(text("created"), f"{name} {version}"),
        sha256=text("digest").removeprefix("sha256:"),
        urls=tuple(urls),
    )


def _time(text: str, what: str) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ChartError(f"the chart index has {text[:100]!r} as the time when {what} was created") from exc


# --- archives --------------------------------------------------------------------------------------------------------


def read_archive(data: bytes, *, name: str, version: str, sha256: str, where: str) -> Chart:
    """The chart in the archive *data*, which has the digest *sha256*; raises ChartError naming *where* it came from."""
    if len(data) > ARCHIVE_SIZE_MAX:
        raise ChartError(f"{where}: the archive is larger than {ARCHIVE_SIZE_MAX} bytes")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ChartError(f"{where}: the chart index has no sha256 for {name} {version}")
    actual = hashlib.sha256(data).hexdigest()
    if actual != sha256:
        raise ChartError(f"{where}: the archive has the digest sha256:{actual}, the chart index says sha256:{sha256}")
    files = _Unpacking(where).files(data)
    metadata = mapping(files.get("Chart.yaml"), f"{where}: Chart.yaml")
    if (metadata.get("name"), str(metadata.get("version"))) != (name, version):
        raise ChartError(
            f"{where}: the archive is of {metadata.get('name')!s:.100} {metadata.get('version')!s:.100}, "
            f"not of {name} {version}"
        )
    return Chart(
        name=name,
        version=version,
        app_version=str(metadata.get("appVersion") or ""),
        kube_version=str(metadata.get("kubeVersion") or ""),
        archive=data,
        sha256=sha256,
        values=mapping(files.get("values.yaml", ""), f"{where}: values.yaml"),
        files=files,
    )


class _ValuesLoader(_SafeLoader):  # type: ignore[misc] # it is one of two classes
    """YAML as Helm reads it: what looks like a time is text."""


_ValuesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}


def mapping(text: str | None, where: str) -> dict[str, Any]:
    """The map that the YAML *text* holds, nothing for an empty one; raises ChartError naming *where* it is."""
    if text is None:
        raise ChartError(f"{where} is missing: this is not a chart")
    try:
        value = _yaml(text, _ValuesLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ChartError(f"{where} is not YAML: {_brief(exc)}") from exc
    if not isinstance(value or {}, dict):
        raise ChartError(f"{where} is not a mapping")
    return value or {}


class _Unpacking:
    """Reads a chart's archive, and those packed in its charts/ folder, within one budget."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._size_left = UNPACKED_SIZE_MAX
        self._files_left = FILES_MAX

    def files(self, data: bytes, *, is_nested: bool = False) -> dict[str, str]:
        """The wanted files of an archive by their paths below the chart."""
        files: dict[str, str] = {}
        for path, content in self._members(data):
            if packed := re.fullmatch(r"charts/([A-Za-z0-9._-]+)\.tgz", path):
                if is_nested:
                    raise self._error(f"{path} is packed within a chart that is itself packed")
                inner = self.files(content, is_nested=True)
                folder = f"charts/{_folder(inner, packed[1])}"
                files |= {f"{folder}/{below}": text for below, text in inner.items()}
            else:
                files[path] = self._text(path, content)
        return files

    def _members(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The wanted regular files; links and devices are left out."""
        try:
            with tarfile.open(fileobj=io.BytesIO(self._unzipped(data))) as tar:
                for member in tar:
                    self._files_left -= 1
                    if self._files_left < 0:
                        raise self._error(f"the archive has more than {FILES_MAX} entries")
                    path = self._path(member.name)
                    if not member.isreg() or not _is_wanted(path):
                        continue
                    if member.issparse() or member.size > FILE_SIZE_MAX:
                        raise self._error(f"{path} is larger than {FILE_SIZE_MAX} bytes")
                    content = tar.extractfile(member)
                    yield path, content.read() if content else b""
        except (tarfile.TarError, ValueError, EOFError, OverflowError) as exc:
            raise self._error(f"the archive cannot be read: {_brief(exc)}") from exc

    def _unzipped(self, data: bytes) -> bytes:
        """What *data* unpacks to; a bomb is stopped at the budget."""
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unzip:
                unpacked = unzip.read(self._size_left + 1)
        except (OSError, EOFError, zlib.error) as exc:
            raise self._error(f"the archive cannot be unpacked: {_brief(exc)}") from exc
        self._size_left -= len(unpacked)
        if self._size_left < 0:
            raise self._error(f"the archive unpacks to more than {UNPACKED_SIZE_MAX} bytes")
        return unpacked

    def _path(self, name: str) -> str:
        """The path below the chart's own folder."""
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
            raise self._error(f"the archive has the path {name[:200]!r}, which leaves the chart")
        return "/".join([part for part in parts if part not in ("", ".")][1:])

    def _text(self, path: str, content: bytes) -> str:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            raise self._error(f"{path} is not UTF-8") from exc

    def _error(self, what: str) -> ChartError:
        return ChartError(f"{self._where}: {what}")


_FILE = re.compile(
    r"(?:charts/[^/]+/)*(?:templates/.+|Chart\.yaml|values[^/]*\.yaml)|requirements\.yaml|charts/[^/]+\.tgz"
)


def _is_wanted(path: str) -> bool:
    return _FILE.fullmatch(path) is not None


def _folder(files: Mapping[str, str], packed: str) -> str:
    """The folder of a packed chart, as it would have unpacked: its name."""
    match = re.search(r"^name:\s*[\"']?([A-Za-z0-9._-]+)", files.get("Chart.yaml", ""), re.MULTILINE)
    return match[1] if match else packed


# --- the repository --------------------------------------------------------------------------------------------------


class ChartRepository:
    """A chart repository at *url*, read through *fetcher*."""

    def __init__(self, url: str, fetcher: Fetcher, lineup: Lineup | None = None) -> None:
        self.url: Final = url.rstrip("/") + "/"
        self._lineup = lineup or Lineup()
        self._fetcher = fetcher
        self._etag = ""
        self._index: ChartIndex | None = None

    @property
    def has_etag(self) -> bool:
        """Whether the index, as it was read last, need not be read again before it has changed."""
        return bool(self._etag)

    async def index(self) -> ChartIndex:
        """The index as it is now; read again only if it has changed since the last time."""
        url = urljoin(self.url, "index.yaml")
        fetched = await self._fetcher.fetch(url, bound=INDEX_SIZE_MAX, etag=self._etag if self._index else "")
        if fetched.body is None:
            if self._index is None:
                raise ChartError(f"{url}: the answer has no chart index")
            return self._index
        try:
            self._index = await asyncio.to_thread(ChartIndex.parse, fetched.body, self._lineup)
        except ChartError as exc:
            raise ChartError(f"{url}: {exc}") from exc
        self._etag = fetched.etag
        return self._index

    async def chart(self, entry: ChartEntry) -> Chart:
        """The chart of *entry*, held to its digest; raises ChartError."""
        url = self._archive_url(entry)
        fetched = await self._fetcher.fetch(url, bound=ARCHIVE_SIZE_MAX)
        if fetched.body is None:
            raise ChartError(f"{url}: the answer has no archive")
        return await asyncio.to_thread(
            read_archive, fetched.body, name=entry.name, version=entry.version, sha256=entry.sha256, where=url
        )

    async def charts(self, entries: Iterable[ChartEntry]) -> tuple[Chart, ...]:
        """The charts of *entries*, fetched at the same time."""
        return tuple(await gather(*map(self.chart, entries)))

    async def provenance(self, entry: ChartEntry) -> bytes:
        """The provenance file of *entry* (NAME.tgz.prov); empty where there is none, or one of another archive."""
        try:
            fetched = await self._fetcher.fetch(f"{self._archive_url(entry)}.prov", bound=PROVENANCE_SIZE_MAX)
        except (NotFound, AccessDenied):  # a bucket that may not be listed answers 403 for what is not in it
            return b""
        signed = fetched.body or b""
        # https://helm.sh/docs/topics/provenance: it names the archive's digest
        return signed if f"sha256:{entry.sha256}".encode() in signed else b""

    def _archive_url(self, entry: ChartEntry) -> str:
        """Where the archive is; charts do not choose where we connect."""
        if not entry.urls:
            raise ChartError(f"{self.url}: the chart index has no address for {entry}")
        ours, theirs = urlsplit(self.url), parsed_target(self.url, entry.urls[0])
        if theirs is None:
            raise ChartError(f"{self.url}: the chart index says that {entry} is at what is not an address of a server")
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise ChartError(
                f"{self.url}: the chart index says that {entry} is at {theirs.scheme}://{theirs.hostname}, "
                f"which is another host than its own"
            )
        return theirs.geturl()
