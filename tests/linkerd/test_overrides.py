"""Values files: what is written, what is left alone, and that it is YAML whatever a chart is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import ChartError
from mirror.linkerd.overrides import Heading, Located, Pin, hardcoded, nested, references, remedy, values_file
from mirror.linkerd.parts import ChartFacts, Control, Image
from mirror.linkerd.release import Release
from mirror.oci.content import Digest

DIGEST = Digest.of(b"an image")
CHART = ChartFacts("linkerd-control-plane", "2026.8.3", "edge-26.8.3", "0" * 64, has_pull_secrets=True)
HEADING = Heading(Release("edge", "26.8.3"), "m.example:5000/linkerd", datetime(2026, 8, 22, 3, 4, 5, tzinfo=UTC))


def image(
    reference: str,
    *paths: tuple[str | None, str | None, str | None],
    chart: str = CHART.name,
    unpinnable: str = "",
    notes: tuple[str, ...] = (),
    is_hardcoded: bool = False,
) -> Image:
    """An image of one chart, with a control for each triple of paths."""
    controls = tuple(Control(chart, *triple, unpinnable=unpinnable) for triple in paths)
    return Image(reference, (chart,), controls, is_hardcoded, is_first_party=True, is_optional=False, notes=notes)


def located(*images: Image, mirror: str = "m.example:5000/linkerd") -> dict[str, Located]:
    """Each image in the mirror, flat."""
    places = {}
    for each in images:
        name, _, tag = each.reference.rpartition("/")[2].partition(":")
        places[each.reference] = Located(each.reference, f"{mirror}/{name}", tag, DIGEST)
    return places


def text(
    images: Sequence[Image],
    *,
    pin: Pin = "digest",
    pull_secrets: Sequence[str] = (),
    chart: ChartFacts = CHART,
    heading: Heading = HEADING,
) -> str:
    """The values file of *images*, all of them in the mirror."""
    return values_file(chart, images, located(*images), pin=pin, pull_secrets=pull_secrets, heading=heading)


PROXY = image("cr.l5d.io/linkerd/proxy:edge-26.8.3", ("proxy.image.name", "proxy.image.name", "proxy.image.version"))
CONTROLLER = image(
    "cr.l5d.io/linkerd/controller:edge-26.8.3", ("controllerImage", "controllerImage", "controllerImageVersion")
)
PAUSE = image("registry.k8s.io/pause:3.2", ("gateway.pauseImage",) * 3)
PROMETHEUS = image(
    "prom/prometheus:v2.55.1", ("prometheus.image.registry", "prometheus.image.name", "prometheus.image.tag")
)
OLD_CONTROLLER = image(
    "cr.l5d.io/linkerd/controller:stable-2.12.6", ("controllerImage", "controllerImage", "linkerdVersion")
)
WEBHOOK = image(
    "cr.l5d.io/linkerd/jaeger-webhook:stable-2.14.10",
    ("webhook.image.name", "webhook.image.name", "webhook.image.version"),
    unpinnable="it goes into a label",
)
CURL = image("curlimages/curl:7.78.0", is_hardcoded=True)


@pytest.mark.parametrize(
    ("expected", "subject"),
    [
        pytest.param(
            {"proxy": {"image": {"name": "m.example:5000/linkerd/proxy", "version": f"edge-26.8.3@{DIGEST}"}}},
            PROXY,
            id="registry-and-name-at-one-path",
        ),
        pytest.param(
            {"gateway": {"pauseImage": f"m.example:5000/linkerd/pause:3.2@{DIGEST}"}}, PAUSE, id="all-at-one-path"
        ),
        pytest.param(
            {
                "prometheus": {
                    "image": {"registry": "m.example:5000/linkerd", "name": "prometheus", "tag": f"v2.55.1@{DIGEST}"}
                }
            },
            PROMETHEUS,
            id="three-paths",
        ),
        pytest.param(
            {"controllerImage": "m.example:5000/linkerd/controller"}, OLD_CONTROLLER, id="linkerdVersion-is-left-alone"
        ),
        pytest.param(
            {"webhook": {"image": {"name": "m.example:5000/linkerd/jaeger-webhook", "version": "stable-2.14.10"}}},
            WEBHOOK,
            id="unpinnable",
        ),
        pytest.param({}, CURL, id="hard-coded"),
    ],
)
def test_each_path_is_filled_as_the_template_joins_it(expected: object, subject: Image) -> None:
    """Registry, name and version go where the control says, and nowhere else."""
    assert expected == yaml.safe_load(text([subject]))


def test_tags_where_tags_are_asked_for() -> None:
    """`pin = "tag"` writes no digest, and no comment on what cannot bear one."""
    written = text([PROXY, WEBHOOK], pin="tag")

    assert str(DIGEST) not in written
    assert "not pinned" not in written
    assert "edge-26.8.3" == yaml.safe_load(written)["proxy"]["image"]["version"]


def test_what_is_not_pinned_says_why() -> None:
    """A comment beside the value gives the reason."""
    written = text([WEBHOOK, OLD_CONTROLLER])

    assert '    # Pulled by its tag, not pinned to a digest: it goes into a label.\n    version: "stable-2' in written
    assert "# Pulled by its tag, which is not written here: linkerdVersion is in labels too" in written


def test_a_path_that_is_unpinnable_for_one_control_is_so_for_all() -> None:
    """Both controls write the same value, so that they do not contradict each other."""
    other = image("cr.l5d.io/linkerd/jaeger-webhook:stable-2.14.10", ("a.name", "a.name", "webhook.image.version"))

    values = yaml.safe_load(text([WEBHOOK, other]))

    assert "stable-2.14.10" == values["webhook"]["image"]["version"]
    assert {"m.example:5000/linkerd/jaeger-webhook:stable-2.14.10"} == references(
        CHART.name, [WEBHOOK, other], located(WEBHOOK), pin="digest"
    ).keys()


def test_a_whole_file() -> None:
    """The heading names the release, the chart, the mirror and the time; strings are quoted."""
    images = [PROXY, CONTROLLER, CURL]

    expected = f"""\
