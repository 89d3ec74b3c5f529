"""Manifests with their images at the mirror: what is changed, and that nothing else is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import dedent, indent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mirror.errors import UsageError
from mirror.linkerd import rewrite as module
from mirror.linkerd.rewrite import Found, rewrite
from tests.linkerd.shelf import MIRROR, digest_of, pinned, shelf

CONTROLLER, PROXY, DEBUG, INIT = (
    f"cr.l5d.io/linkerd/{name}"
    for name in ("controller:edge-26.8.1", "proxy:edge-26.8.1", "debug:edge-26.8.1", "proxy-init:v2.4.3")
)
PROMETHEUS, CURL, PAUSE = "prom/prometheus:v2.55.1", "curlimages/curl:7.78.0", "gcr.io/google_containers/pause:3.2"
HELD = (CONTROLLER, PROXY, DEBUG, INIT, PROMETHEUS, CURL, PAUSE)
OTHER = "example.com/app:1"


def rewritten(text: str, pin: str = "digest") -> str:
    return rewrite(text, shelf(*HELD), pin).text  # type: ignore[arg-type]


def left(text: str) -> list[tuple[str, str]]:
    return [(each.reference, each.problem) for each in rewrite(text, shelf(*HELD), "digest").left]


# --- where images are ------------------------------------------------------------------------------------------------


def pod(image: str) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": image}], "initContainers": [{"image": image}]}


@pytest.mark.parametrize(
    "resource",
    [
        lambda image: {"kind": "Pod", "spec": pod(image)},
        lambda image: {"kind": "Pod", "spec": {"ephemeralContainers": [{"image": image}]}},
        lambda image: {"kind": "Pod", "spec": {"volumes": [{"name": "v", "image": {"reference": image}}]}},
        lambda image: {"kind": "Deployment", "spec": {"template": {"spec": pod(image)}}},
        lambda image: {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod(image)}}}}},
        lambda image: {"kind": "PodTemplate", "template": {"spec": pod(image)}},
        lambda image: {"apiVersion": "argoproj.io/v1", "kind": "Rollout", "spec": {"template": {"spec": pod(image)}}},
        lambda image: {
            "kind": "List",
            "items": [{"kind": "Pod", "spec": pod(image)}, {"kind": "Pod", "spec": pod("a")}],
        },
        lambda image: {
            "kind": "List",
            "items": [
                {
                    "kind": "JaegerList",
                    "items": [
                        {"apiVersion": "jaegertracing.io/v1", "kind": "Jaeger", "spec": {"collector": {"image": image}}}
                    ],
                }
            ],
        },
        lambda image: {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "spec": {"image": image, "thanos": {"image": image}, **pod(image)},
        },
        lambda image: {"apiVersion": "opentelemetry.io/v1", "kind": "OpenTelemetryCollector", "spec": {"image": image}},
        lambda image: {"apiVersion": "jaegertracing.io/v1", "kind": "Jaeger", "spec": {"allInOne": {"image": image}}},
    ],
)
def test_where_an_image_is(resource: Callable[[str], dict[str, Any]]) -> None:
    """Pods wherever they are, lists, and the fields of operators; in YAML and in JSON."""
    expected = resource(pinned(PROMETHEUS))

    assert expected == yaml.safe_load(rewritten(yaml.safe_dump(resource(PROMETHEUS))))
    assert expected == json.loads(rewritten(json.dumps(resource(PROMETHEUS), indent=4)))


@pytest.mark.parametrize(
    "resource",
    [
        {"kind": "CustomResourceDefinition", "spec": {"default": pod(PROMETHEUS)}},
        {"kind": "Example", "spec": {"image": PROMETHEUS}},
        {"kind": "ConfigMap", "data": {"image": PROMETHEUS, "containers": PROMETHEUS}},
        {
            "kind": "ConfigMap",
            "metadata": {"name": "other"},
            "data": {"values": f"proxy: {{image: {{name: {PROXY}}}}}"},
        },
        {
            "kind": "Pod",
            "metadata": {"labels": {"image": PROMETHEUS}},
            "spec": {"containers": [{"args": [PROMETHEUS]}]},
        },
        {
            "kind": "Pod",
            "spec": {"containers": [{"image": None}, {"image": ""}, {}, [], "a"], "volumes": [{"image": 1}]},
        },
    ],
)
def test_what_is_no_image(resource: dict[str, Any]) -> None:
    """Nothing is changed, and nothing is said to be left."""
    text = yaml.safe_dump(resource)

    assert text == rewritten(text)
    assert [] == left(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"kind: Pod\nspec:\n  containers:\n  - image: {PROXY}\n    name: a\n    image: {CURL}\n",
            "image is there twice in one map, at line 4 and at line 6",
        ),
        (
            f'{{"kind": "Pod", "spec": {{"containers": [\n{{"image": "nginx",\n"image": "{PROXY}"}}]}}}}',
            "image is there twice in one map, at line 2 and at line 3",
        ),
        (
            f"kind: Pod\nb: &b {{image: nginx, image: {PROXY}}}\nspec: {{containers: [{{<<: *b}}]}}\n",
            "image is there twice in one map, at line 2 and at line 2",
        ),
    ],
)
def test_an_image_that_is_named_twice(text: str, words: str) -> None:
    """Nothing is rewritten, for nobody knows which of them is pulled."""
    with pytest.raises(UsageError, match=words):
        rewritten(text)


def test_other_keys_may_be_there_twice() -> None:
    """As labels are in some charts: they name no image."""
    text = "kind: Pod\nmetadata: {labels: {app: a, app: b}}\nspec: {containers: [{image: %s}]}\n"

    assert text % pinned(PROXY) == rewritten(text % PROXY)


def test_what_the_mirror_does_not_hold() -> None:
    """Is left alone and found, with why and where, once for each place."""
    containers = "".join(
        f"  - image: {image}\n" for image in (OTHER, OTHER, "cr.l5d.io/linkerd/proxy:old", "Not an image")
    )
    text = f"kind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n{containers}"
    done = rewrite(text, shelf(*HELD), "digest")

    assert text == done.text
    assert 3 == len(done.left)
    assert Found(OTHER, "Pod/web", None, "the mirror does not hold it") == done.left[0]
    assert "other tags" in done.left[1].problem
    assert "cannot be read" in done.left[2].problem


def test_pinned_by_tag() -> None:
    """As asked for; a digest that is there is kept."""
    text = f"kind: Pod\nspec: {{containers: [{{image: {PROXY}}}, {{image: {PROXY}@{digest_of(PROXY)}}}]}}\n"
    images = [each["image"] for each in yaml.safe_load(rewritten(text, "tag"))["spec"]["containers"]]

    assert [f"{MIRROR}/proxy:edge-26.8.1", pinned(PROXY)] == images


# --- Linkerd's annotations -------------------------------------------------------------------------------------------


def annotated(**annotations: str) -> dict[str, str]:
    """What becomes of *annotations* of the injector, `proxy_image` for `config.linkerd.io/proxy-image`."""
    named = {f"config.linkerd.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    text = yaml.safe_dump({"kind": "Namespace", "metadata": {"name": "apps", "annotations": named}})
    found: dict[str, str] = yaml.safe_load(rewritten(text))["metadata"]["annotations"]
    return {name.removeprefix("config.linkerd.io/").replace("-", "_"): value for name, value in found.items()}


@pytest.mark.parametrize(("part", "reference"), [("proxy_image", PROXY), ("debug_image", DEBUG), ("init_image", INIT)])
def test_annotations(part: str, reference: str) -> None:
    """Name and version together are one image."""
    name, _, tag = reference.rpartition(":")
    version = "proxy_version" if part == "proxy_image" else f"{part}_version"
    place = f"{MIRROR}/{name.rpartition('/')[2]}"

    expected = {part: place, version: f"{tag}@{digest_of(reference)}"}
    assert expected == annotated(**{part: name, version: tag})


def test_an_annotation_without_a_version() -> None:
    """The tag is the control plane's: the name alone changes."""
    assert {"proxy_image": f"{MIRROR}/proxy"} == annotated(proxy_image="cr.l5d.io/linkerd/proxy")


