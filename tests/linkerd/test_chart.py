"""Chart repositories: the index in every shape, a release's charts, archives held to their digest and bounds."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import ChartError, MirrorError, UnknownRelease
from mirror.linkerd import chart as module
from mirror.linkerd.chart import ChartEntry, ChartIndex, ChartRepository, read_archive
from mirror.linkerd.parts import Chart, Fetched
from mirror.linkerd.release import Release
from tests.linkerd.charts import archive, chart_files, charts_of, index, packed, repository

URL = "https://charts.example/edge"
CONTROL = "linkerd-control-plane"
Fields = dict[str, Any]


def fields(name: str, version: str, app_version: str = "", created: str = "2026-01-01T00:00:00Z") -> Fields:
    """One version of a chart in an index."""
    known = {
        "name": name,
        "version": version,
        "created": created,
        "digest": "a" * 64,
        "urls": [f"{name}-{version}.tgz"],
    }
    return known | ({"appVersion": app_version} if app_version else {})


def parsed(*entries: Fields) -> ChartIndex:
    """The index with *entries*, as Helm writes it."""
    by_name: dict[str, list[Fields]] = {}
    for each in entries:
        by_name.setdefault(each["name"], []).append(each)
    return ChartIndex.parse(index(by_name).encode())


def versions(of: ChartIndex, release: str) -> dict[str, str]:
    """The charts of *release*."""
    return {entry.name: entry.version for entry in of.charts_of(Release.parse(release))}


# --- the index -------------------------------------------------------------------------------------------------------

HELM = b"""\
apiVersion: v1
entries:
  linkerd-control-plane:
  - annotations:
      a: |
        version: 0
    apiVersion: v2
    appVersion: edge-26.8.3
    created: "2026-08-21T16:28:27.123456789Z"
    dependencies:
    - name: partials
      repository: file://../partials
      version: 0.1.0
    description: 'Linkerd gives you observability,
      version: 9.9.9'
    digest: 4b0bd5ebc4b8b3a7e8a8e36a1d5d4ea6b8e3b0f5a8d1d6b7c5b4a3f2e1d0c9b8
    keywords:
    - urls
    kubeVersion: '>=1.31.0-0'
    maintainers:
    - email: a@example.com
      name: Linkerd authors
    name: linkerd-control-plane
    urls:
    - https://charts.example/edge/linkerd-control-plane-2026.8.3.tgz
    version: 2026.8.3