# Helm values that point the chart linkerd-control-plane at the mirror. Pass this file last.
#
# release:   edge-26.8.3
# chart:     linkerd-control-plane 2026.8.3
# mirror:    m.example:5000/linkerd
# recorded:  2026-08-22T03:04:05Z
#
# Hard-coded in the chart's templates, where no value reaches; pulled from upstream all the same:
#   curlimages/curl:7.78.0: with paths = "upstream" the mirror holds it where the nodes' containerd can be told to look\
 for docker.io (certs.d/docker.io/hosts.toml)
controllerImage: "m.example:5000/linkerd/controller"
controllerImageVersion: "edge-26.8.3@{DIGEST}"
proxy:
  image:
    name: "m.example:5000/linkerd/proxy"
    version: "edge-26.8.3@{DIGEST}"
imagePullSecrets:
  - name: "mirror"
"""
    assert expected == text(images, pull_secrets=["mirror"])


def test_the_order_of_images_does_not_matter() -> None:
    """Two runs give the same bytes, wherever the clock's zone is."""
    elsewhere = Heading(HEADING.release, HEADING.mirror, HEADING.recorded.astimezone(timezone(timedelta(hours=9))))
    images = [PROXY, CONTROLLER, PAUSE, CURL]

    again = values_file(
        CHART, images[::-1], located(*images), pin="digest", pull_secrets=["b", "a", "b"], heading=elsewhere
    )

    assert text(images, pull_secrets=["a", "b"]) == again


def test_pull_secrets_only_where_the_chart_reads_them() -> None:
    """A chart without `imagePullSecrets` gets none."""
    chart = ChartFacts("linkerd-control-plane", "1", "a", "0" * 64, has_pull_secrets=False)

    assert "imagePullSecrets" not in yaml.safe_load(text([PROXY], pull_secrets=["mirror"], chart=chart))
    assert "imagePullSecrets" not in yaml.safe_load(text([PROXY]))