def test_an_annotation_without_a_name() -> None:
    """It stays, and is found where the mirror does not hold that version."""
    text = "kind: Pod\nmetadata: {annotations: {config.linkerd.io/proxy-version: %s}}\n"

    assert text % "edge-26.8.1" == rewritten(text % "edge-26.8.1")
    assert [] == left(text % "edge-26.8.1")
    assert [("cr.l5d.io/linkerd/proxy:edge-1", "the mirror holds it at other tags")] == left(text % "edge-1")


def test_an_annotation_that_is_not_held() -> None:
    """Neither name nor version changes."""
    theirs = {"proxy_image": "example.com/proxy", "proxy_version": "1"}

    assert theirs == annotated(**theirs)
    assert theirs["proxy_image"] == annotated(proxy_image="example.com/proxy")["proxy_image"]


# --- Linkerd's ConfigMap ---------------------------------------------------------------------------------------------

VALUES = """\
# what is installed: é 😀
linkerdVersion: edge-26.8.1
controllerImage: cr.l5d.io/linkerd/controller
controllerImageVersion: ""

debugContainer:
    image: {name: 'cr.l5d.io/linkerd/debug', version: }
policyController:
  image:
    name: cr.l5d.io/linkerd/policy-controller # not held
    version: ''
proxy:
  await: true
  image:
    name: "cr.l5d.io/linkerd/proxy"
    version: ""
proxyInit:
  image:
    name: cr.l5d.io/linkerd/proxy-init
    version: v2.4.3
"""
REWRITTEN = f"""\
# what is installed: é 😀
linkerdVersion: edge-26.8.1
controllerImage: {MIRROR}/controller
controllerImageVersion: "edge-26.8.1@{digest_of(CONTROLLER)}"

debugContainer:
    image: {{name: '{MIRROR}/debug', version: edge-26.8.1@{digest_of(DEBUG)} }}
policyController:
  image:
    name: cr.l5d.io/linkerd/policy-controller # not held
    version: ''
proxy:
  await: true
  image:
    name: "{MIRROR}/proxy"
    version: "edge-26.8.1@{digest_of(PROXY)}"
proxyInit:
  image:
    name: {MIRROR}/proxy-init
    version: v2.4.3@{digest_of(INIT)}
"""


