"""What answers HTTP: status codes, headers, values and their tags, whatever a path says; behind a real server too."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import re
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from mirror import settings
from mirror.report import Proof
from mirror.service.configuration import Configuration
from mirror.service.ledger import Ledger
from mirror.service.page import Pages
from mirror.service.web import WAITING_MAX, application
from tests.service.answering import served
from tests.service.ledgers import DAY, NOW, STATES, empty, entry, in_step, ledger, many, refused, values

PROJECT = Path(__file__).parents[2]
VALUES = "/overrides/production/edge-26.11.3/linkerd-viz.yaml"
HTML = {"Accept": "text/html,*/*"}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def exposition(accept: str) -> tuple[bytes, str]:
    return b"mirror_up 1\n", f"text/plain; asked={accept}"


def app(made: Ledger, exposition: Callable[[str], tuple[bytes, str]] = exposition) -> ASGIApp:
    return application(made, exposition=exposition, now=lambda: NOW)


def client(made: ASGIApp, root_path: str = "") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(made, root_path=root_path, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://mirror.example.com")


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    """A service in step."""
    async with client(app(in_step())) as made:
        yield made


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A service in step, behind a real server."""
    with served(app(in_step())) as url:
        parsed = httpx.URL(url)
        yield parsed.host, parsed.port or 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/releases/staging/edge", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/v1/status", 200),
        ("/api/v1/releases", 200),
        ("/api/v1/releases/staging/edge", 200),
        (VALUES, 200),
        ("/overrides/staging/edge.tar", 200),
        ("/nothing", 404),
        ("/api/v1/releases/staging/edge-1.1.1", 404),
        ("/livez/", 404),
    ],
)
async def test_every_answer_is_guarded(path: str, status: int, web: httpx.AsyncClient) -> None:
    """Whatever it is, a browser is told to run nothing else, to keep nothing and to tell nobody."""
    answer = await web.get(path)

    assert status == answer.status_code
    assert POLICY == answer.headers["content-security-policy"]
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert "no-referrer" == answer.headers["referrer-policy"]
    assert ("no-cache" if status == 200 and path.startswith("/overrides") else "no-store") == (
        answer.headers["cache-control"]
    )


async def test_an_answer_that_breaks_is_guarded() -> None:
    """An error of ours says nothing of itself, and has the headers too."""

    def broken(_: str) -> tuple[bytes, str]:
        raise RuntimeError("a password")

    async with client(app(in_step(), broken)) as made:
        answer = await made.get("/metrics")
    assert 500 == answer.status_code
    assert POLICY == answer.headers["content-security-policy"]
    assert "password" not in answer.text


async def test_a_chart_that_comes_by_plain_http() -> None:
    """The command of the page has it, as that of the values has."""
    release = "edge-26.11.3"
    texts = {
        chart: text.replace(" --version", " --plain-http --version")
        for chart, text in values(release, "production").items()
    }
    async with client(app(ledger(entry(release, values=texts)))) as made:
        answer = await made.get(f"/releases/production/{release}")

    assert "/charts/linkerd-viz --plain-http --version 2026.11.3 " in answer.text