generated: "2026-08-21T16:28:27Z"
"""


def test_an_index_of_helms_is_read_by_lines() -> None:
    """The wanted fields, and none that is within another."""
    (entry,) = ChartIndex.parse(HELM).entries[CONTROL]

    assert module._by_lines(HELM.decode()) is not None
    assert (
        ChartEntry(
            name=CONTROL,
            version="2026.8.3",
            app_version="edge-26.8.3",
            kube_version=">=1.31.0-0",
            created=datetime(2026, 8, 21, 16, 28, 27, 123456, tzinfo=UTC),
            sha256="4b0bd5ebc4b8b3a7e8a8e36a1d5d4ea6b8e3b0f5a8d1d6b7c5b4a3f2e1d0c9b8",
            urls=("https://charts.example/edge/linkerd-control-plane-2026.8.3.tgz",),
        )
        == entry
    )


@pytest.mark.parametrize(
    "write", [json.dumps, yaml.safe_dump, lambda root: yaml.safe_dump(root, default_flow_style=True)]
)
def test_an_index_in_any_other_shape_is_the_same(write: Any) -> None:
    """JSON, flow style, quoted keys: whatever is YAML."""
    root = yaml.load(HELM, yaml.BaseLoader)

    assert ChartIndex.parse(HELM) == ChartIndex.parse(write(root).encode())


def test_lines_with_carriage_returns_or_comments_are_left_to_yaml() -> None:
    """The line reader gives up what it does not know."""
    for text in (HELM.replace(b"\n", b"\r\n"), HELM.replace(b"entries:", b"entries: # all"), b"# index\n" + HELM):
        assert module._by_lines(text.decode()) is None
        assert ChartIndex.parse(HELM) == ChartIndex.parse(text)


SCALARS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30),
    st.sampled_from(
        ["1.10", "1e3", "null", "~", "yes", "a: b", "a #b", "- a", ">=1", "'", '"', "a\nb", " x", "x" * 200, "v " * 90]
    ),
)
ENTRIES = st.fixed_dictionaries(
    {"version": SCALARS},
    optional={
        **dict.fromkeys(["appVersion", "kubeVersion", "digest", "description", "icon"], SCALARS),
        "urls": st.lists(SCALARS, max_size=3),
        "annotations": st.dictionaries(st.sampled_from(["version", "name"]), SCALARS, max_size=2),
        "maintainers": st.lists(st.fixed_dictionaries({"name": SCALARS}), max_size=2),
    },
)


@given(st.lists(ENTRIES, max_size=3), st.booleans(), st.sampled_from([20, 80, 4096]))
def test_the_line_reader_agrees_with_yaml(entries: list[Fields], is_sorted: bool, width: int) -> None:
    """Or gives up; it never reads something else."""
    root = {"apiVersion": "v1", "entries": {"c": [{**each, "name": "c"} for each in entries]}}
    text = yaml.safe_dump(root, width=width, sort_keys=is_sorted, allow_unicode=True)
    wanted = {*module._WANTED, "urls"}

    listing = module._by_lines(text)

    if listing is not None:
        by_yaml = yaml.load(text, yaml.BaseLoader)["entries"]["c"]
        expected = [{key: value for key, value in each.items() if key in wanted} for each in by_yaml]
        assert expected == listing["c"]


@given(st.one_of(st.binary(), st.text().map(str.encode), st.integers(0, len(HELM)).map(lambda at: HELM[:at])))
def test_no_bytes_break_the_index(data: bytes) -> None:
    """Read, or a ChartError."""
    with contextlib.suppress(ChartError):
        ChartIndex.parse(data)


@given(st.lists(st.sampled_from(HELM.decode().splitlines()), max_size=30).map("\n".join))
def test_no_lines_break_the_index(text: str) -> None:
    """However they are shuffled."""
    with contextlib.suppress(ChartError):
        ChartIndex.parse(text.encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "not UTF-8"),
        (b"<html>not found</html>", "has no entries"),
        (b"{", "neither YAML nor JSON"),
        (b"a: [", "neither YAML nor JSON"),
        (b"[" * 100000, "neither YAML nor JSON"),
        (b"{}", "has no entries"),
        (b'{"entries": []}', "has no entries"),
        (b'{"entries": {"c": {}}}', "something else than a list"),
        (b'{"entries": {"c": [{"name": "c"}]}}', "lacks its version"),
        (b'{"entries": {"c": [{"version": "1"}]}}', "lacks its version or its name"),
        (b'{"entries": {"c": [{"name": "d", "version": "1"}]}}', "lacks its version or its name"),
        (b'{"entries": {"c": [{"name": "c", "version": []}]}}', "something else than a text"),
        (b'{"entries": {"c": [{"name": "c", "version": "1", "urls": "u"}]}}', "something else than a list as urls"),
        (b'{"entries": {"c": [{"name": "c", "version": "1", "created": "soon"}]}}', "'soon' as the time"),
        (
            b'{"entries": {"c": [{"name": "c", "version": "1", "appVersion": "\\ud800"}]}}',
            "else than a text as appVersion",
        ),
        (
            b'{"entries": {"c": [{"name": "c", "version": "1", "created": "0001-01-01T00:00:00+14:00"}]}}',
            r"'0001-01-01T00:00:00\+14:00' as the time",
        ),
        (b'{"entries": {"c": [{"name": "c", "version": "1"}, {"name": "c", "version": "1"}]}}', "c 1 twice"),
        (HELM.replace(b"version: 2026.8.3", b"version:"), "lacks its version"),
    ],
)
def test_what_is_no_index_is_an_error(data: bytes, why: str) -> None:
    """One sentence."""
    with pytest.raises(ChartError, match=why):
        ChartIndex.parse(data)


def test_an_index_without_charts_is_an_index() -> None:
    """`helm repo index` of an empty folder."""
    assert () == ChartIndex.parse(b"apiVersion: v1\nentries: {}\n").releases()


# --- releases and their charts ---------------------------------------------------------------------------------------


def test_releases_are_those_of_the_main_chart_newest_first() -> None:
    """linkerd2's until 2.11, then the control plane's; an appVersion that names no release is passed over."""
    found = parsed(
        fields(CONTROL, "2026.8.3", "edge-26.8.3"),
        fields(CONTROL, "2026.8.10", "edge-26.8.10"),
        fields(CONTROL, "0.0.1", "latest"),
        fields("linkerd2", "21.12.2", "edge-21.12.2"),
        fields("linkerd-viz", "2026.9.1", "edge-26.9.1"),
    )

    assert ["edge-26.8.10", "edge-26.8.3", "edge-21.12.2"] == [str(each) for each in found.releases()]


def test_a_release_has_all_of_linkerds_own_charts() -> None:
    """By appVersion, the CRDs by the control plane's version; what else the repository holds is not taken."""
    own = ["linkerd-control-plane", "linkerd2-cni", "linkerd-viz", "linkerd-multicluster", "linkerd-jaeger"]
    others = ["linkerd-failover", "linkerd-multicluster-link", "linkerd2-multicluster"]
    found = parsed(
        *(fields(name, "2025.1.1", "edge-25.1.1") for name in own + others),
        *(fields(name, "2025.1.2", "edge-25.1.2") for name in own),
        fields("linkerd-crds", "2025.1.1"),
        fields("linkerd-crds", "2025.1.2"),
    )

    assert dict.fromkeys(["linkerd-crds", *own], "2025.1.1") == versions(found, "edge-25.1.1")