def config_map(values: str) -> str:
    return f"kind: ConfigMap\nmetadata:\n  name: linkerd-config\ndata:\n  values: {values}\n  last: 1 # end\n"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["|", "|-", "|+", "| # why", "&a |", "|3"])
def test_the_injectors_values(header: str, line_end: str) -> None:
    """A literal block keeps its indentation, comments and line ends; what is not held is found."""
    depth = "     " if header == "|3" else "    "
    blocks = [
        config_map(f"{header}\n{indent(text, depth).rstrip()}").replace("\n", line_end) for text in (VALUES, REWRITTEN)
    ]

    assert blocks[1] == rewritten(blocks[0])
    assert blocks[1] == rewritten(blocks[1])
    assert [("cr.l5d.io/linkerd/policy-controller:edge-26.8.1", "the mirror does not hold it")] == left(blocks[0])


def test_the_injectors_values_in_json() -> None:
    """One string, its escapes kept."""
    resource = {"kind": "ConfigMap", "metadata": {"name": "linkerd-config"}, "data": {"values": VALUES, "last": "😀"}}
    text = json.dumps(resource)
    before, _, after = text.partition(json.dumps(VALUES))

    assert before + json.dumps(REWRITTEN) + after == rewritten(text)


@pytest.mark.parametrize("style", ["'", ">", '"'])
def test_the_injectors_values_in_other_styles(style: str) -> None:
    """They say the same, whatever a style does with line breaks."""
    made = yaml.safe_dump({"values": VALUES}, default_style=style, width=50).replace("\n", "\n  ").strip()
    text = f"kind: ConfigMap\nmetadata:\n  name: linkerd-config\ndata:\n  {made}\n  last: 1 # end\n"
    assert VALUES == yaml.safe_load(text)["data"]["values"]
    done = rewritten(text)

    expected = yaml.safe_load(text) | {"data": {"values": REWRITTEN, "last": 1}}
    assert expected == yaml.safe_load(done)
    assert done.endswith("\n  last: 1 # end\n")
    assert done == rewritten(done)


def test_values_that_are_not_yaml() -> None:
    """They are left alone, and that is said; the rest is rewritten."""
    text = config_map("'a: b: c'") + f"---\nkind: Pod\nspec: {{containers: [{{image: {PROXY}}}]}}\n"
    done = rewrite(text, shelf(*HELD), "digest")

    assert text.replace(PROXY, pinned(PROXY)) == done.text
    [problem] = [each.problem for each in done.left]
    assert "line 1, column 5" in problem


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_an_alias_that_is_no_image() -> None:
    """It says what it said; one that is an image follows its anchor."""
    text = dedent(f"""\
        kind: Pod
        metadata: {{name: &n {PROXY}, labels: {{a: *n}}}}
        spec:
          containers:
          - {{image: *n , name: *n}}
          - &c {{image: &i !!str {CURL}, name: *i}}
          - {{<<: *c, args: [*i ]}}
          - image: *i
        """)
    done = rewritten(text)

    expected = yaml.safe_load(text)
    for container, image in zip(expected["spec"]["containers"], (PROXY, CURL, CURL, CURL), strict=True):
        container["image"] = pinned(image)
    assert expected == yaml.safe_load(done)
    assert done == rewritten(done)