async def test_metrics(web: httpx.AsyncClient) -> None:
    """They are what is exposed for whoever takes what the scraper takes."""
    answer = await web.get("/metrics", headers={"Accept": "openmetrics"})

    assert ("mirror_up 1\n", "text/plain; asked=openmetrics") == (answer.text, answer.headers["content-type"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", VALUES, "/livez", "/nothing"])
async def test_nothing_can_be_changed(method: str, path: str, web: httpx.AsyncClient) -> None:
    """Everything but GET and HEAD is refused, be the path known or not."""
    answer = await web.request(method, path)

    assert 405 == answer.status_code
    assert "GET, HEAD" == answer.headers["allow"]
    assert POLICY == answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/releases/production/edge", "/api/v1/status", VALUES, "/livez", "/nothing"])
def test_head_is_get_without_a_body(path: str, address: tuple[str, int]) -> None:
    """Status and headers are those of GET, and the connection goes on behind them."""
    connection = http.client.HTTPConnection(*address, timeout=10)
    answers = []
    for method in ("GET", "HEAD", "GET"):
        connection.request(method, path)
        answer = connection.getresponse()
        headers = {name: value for name, value in answer.getheaders() if name != "date"}
        answers.append((answer.status, headers, len(answer.read())))
    connection.close()

    got, asked, again = answers
    assert got == again
    assert (got[0], got[1], 0) == asked


@pytest.mark.parametrize("release", ["edge-26.11.3", "edge"])
async def test_values(release: str, web: httpx.AsyncClient) -> None:
    """Those of the last run, by release or by the channel whose newest it is."""
    answer = await web.get(f"/overrides/staging/{release}/linkerd-viz.yaml")

    assert "application/yaml; charset=utf-8" == answer.headers["content-type"]
    assert in_step().entries["staging", "edge-26.11.3"].report.values["linkerd-viz"] == answer.text


@pytest.mark.parametrize("path", [VALUES, "/overrides/production/edge.tar"])
async def test_values_that_are_the_same(path: str, web: httpx.AsyncClient) -> None:
    """Who has them already is told so, and sent nothing; who has others is sent them."""
    tag = (await web.get(path)).headers["etag"]

    for same in (tag, f'"other", W/{tag}', "*"):
        answer = await web.get(path, headers={"If-None-Match": same})
        assert (304, b"", tag) == (answer.status_code, answer.content, answer.headers["etag"])
    assert 200 == (await web.get(path, headers={"If-None-Match": '"other"'})).status_code


async def test_a_flood() -> None:
    """Pages are made one after another, and no more wait than may; probes and scrapes are answered in between."""
    made, order = app(in_step()), list[str]()

    async def asked(web: httpx.AsyncClient, path: str) -> httpx.Response:
        answer = await web.get(path)
        order.append(path)
        return answer

    async with client(made) as web:
        pages = [asyncio.create_task(asked(web, "/")) for _ in range(WAITING_MAX + 10)]
        await asyncio.wait(pages, return_when=asyncio.FIRST_COMPLETED)
        probes = [asyncio.create_task(asked(web, path)) for path in ("/livez", "/readyz", "/metrics")]
        answers, at_once = await asyncio.gather(*pages), await asyncio.gather(*probes)
        after = await web.get("/")

    turned_away = [answer for answer in answers if answer.status_code == 503]
    assert {200} == {answer.status_code for answer in at_once}
    assert set(order[-10:]) == {"/"}
    assert WAITING_MAX == sum(answer.status_code == 200 for answer in answers)
    assert {("1", "too many are asking: try again in a moment\n")} == {
        (answer.headers["retry-after"], answer.text) for answer in turned_away
    }
    assert 200 == after.status_code


async def test_a_tar_of_all_values(web: httpx.AsyncClient) -> None:
    """Each chart's file in a folder of the release; the same bytes each time."""
    first, second = [await web.get("/overrides/production/edge.tar") for _ in range(2)]

    assert first.content == second.content
    with tarfile.open(fileobj=io.BytesIO(first.content)) as archive:
        names = ["edge-26.11.3/linkerd-control-plane.yaml", "edge-26.11.3/linkerd-viz.yaml"]
        assert names == archive.getnames()
        assert {(NOW - 3 * DAY).timestamp()} == {member.mtime for member in archive}
        read = archive.extractfile(names[1])
        assert read is not None
        assert (await web.get(VALUES)).content == read.read()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/nothing", "there is nothing here; the page at / has what there is"),
        (
            "/overrides/prod/edge/linkerd-viz.yaml",
            "there is no destination 'prod' (destinations: production, staging)",
        ),
        (
            "/overrides/staging/edge-1.1.1.tar",
            "no release 'edge-1.1.1' is asked for at staging (releases and channels: edge, edge-26.10.4, edge-26.11.3)",
        ),
        (
            "/overrides/staging/edge/viz.yaml",
            "there are no values of 'viz' for edge-26.11.3 at staging (charts: linkerd-control-plane, linkerd-viz)",
        ),
        ("/static/mirror.css", "there is no such file: it may be of another version; load the page again"),
    ],
)
async def test_what_is_not_there(path: str, sentence: str, web: httpx.AsyncClient) -> None:
    """A sentence says what is there in its place: as text, as a page for a browser."""
    told = await web.get(path)
    shown = await web.get(path, headers=HTML)

    assert (404, f"{sentence}\n") == (told.status_code, told.text)
    assert 404 == shown.status_code
    assert sentence.replace("'", "&#39;") in shown.text


async def test_values_of_what_cannot_be_looked_at() -> None:
    """Why that is so is said."""
    down = ledger(entry("edge-26.11.3", images=(), charts=(), values={}, problem="registry.x: connection refused"))
    async with client(app(down)) as made:
        answer = await made.get(VALUES)

    assert 404 == answer.status_code
    assert "at production: registry.x: connection refused (charts: none)" in answer.text