def test_a_chart_that_was_given_up_is_not_taken_from_another_release() -> None:
    """The jaeger chart ended with edge-25.10.1."""
    found = parsed(
        fields(CONTROL, "2025.9.4", "edge-25.9.4"),
        fields(CONTROL, "2025.10.1", "edge-25.10.1"),
        fields("linkerd-jaeger", "2025.9.4", "edge-25.9.4"),
    )

    assert {CONTROL: "2025.10.1"} == versions(found, "edge-25.10.1")


def test_the_time_of_the_one_chart_has_no_crds() -> None:
    """Until 2.11 every chart had the release's version, and the CRDs were within linkerd2."""
    found = parsed(
        fields("linkerd2", "2.11.5", "stable-2.11.5"),
        fields("linkerd-viz", "2.11.5", "stable-2.11.5"),
        fields(CONTROL, "1.9.0", "stable-2.12.0"),
        fields("linkerd2-cni", "30.3.0", "stable-2.12.0"),
        fields("linkerd-crds", "1.4.0"),
    )

    assert {"linkerd2": "2.11.5", "linkerd-viz": "2.11.5"} == versions(found, "stable-2.11.5")


SHARED = parsed(
    fields(CONTROL, "1.12.0", "stable-2.13.0", "2023-04-11T00:00:00Z"),
    fields(CONTROL, "1.15.0", "stable-2.14.0", "2023-08-23T00:00:00Z"),
    fields(CONTROL, "1.12.7", "stable-2.13.7", "2023-09-26T00:00:00Z"),
    fields(CONTROL, "1.16.11", "stable-2.14.10", "2024-02-20T00:00:00Z"),
    fields("linkerd2-cni", "30.8.5", "stable-2.13.7", "2023-09-26T00:00:01Z"),
    fields("linkerd2-cni", "30.12.2", "stable-2.14.10", "2024-02-20T00:00:01Z"),
    fields("linkerd-crds", "1.6.1", created="2023-09-26T00:00:02Z"),
    fields("linkerd-crds", "1.8.0", created="2024-02-20T00:00:02Z"),
)


@pytest.mark.parametrize(
    ("release", "cni", "crds"),
    [
        ("stable-2.14.10", "30.12.2", "1.8.0"),
        ("stable-2.14.0", "30.12.2", "1.8.0"),
        ("stable-2.13.7", "30.8.5", "1.6.1"),
        ("stable-2.13.0", "30.8.5", "1.6.1"),
    ],
)
def test_a_version_that_releases_share_is_the_last_ones(release: str, cni: str, crds: str) -> None:
    """Each release published it anew, so its entry tells of the last; 2.13.7 came after 2.14.0."""
    assert (cni, crds) == (versions(SHARED, release)["linkerd2-cni"], versions(SHARED, release)["linkerd-crds"])