def test_a_chart_without_images_has_an_empty_map() -> None:
    """linkerd-crds: Helm takes `{}`."""
    crds = ChartFacts("linkerd-crds", "2026.8.3", "", "0" * 64, has_pull_secrets=False)

    written = text([PROXY], pull_secrets=["mirror"], chart=crds)

    assert written.endswith("\n{}\n")
    assert {} == yaml.safe_load(written)


def test_images_of_other_charts_are_not_written() -> None:
    """One image in two charts has its own paths in each."""
    viz = image("cr.l5d.io/linkerd/tap:edge-26.8.3", ("tap.name", "tap.name", "tap.tag"), chart="linkerd-viz")

    assert {"proxy"} == yaml.safe_load(text([PROXY, viz])).keys()


def test_per_entry_paths_are_left_to_their_defaults() -> None:
    """Helm replaces lists whole, so an entry's own image is not written; a note says so."""
    controllers = image(
        "cr.l5d.io/linkerd/controller:edge-26.8.3",
        ("controllers[].image.name", "controllers[].image.name", "controllers[].image.version"),
        ("controllerDefaults.image.name", "controllerDefaults.image.name", "controllerDefaults.image.version"),
        notes=(f"{CHART.name}: an entry has the default above.", "linkerd-viz: something else."),
    )
    viz = image("cr.l5d.io/linkerd/tap:edge-26.8.3", chart="linkerd-viz")

    written = text([controllers, viz])

    assert {"controllerDefaults"} == yaml.safe_load(written).keys()
    assert written.endswith("\n# An entry has the default above.\n")
    assert "something else" not in written


def test_two_images_at_one_path_are_refused() -> None:
    """Neither is written: the chart would run one where it means the other."""
    other = image("cr.l5d.io/linkerd/other:edge-26.8.3", ("proxy.image.name", "proxy.image.name", "other.version"))

    with pytest.raises(
        ChartError, match=r"other:edge.* and .*proxy:edge.* want different values at proxy\.image\.name"
    ):
        text([PROXY, other])


@pytest.mark.parametrize(
    ("message", "paths"),
    [
        pytest.param("runs through", ("proxy", "proxy.image"), id="value-then-map"),
        pytest.param("runs through", ("a-b", "a", "a.b.c"), id="deep"),
    ],
)
def test_a_path_is_a_value_or_a_map(message: str, paths: tuple[str, ...]) -> None:
    """`a` and `a.b` cannot both be written."""
    with pytest.raises(ChartError, match=message):
        nested(dict.fromkeys(paths, "x"))


def test_an_image_that_is_not_in_the_mirror_is_refused() -> None:
    """No file is better than one that names a missing image."""
    with pytest.raises(ChartError, match=r"proxy:edge-26\.8\.3 is not in the mirror"):
        values_file(CHART, [PROXY], {}, pin="digest", pull_secrets=(), heading=HEADING)


def test_a_registry_that_the_template_decides_is_refused() -> None:
    """Such an image cannot be pointed at the mirror by values."""
    with pytest.raises(ChartError, match="a template decides the registry"):
        text([image("docker.io/a/b:1", (None, "a.name", "a.tag"))])


def test_hardcoded_in_one_chart_and_controlled_in_another() -> None:
    """The image is listed for the chart whose template names it."""
    control = Control("linkerd-viz", "a", "a", "a")
    pause = Image("gcr.io/pause:3.2", ("linkerd-multicluster", "linkerd-viz"), (control,), True, False, False)

    assert ("gcr.io/pause:3.2",) == hardcoded("linkerd-multicluster", [pause])
    assert () == hardcoded("linkerd-viz", [pause])
    assert () == hardcoded("linkerd-control-plane", [pause])