async def test_a_destination_of_which_nothing_is_known() -> None:
    """It is there all the same: the configuration names it."""
    made = in_step()
    made.entries.clear()
    made.newest = {}
    async with client(app(made)) as web:
        answer = await web.get(VALUES)

    words = "no release 'edge-26.11.3' is asked for at production (releases and channels: none)\n"
    assert (404, words) == (answer.status_code, answer.text)


async def test_what_is_not_there_as_json(web: httpx.AsyncClient) -> None:
    """Below /api/ an error is JSON, for a browser too."""
    answer = await web.get("/api/v1/releases/nowhere/edge", headers=HTML)

    assert {"error": "there is no destination 'nowhere' (destinations: production, staging)"} == answer.json()


@pytest.mark.parametrize(
    ("proof", "written", "words"),
    [
        ("proven", 2, "Proven"),
        ("proven", 1, "Proven, 1 of 2 charts"),
        ("not proven", 1, "Not proven, 1 of 2 charts"),
        ("proven", 0, "0 of 2 charts"),
    ],
)
async def test_values_of_some_charts(proof: Proof, written: int, words: str) -> None:
    """That they are not all there is shown wherever it is shown that they are proven."""
    made = entry("edge-26.11.3", proof=proof)
    values = dict(list(made.report.values.items())[:written])
    withheld = tuple(chart for chart in made.report.values if chart not in values)
    made = replace(made, report=replace(made.report, values=values, withheld=withheld))
    async with client(app(ledger(made))) as web:
        pages = [(await web.get(path)).text for path in ("/", "/releases/production/edge")]

    badges = [re.findall(r"</svg>([^<]*(?:[Pp]roven|of \d charts)[^<]*)</span>", page) for page in pages]
    assert [[words], [words]] == badges


async def test_values_that_were_not_written() -> None:
    """Why there are none is said."""
    async with client(app(refused())) as made:
        answer = await made.get("/overrides/production/edge/linkerd-viz.yaml")
        rest = await made.get("/overrides/production/edge.tar")

    assert 404 == answer.status_code
    assert "no values were written for linkerd-viz: an image that it uses is not in the mirror" in answer.text
    with tarfile.open(fileobj=io.BytesIO(rest.content)) as archive:
        assert archive.getnames()
        assert not [name for name in archive.getnames() if "linkerd-viz" in name]


async def test_nothing_is_known_before_the_first_run() -> None:
    """A release is not said to be missing while nobody has looked."""
    async with client(app(empty())) as made:
        answer = await made.get(VALUES)
    assert (404, "the first run has not ended, so that no release is known yet\n") == (answer.status_code, answer.text)


async def test_a_long_list_is_cut() -> None:
    """Of many names ten are told."""
    async with client(app(many())) as made:
        answer = await made.get("/overrides/production/edge-1.1.1.tar")
    assert ", and 191 more)\n" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/overrides/../../../etc/passwd",
        "/overrides/%2e%2e/%2e%2e/passwd.yaml",
        "/overrides/production/edge-26.11.3/..%2f..%2fetc%2fpasswd.yaml",
        "/overrides/production/edge-26.11.3%2flinkerd-viz.yaml/..",
        "/overrides/production/%2e%2e/production/edge-26.11.3/linkerd-viz.yaml",
        "/overrides/production/edge-26.11.3/linkerd-viz.yaml%00",
        "/overrides//edge-26.11.3/linkerd-viz.yaml",
        "/overrides/production/edge-26.11.3/.yaml",
        "/static/..%2fpage.py",
        "/static/%2e%2e/page.py",
        "/static//etc/passwd",
        "/releases/production/%3Cscript%3Ealert(1)%3C%2fscript%3E",
        "/releases/%0d%0aSet-Cookie:%20a=b/edge",
        "//mirror.example.com/livez",
        "/%ff%fe",
    ],
)
def test_a_path_names_nothing_but_what_is_known(path: str, address: tuple[str, int]) -> None:
    """Whatever is in it, it is looked up as it is, and not found; no header and no markup comes of it."""
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.putrequest("GET", path)
    connection.putheader("Accept", "text/html")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()

    assert answer.status in (400, 404)
    assert answer.getheader("Set-Cookie") is None
    assert b"root:" not in body
    assert b"<script>" not in body