def test_crds_are_at_last_the_newest_that_were_there() -> None:
    """Where the index does not tell what was published together, up to a day after the control plane."""
    found = parsed(
        fields(CONTROL, "1.9.0", "stable-2.12.0", "2022-08-24T12:00:00Z"),
        fields("linkerd-crds", "1.3.0", created="2022-08-01T00:00:00Z"),
        fields("linkerd-crds", "1.4.0", created="2022-08-25T11:00:00Z"),
        fields("linkerd-crds", "1.5.0", created="2022-08-26T00:00:00Z"),
    )

    assert "1.4.0" == versions(found, "stable-2.12.0")["linkerd-crds"]


def test_an_unknown_release_names_the_nearest() -> None:
    """The operator's mistake, not the world's."""
    with pytest.raises(UnknownRelease, match=r"no edge-26\.8\.33: the nearest it has are edge-26\.8\.3"):
        parsed(fields(CONTROL, "2026.8.3", "edge-26.8.3")).charts_of(Release.parse("edge-26.8.33"))


# --- archives --------------------------------------------------------------------------------------------------------

FILES = chart_files("c", "1.0.0", {"a": 1}, {"templates/a.yaml": "a"}, app_version="edge-1.2.3")


def read(data: bytes, *, name: str = "c", version: str = "1.0.0", sha256: str = "") -> Chart:
    """The chart in *data*, its digest right unless it is given."""
    return read_archive(data, name=name, version=version, sha256=sha256 or hashlib.sha256(data).hexdigest(), where="w")