def test_an_alias_of_a_version() -> None:
    """A number stays one where it is no version."""
    values = "image: {name: cr.l5d.io/linkerd/proxy, version: &v 1.10}"
    text = config_map(f"|\n    proxy: {{{values}}}\n    other: *v")
    done = rewrite(text, shelf("cr.l5d.io/linkerd/proxy:1.10"), "digest").text

    values = yaml.safe_load(yaml.safe_load(done)["data"]["values"])
    assert 1.1 == values["other"]
    assert f"1.10@{digest_of('cr.l5d.io/linkerd/proxy:1.10')}" == values["proxy"]["image"]["version"]


def test_a_comment_that_names_the_image() -> None:
    """It stays, also between the header of a block and its content."""
    text = f"kind: Pod\nspec:\n  containers:\n  - image: >- # not {CURL}\n      %s\n    # nor {CURL}\n"

    assert text % pinned(CURL) == rewritten(text % CURL)


def test_a_merge() -> None:
    """An image that a container gets from elsewhere is rewritten there."""
    text = dedent("""\
        kind: Pod
        base: &base {image: %s}
        spec: {containers: [{<<: *base, name: a}, {<<: [*base], image: %s}]}
        """)

    assert text % (pinned(CURL), pinned(PROXY)) == rewritten(text % (CURL, PROXY))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: c: d\n", "line 2, column 5"),
        ("a: [1,\n", "line 2"),
        ("a: 1\n--- \n\tb: 1\n", "line 3, column 1"),
        ("é: \x07\n", "line 1, column 4"),
        ("a: 1\nb: *c\n", "line 2, column 4: there is no anchor &c"),
        ('a: "\\q"\n', "line 1"),
        ("[" * 200, "nested deeper than 128 at line 1"),
        ("{a: " * 200, "nested deeper than 128 at line 1"),
    ],
)
def test_what_is_not_yaml(text: str, words: str) -> None:
    """Where, and why."""
    with pytest.raises(UsageError) as error:
        rewritten(text)

    assert words in str(error.value)


def test_a_bomb() -> None:
    """Aliases of aliases are walked once each, too many are refused, and so is too much."""
    levels = [f"l{number}: &l{number} [{', '.join([f'*l{number - 1}'] * 9)}]" for number in range(1, 60)]
    bomb = "\n".join(["kind: Pod", f"l0: &l0 {{containers: [{{image: {PROXY}}}]}}", *levels, ""])

    assert bomb.replace(PROXY, pinned(PROXY)) == rewritten(bomb)
    with pytest.raises(UsageError, match="more than 10000 aliases at line 2"):
        rewritten(f"a: &a 1\nb: [{'*a, ' * 10001}]\n")
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        rewritten(" " * (module.SIZE_MAX + 1))


def test_a_collection_that_holds_itself() -> None:
    """Is walked once."""
    text = "kind: Pod\na: &a\n- *a\n- containers: [{image: %s, <<: *a}]\n"

    assert text % pinned(PROXY) == rewritten(text % PROXY)


# --- any stream ------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\ufeff"), max_size=6)
COMMENTS = st.lists(st.sampled_from(["\t", " ", "#", "é", "😀", "'", '"', "*a", CURL, "{"]), max_size=4).map("".join)