async def test_behind_a_path() -> None:
    """An ingress may strip its path or not: every link of a page leads to what is there."""
    made = app(in_step())
    async with client(made, "/mirror") as behind:
        for page in ("/mirror/", "/mirror/releases/production/edge", "/mirror/a/b/c"):
            html = (await behind.get(page, headers=HTML)).text
            links = re.findall(r'(?:href|src)="([^"#]+)"', html)
            assert links
            for link in links:
                url = httpx.URL(f"http://mirror.example.com{page}").join(link)
                assert url.path.startswith("/mirror/")
                assert url.path == "/mirror/metrics" or 200 == (await behind.get(url)).status_code
        answer = await behind.get("/mirror")
        assert (307, "/mirror/") == (answer.status_code, answer.headers["location"])


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, "http://mirror.example.com/"),
        ({"Host": "[::1]:8080"}, "http://[::1]:8080/"),
        ({"Host": "evil.example.com/$(id)"}, "http://localhost/"),
        ({"X-Forwarded-Proto": "https"}, "https://mirror.example.com/"),
        ({"X-Forwarded-Prefix": "/tools/mirror/"}, "http://mirror.example.com/tools/mirror/"),
        ({"X-Forwarded-Prefix": "/a; rm -rf /"}, "http://mirror.example.com/"),
    ],
)
async def test_the_url_in_commands(headers: dict[str, str], url: str, web: httpx.AsyncClient) -> None:
    """It is the one that the reader came by; what a shell would act on never gets there."""
    html = (await web.get("/releases/production/edge", headers=headers)).text

    assert f" -f {url}overrides/production/edge-26.11.3/linkerd-viz.yaml</code>" in html


async def test_static_files(web: httpx.AsyncClient) -> None:
    """Their names change with their content, so that they are kept for good."""
    names = set(Pages().assets)
    html = (await web.get("/")).text

    assert {name for name in names if name.startswith("mirror.")} == set(re.findall(r"static/(mirror\.[^\"]+)", html))
    for name in names:
        answer = await web.get(f"/static/{name}")
        assert "public, max-age=31536000, immutable" == answer.headers["cache-control"]
        assert POLICY == answer.headers["content-security-policy"]


@pytest.mark.parametrize("name", STATES)
async def test_no_line_of_script_or_style_in_a_page(name: str) -> None:
    """The policy would stop it; and no `{{` of a template is left."""
    async with client(app(STATES[name]())) as made:
        html = (await made.get("/")).text
    assert [] == re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:|\{\{|\{%", html)


async def test_two_hundred_releases() -> None:
    """The page stays usable: what is wrong is seen at once, most is folded away, and all of it is half a megabyte."""
    async with client(app(many())) as made:
        html = (await made.get("/")).text
    assert len(html) < 500_000
    assert "<summary>375 more</summary>" in html


async def test_no_secret_of_the_configuration(tmp_path: Path) -> None:
    """Passwords and names of users, be they in the file, in variables or in what a reload refused, are in no answer."""
    path = tmp_path / "mirror.toml"
    path.write_text(
        '[registries."ghcr.io"]\nusername = "user-5ecret"\n[destinations.production]\nkind = "registry"\n'
        'registry = "r.example.com"\nprefix = "p-5ecret"\n'
    )
    environ = {"MIRROR_REGISTRIES": '{"ghcr.io": {"password": "pass-5ecret"}}', "MIRROR_5ECRET": "value-5ecret"}
    made = in_step()
    configuration = Configuration(lambda: settings.load(path, environ), settings.load(path, environ), made)
    environ["MIRROR_REGISTRIES"] = '{"ghcr.io": {"password": "pass-5ecret", "user": 1}}'
    configuration.reload()

    assert made.configuration.problem
    async with client(app(made)) as asked:
        for address in ("/", "/releases/production/edge", "/api/v1/status", "/api/v1/releases", "/livez", "/readyz"):
            assert "5ecret" not in (await asked.get(address)).text


async def test_the_documents_are_as_documented() -> None:
    """docs/api.md names every key that there is, in any state, and no other."""
    text = (PROJECT / "docs" / "api.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_.\[\]]+)` \|", text[text.index("## /api/v1/status") :], re.MULTILINE))
    found = set[str]()
    for state in (*STATES.values(), lambda: ledger(entry("edge-26.11.3"))):
        async with client(app(state())) as made:
            for path in ("/api/v1/status", "/api/v1/releases"):
                found |= set(_keys(json.loads((await made.get(path)).text)))

    current = {key for key in found if key.startswith("current.")}
    assert current <= {key.replace("runs[]", "current") for key in documented}
    assert documented == found - current


def _keys(document: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every key of *document* and below it, dotted; those of maps by outcome or state are data."""
    for key, value in document.items():
        here = f"{path}{key}"
        yield here
        if here in ("runs[].images", "current.images", "releases[].signatures"):
            continue
        if isinstance(value, dict):
            yield from _keys(value, f"{here}.")
        for each in value if isinstance(value, list) else ():
            if isinstance(each, dict):
                yield from _keys(each, f"{here}[].")