def tar(*members: tarfile.TarInfo) -> bytes:
    """An archive with a chart and *members* without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archived:
        for path, text in FILES.items():
            member = tarfile.TarInfo(f"c/{path}")
            member.size = len(text)
            archived.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            archived.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    return info


def test_an_archive_is_a_chart() -> None:
    """Its metadata, its values, and the text of what was asked for."""
    wanted = {"values-ha.yaml": "b: 2", "charts/p/templates/_p.tpl": "p", "charts/p/values.yaml": "{}"}
    ignored = {"README.md": "x", "crds/x.yaml": "x", "ci/values.yaml": "x", ".helmignore": "x"}
    data = archive("c", FILES | wanted | ignored)

    chart = read(data)

    assert ("c", "1.0.0", "edge-1.2.3", data) == (chart.name, chart.version, chart.app_version, chart.archive)
    assert {"a": 1} == chart.values
    assert FILES | wanted == chart.files


def test_a_packed_dependency_is_read_where_it_would_be() -> None:
    """`charts/partials-0.1.0.tgz` is `charts/partials/…`."""
    inner = archive("partials", {"Chart.yaml": "name: partials\nversion: 0.1.0", "templates/_p.tpl": "p"})

    chart = read(archive("c", {**FILES, "charts/partials-0.1.0.tgz": inner}))

    assert "p" == chart.files["charts/partials/templates/_p.tpl"]


def test_values_are_read_as_helm_reads_them() -> None:
    """Versions that look like times stay text; numbers are numbers."""
    chart = read(archive("c", FILES | {"values.yaml": "a: 2021-05-01\nb: 1.31\nc: 2021-05-01T00:00:00Z\nd:"}))

    assert {"a": "2021-05-01", "b": 1.31, "c": "2021-05-01T00:00:00Z", "d": None} == chart.values


def test_links_and_devices_are_left_out() -> None:
    """Nothing is followed, nothing is written."""
    data = tar(
        member("c/templates/l", tarfile.SYMTYPE),
        member("c/templates/h", tarfile.LNKTYPE),
        member("c/d", tarfile.CHRTYPE),
    )

    assert FILES == read(data).files


def with_file(path: str, content: str | bytes) -> bytes:
    return archive("c", {**FILES, path: content})


def without(path: str) -> bytes:
    return archive("c", {key: text for key, text in FILES.items() if key != path})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"", "cannot be unpacked|cannot be read", id="nothing"),
        pytest.param(b"<html>", "cannot be unpacked", id="a page"),
        pytest.param(archive("c", FILES)[:-20], "cannot be unpacked", id="cut off"),
        pytest.param(gzip.compress(b"x" * 5000), "cannot be read", id="no tar"),
        pytest.param(without("Chart.yaml"), "Chart.yaml is missing", id="no Chart.yaml"),
        pytest.param(with_file("Chart.yaml", "["), "Chart.yaml is not YAML", id="Chart.yaml is not YAML"),
        pytest.param(
            with_file("Chart.yaml", "name: d\nversion: 1.0.0"), "is of d 1.0.0, not of c 1.0.0", id="another chart"
        ),
        pytest.param(with_file("values.yaml", "- a"), "values.yaml is not a mapping", id="values are a list"),
        pytest.param(
            with_file("values.yaml", "a: " + "[" * 100_000),
            "values.yaml is not YAML: it is nested deeper",
            id="deep values",
        ),
        pytest.param(
            with_file("values.yaml", f"a: &a {{}}\nb: [{'*a, ' * 257}]"),
            "values.yaml is not YAML: .* repeats itself by aliases",
            id="many aliases",
        ),
        pytest.param(
            with_file("values.yaml", "a: &a [*a]\nb: !!python/object:os.system x"),
            "values.yaml is not YAML",
            id="an object and a loop",
        ),
        pytest.param(with_file("templates/a.yaml", b"\xff"), "is not UTF-8", id="not UTF-8"),
        pytest.param(tar(member("c/../../etc/passwd")), "leaves the chart", id="a path up"),
        pytest.param(tar(member("/etc/passwd")), "leaves the chart", id="an absolute path"),
        pytest.param(tar(member("c/templates\\..\\x")), "leaves the chart", id="a path up with backslashes"),
        pytest.param(
            tar(member("c/templates/big", size=module.FILE_SIZE_MAX + 1)), "larger than", id="a file too large"
        ),
        pytest.param(
            packed((f"c/{i}", b"") for i in range(module.FILES_MAX + 1)), "more than 2000 entries", id="too many files"
        ),
        pytest.param(gzip.compress(bytes(module.UNPACKED_SIZE_MAX + 1)), "unpacks to more", id="a bomb"),
        pytest.param(b"x" * (module.ARCHIVE_SIZE_MAX + 1), "larger than", id="too large"),
        pytest.param(
            with_file("charts/a-1.tgz", archive("a", {"charts/b-1.tgz": b"x"})), "itself packed", id="packed twice"
        ),
        pytest.param(
            with_file("charts/a-1.tgz", gzip.compress(bytes(module.UNPACKED_SIZE_MAX))),
            "unpacks to more",
            id="a bomb within",
        ),
    ],
)
def test_an_archive_that_is_not_a_chart_or_too_much_is_an_error(data: bytes, why: str) -> None:
    """One sentence that says where it came from."""
    with pytest.raises(ChartError, match=f"^w: .*({why})"):
        read(data)


def test_an_archive_is_held_to_the_digest_first() -> None:
    """Before a byte of it is unpacked."""
    with pytest.raises(ChartError, match=r"the archive has the digest sha256:.*, the chart index says sha256:00"):
        read(b"not even gzip", sha256="0" * 64)
    with pytest.raises(ChartError, match="has no sha256"):
        read(b"not even gzip", sha256="x")


ARCHIVE = archive("c", FILES)
PLAIN = gzip.decompress(ARCHIVE)


@given(st.lists(st.tuples(st.integers(0, 2500), st.binary(min_size=1, max_size=12)), max_size=6))
def test_no_archive_breaks_the_reader(changes: list[tuple[int, bytes]]) -> None:
    """Read, or an error that we raise on purpose."""
    data = bytearray(PLAIN)
    for at, change in changes:
        data[at : at + len(change)] = change
    with contextlib.suppress(MirrorError):
        read(gzip.compress(bytes(data), 1))


# --- the repository --------------------------------------------------------------------------------------------------


class Files:
    """A fetcher over files, which counts what it is asked for."""

    def __init__(self, files: Mapping[str, bytes], base: str = f"{URL}/") -> None:
        self._files = files
        self._base = base
        self.asked: list[str] = []

    async def fetch(self, url: str, *, bound: int, etag: str = "") -> Fetched:
        self.asked.append(url)
        body = self._files[url.removeprefix(self._base)]
        assert len(body) <= bound
        tag = hashlib.sha256(body).hexdigest()
        return Fetched(None if tag == etag else body, tag)


async def test_the_charts_of_a_release_are_fetched() -> None:
    """Relative addresses are below the repository's."""
    files = Files(repository("edge-25.1.1", "edge-26.8.3"))
    source = ChartRepository(URL, files)

    entries = (await source.index()).charts_of(Release.parse("edge-26.8.3"))
    charts = await source.charts(entries)

    assert {chart.name: chart for chart in charts_of("edge-26.8.3")} == {chart.name: chart for chart in charts}
    assert f"{URL}/linkerd-viz-2026.8.3.tgz" in files.asked