@pytest.mark.parametrize(
    ("repository", "tag"), [("proxy", "v1"), ("m.example/", "v1"), ("/proxy", "v1"), ("m.example/proxy", "")]
)
def test_a_place_has_a_registry_a_name_and_a_tag(repository: str, tag: str) -> None:
    """A place that could not be pulled from is no place."""
    with pytest.raises(ChartError, match="no place to pull it from"):
        Located("a:v1", repository, tag, DIGEST)


def test_a_record_has_an_aware_time() -> None:
    """A time without a zone is a mistake of ours."""
    with pytest.raises(ValueError, match="aware"):
        Heading(HEADING.release, "m", datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("curlimages/curl:7.78.0", 'with paths = "upstream" the mirror holds it where'),
        ("gcr.io/google_containers/pause:3.2", "look for gcr.io (certs.d/gcr.io/hosts.toml)"),
        ("gcr.io/google_containers/pause", "it names no tag, so that latest is mirrored, and pulled; with paths"),
    ],
)
def test_what_is_hard_coded_has_a_remedy(reference: str, told: str) -> None:
    """One line in the heading, by name."""
    written = values_file(CHART, [image(reference, is_hardcoded=True)], {}, pin="tag", pull_secrets=(), heading=HEADING)

    [line] = [line for line in written.splitlines() if reference in line]

    assert line.startswith(f"#   {reference}: ")
    assert told in line
    assert "\n" not in remedy(reference)


@pytest.mark.parametrize(
    ("release", "is_misread"),
    [
        ("edge-24.2.2", True),
        ("edge-24.2.3", False),
        ("edge-26.8.3", False),
        ("stable-2.10.2", True),
        ("stable-2.14.10", True),
        ("enterprise-2.15.1", False),
    ],
)
def test_the_heading_warns_where_linkerd_check_misreads_digests(release: str, is_misread: bool) -> None:
    """Each channel has its own order, and stable ended before it was mended."""
    heading = replace(HEADING, release=Release.parse(release))

    assert is_misread == ("12058" in text([PROXY], heading=heading))
    assert "12058" not in text([PROXY], heading=heading, pin="tag")
    assert "12058" not in text([PROMETHEUS], heading=heading)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_string_escapes_its_comment(name: str, version: str, mirror: str, note: str) -> None:
    """Whatever a chart or a mirror is called, or is to be told, the file holds our values and nothing else."""
    chart = ChartFacts(name, version, "", "", has_pull_secrets=False)
    images = [
        image("curlimages/curl", chart=name, is_hardcoded=True, notes=(note,)),
        image("a/proxy:v1", ("a.b", "a.b", "a.c"), chart=name, unpinnable=mirror),
    ]

    written = values_file(
        chart,
        images,
        located(images[1]),
        pin="digest",
        pull_secrets=(),
        heading=replace(HEADING, mirror=mirror),
    )

    assert {"a": {"b": "m.example:5000/linkerd/proxy", "c": "v1" if mirror else f"v1@{DIGEST}"}} == yaml.safe_load(
        written
    )
    assert written.isascii()


KEYS = st.one_of(
    st.sampled_from(["y", "on", "null", "True", "1", "-", "image"]),
    st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True),
)
PATHS = st.lists(KEYS, min_size=1, max_size=4).map(".".join)


@given(st.sets(PATHS, max_size=8), st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_any_values_round_trip(drawn: set[str], secrets: list[str]) -> None:
    """What is written is what YAML reads back, for keys and strings that YAML would like to read otherwise."""
    paths = sorted(path for path in drawn if not any(other.startswith(f"{path}.") for other in drawn))
    images = [image(f"a/i{n}:{n}.10", (path, path, path)) for n, path in enumerate(paths)]

    expected = nested({path: f"m.example:5000/linkerd/i{n}:{n}.10@{DIGEST}" for n, path in enumerate(paths)})
    expected_secrets = [{"name": name} for name in sorted(set(secrets))]
    assert expected | {"imagePullSecrets": expected_secrets} == yaml.safe_load(text(images, pull_secrets=secrets))