@dataclass
class Scribe:
    """Writes a stream, and remembers which parts of it are images."""

    draw: st.DrawFn
    line_end: str
    parts: list[tuple[str, bool]] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)

    def write(self, text: str) -> None:
        self.parts.append((text.replace("\n", self.line_end), False))

    def comment(self) -> None:
        """Up to the end of the line."""
        comment = f" #{self.draw(COMMENTS)}" if self.draw(st.booleans()) else ""
        self.write(f"{comment}\n")

    def scalar(self, depth: int, *, is_flow: bool) -> None:
        """An image, in any style that the place allows, after a space."""
        reference = self.draw(st.sampled_from([*HELD, OTHER, f"ghcr.io/{PROXY.partition('/')[2]}"]))
        styles = ["plain", "'", '"', "escaped", "tagged", "anchored", *(["alias"] if self.anchors else [])]
        match self.draw(st.sampled_from(styles if is_flow else [*styles, ">-", "|-", "|"])):
            case "'" | '"' as quote:
                self.parts.append((f"{quote}{reference}{quote}", True))
            case "escaped":
                spelt = "".join(f"\\u{ord(mark):04x}" if self.draw(st.booleans()) else mark for mark in reference)
                self.parts.append((f'"{spelt}"', True))
            case "tagged":
                self.write("!!str ")
                self.parts.append((reference, True))
            case "anchored":
                name = f"a{len(self.anchors)}"
                self.anchors.append(name)
                self.write(f"&{name} ")
                self.parts.append((reference, True))
            case "alias":
                self.parts.append((f"*{self.draw(st.sampled_from(self.anchors))}", True))
                self.write(" ")
            case ">-" | "|-" | "|" as header:
                self.write(header)
                self.comment()
                self.write(" " * (depth + self.draw(st.integers(1, 3))))
                self.parts.append((reference, True))
            case _:
                self.parts.append((reference, True))

    def container(self, depth: int) -> None:
        pad = " " * depth
        if self.draw(st.booleans()):
            self.write(f"{pad}- {{name: {json.dumps(self.draw(WORDS), ensure_ascii=False)}, image: ")
            self.scalar(depth, is_flow=True)
            self.write(" }")
        else:
            self.write(f"{pad}- image: ")
            self.scalar(depth + 2, is_flow=False)
            self.write(f"\n{pad}  name: ")
            self.other()
        self.comment()

    def other(self) -> None:
        """A scalar that is no image."""
        if self.anchors and self.draw(st.booleans()):  # an alias of an image, here
            self.parts.append((f"*{self.draw(st.sampled_from(self.anchors))}", True))
        else:
            self.write(json.dumps(self.draw(WORDS), ensure_ascii=False))

    def document(self) -> None:
        self.anchors.clear()
        self.write("---\n")
        self.write(f"kind: Pod\nmetadata:\n  name: {json.dumps(self.draw(WORDS), ensure_ascii=False)}")
        self.comment()
        self.write("spec:\n")
        for name in self.draw(st.lists(st.sampled_from(["containers", "initContainers"]), unique=True)):
            self.write(f"  {name}:\n")
            for _ in range(self.draw(st.integers(1, 3))):
                self.container(2)
        self.write("  last: 1")
        self.comment()


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[str, bool]]:
    """The parts of a stream, each with whether it is an image or an alias of one."""
    scribe = Scribe(draw, draw(st.sampled_from(["\n", "\r\n"])))
    if draw(st.booleans()):
        scribe.parts.append(("\ufeff", False))
    for _ in range(draw(st.integers(1, 3))):
        scribe.document()
    return scribe.parts


def replaced(node: Any, names: Mapping[str, str]) -> Any:
    """*node* with the images of its containers replaced by *names*: what is expected, by another way."""
    match node:
        case list():
            return [replaced(item, names) for item in node]
        case dict():
            return {
                key: [{**item, "image": names.get(item["image"].strip(), item["image"])} for item in value]
                if key in ("containers", "initContainers")
                else replaced(value, names)
                for key, value in node.items()
            }
    return node


def stripped(node: Any) -> Any:
    """*node* with each image stripped, for a literal block ends with a line break."""
    return replaced(node, {text: text for text in [*HELD, OTHER, *map(pinned, HELD), f"ghcr.io/{PROXY[10:]}"]})


@given(parts=streams(), loader=st.sampled_from([module._Parser, yaml.SafeLoader]))
def test_any_stream(parts: list[tuple[str, bool]], loader: Any) -> None:
    """It says the same with its images replaced, every other byte is as it was, and a second time changes nothing."""
    text = "".join(part for part, _ in parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_Parser", loader)
        done = rewritten(text)
        again = rewritten(done)

    names = {name: pinned(name) for name in HELD} | {f"ghcr.io/{PROXY.partition('/')[2]}": pinned(PROXY)}
    before, after = (list(yaml.safe_load_all(each)) for each in (text, done))
    assert stripped(replaced(before, names)) == stripped(after)
    assert re.fullmatch("".join(r"\S+" if is_image else re.escape(part) for part, is_image in parts), done)
    assert done == again


@given(text=st.text(st.sampled_from("ab:-?[]{},&*!|>'\"%@` #\t\n\r\\\x85\u2028é😀\ufeff\x00"), max_size=40))
def test_any_text(text: str) -> None:
    """What is not YAML is told in one sentence, whatever it is; what is comes back."""
    told = ""
    try:
        done = rewritten(text)
    except UsageError as exc:
        done, told = text, str(exc)

    assert text == done
    assert not told or re.fullmatch(r"[^\n]* line \d+[^\n]*", told)