async def test_an_index_that_has_not_changed_is_not_read_again() -> None:
    """The ETag is kept; a change is seen."""
    files = repository("edge-25.1.1")
    source = ChartRepository(f"{URL}/", Files(files))

    first = await source.index()

    assert first is await source.index()
    files["index.yaml"] = repository("edge-25.1.1", "edge-26.8.3")["index.yaml"]
    assert 2 == len((await source.index()).releases())


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/c.tgz",
        "http://charts.example/edge/c.tgz",
        "https://charts.example:8443/c.tgz",
        "//evil.example/c.tgz",
    ],
)
async def test_charts_do_not_choose_where_we_connect(url: str) -> None:
    """Another host, port or scheme than the repository's is refused, and not asked."""
    files = Files({})

    with pytest.raises(ChartError, match="which is another host than its own"):
        await ChartRepository(URL, files).chart(ChartEntry("c", "1", sha256="0" * 64, urls=(url,)))
    assert [] == files.asked


@pytest.mark.parametrize(
    "url", ["https://[charts/c.tgz", "file:///c", "https://charts.example:port/c.tgz", "c\x1b.tgz"]
)
async def test_an_archive_at_no_address(url: str) -> None:
    """Is the index's fault, and nothing is asked for."""
    files = Files({})

    with pytest.raises(ChartError, match=r"charts\.example/.* c 1 is at what is not an address of a server"):
        await ChartRepository(URL, files).chart(ChartEntry("c", "1", sha256="0" * 64, urls=(url,)))
    assert [] == files.asked


async def test_an_absolute_address_at_the_repositorys_host_is_read() -> None:
    """As the index of helm.linkerd.io has them."""
    source = ChartRepository(URL, Files({"x/c.tgz": ARCHIVE}, "https://charts.example/"))
    sha256 = hashlib.sha256(ARCHIVE).hexdigest()

    chart = await source.chart(ChartEntry("c", "1.0.0", sha256=sha256, urls=("https://charts.example/x/c.tgz",)))

    assert "c" == chart.name


async def test_one_chart_that_fails_is_the_error() -> None:
    """Not a group of errors, which no caller knows."""
    files = repository("edge-26.8.3")
    files["linkerd-viz-2026.8.3.tgz"] += b"x"
    source = ChartRepository(URL, Files(files))

    with pytest.raises(ChartError, match=r"linkerd-viz-2026\.8\.3\.tgz: the archive has the digest"):
        await source.charts((await source.index()).charts_of(Release.parse("edge-26.8.3")))


async def test_an_entry_without_an_address_is_an_error() -> None:
    """Which chart, and in which repository."""
    with pytest.raises(ChartError, match=r"https://charts\.example/edge/: the chart index has no address for c 1"):
        await ChartRepository(URL, Files({})).chart(ChartEntry("c", "1", sha256="0" * 64))


async def test_a_broken_index_says_where_it_is() -> None:
    """The address comes first."""
    with pytest.raises(ChartError, match=r"^https://charts\.example/edge/index\.yaml: the chart index has no entries"):
        await ChartRepository(URL, Files({"index.yaml": b"no"})).index()
