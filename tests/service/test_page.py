"""The page in real Chromium: every state, light and dark, wide and narrow, with JavaScript and without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.types import ASGIApp, Receive, Scope, Send

from mirror.service.ledger import Ledger
from mirror.service.status import WORDS, status
from mirror.service.web import application
from tests.servers import tools
from tests.service.answering import served
from tests.service.ledgers import MINUTE, NOW, REGISTRIES, STATES, entry, failing, in_step, refused, running

RELEASE = "releases/production/edge-26.11.3"
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
COLOURS = {"type": "rule", "values": ["color-contrast"]}
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 800}


@dataclass(slots=True)
class Stage:
    """What is served now."""

    url: str = ""
    is_down: bool = False
    _app: ASGIApp | None = field(default=None, init=False)

    def show(self, ledger: Ledger, after: timedelta = timedelta()) -> None:
        """*ledger* is served, *after* so long."""
        self.is_down = False
        self._app = application(ledger, exposition=lambda _: (b"", "text/plain"), now=lambda: NOW + after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.is_down:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body"})
            return
        assert self._app is not None
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    with served(made) as url:
        made.url = url
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = tools.require("chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def shared(browser: Browser) -> Iterator[Page]:
    """A page of its own size and scheme for each test, that is opened once; complaints end the test."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def page(shared: Page) -> Iterator[Page]:
    """A page, whose clock stands at NOW, and whose console must stay empty."""
    complaints: list[str] = []

    def complain(event: object) -> None:
        complaints.append(str(getattr(event, "text", event)))

    shared.on("console", complain)
    shared.on("pageerror", complain)
    shared.set_viewport_size(WIDE)  # type: ignore[arg-type]
    shared.emulate_media(color_scheme="light")
    yield shared
    shared.remove_listener("console", complain)
    shared.remove_listener("pageerror", complain)

    assert [] == [each for each in complaints if "503" not in each]


def accessible(page: Page, *, by: Mapping[str, object] = WCAG) -> None:
    """Nothing that axe finds is wrong with *page* by WCAG 2.2 AA, or by the rules of *by*."""
    found = Axe().run(page, options={"runOnly": by, "resultTypes": ["violations"]})

    assert [] == [
        (each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in found.response["violations"]
    ]


def overflow(page: Page) -> int:
    """By how many pixels *page* is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def overflowing(page: Page) -> list[str]:
    """What the cards say, of those that hold something that is wider than they are."""
    wider = "rows => rows.filter(row => row.scrollWidth > row.clientWidth).map(row => row.innerText)"
    return list(page.eval_on_selector_all(".cards tbody tr", wider))


def too_narrow(page: Page) -> list[int]:
    """The widths of a window, those right above a change of layout among them, that *page* is wider than."""

    def is_wider(width: int) -> bool:
        page.set_viewport_size({"width": width, "height": 800})
        return overflow(page) > 0

    return [width for width in (*range(320, 1401, 60), 641, 1249) if is_wider(width)]


@pytest.mark.parametrize("name", STATES)
def test_each_state_is_plain_and_accessible(name: str, stage: Stage, page: Page) -> None:
    """The first line is the word and the sentence; axe finds nothing in light, in dark and on a phone."""
    ledger = STATES[name]()
    stage.show(ledger)
    told = status(ledger, NOW)
    page.goto(stage.url)

    assert f"{told.word} – mirror" == page.title()
    assert page.locator("#live").inner_text().startswith(told.word)
    assert told.what in page.locator("#live").inner_text()
    assert 1 == page.get_by_role("status").count()
    assert len(told.problems) == page.locator(".problem").count()
    assert f"verdict {told.state}" == page.locator("#verdict").get_attribute("class")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert (0, []) == (overflow(page), overflowing(page))
    if name == "many":  # its rows are as everywhere else, and axe takes its time for each
        return
    accessible(page)
    page.emulate_media(color_scheme="dark")
    accessible(page, by=COLOURS)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="light")
    accessible(page)


@pytest.mark.parametrize("name", STATES)
def test_as_wide_as_its_window(name: str, stage: Stage, page: Page) -> None:
    """It never scrolls sideways, on a phone, on a desk or between."""
    stage.show(STATES[name]())
    page.goto(stage.url)

    assert [] == too_narrow(page)


@pytest.mark.parametrize("name", ["in_step", "refused"])
def test_a_release(name: str, stage: Stage, page: Page) -> None:
    """Every chart, every image with its whole digest, platforms, signer and size; what is written of it; accessible."""
    stage.show(STATES[name]())
    page.goto(stage.url + RELEASE)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")

    images = page.locator("section[aria-labelledby=images-title] tbody tr:not(.explanation)")
    assert 9 == images.count()
    charts = page.locator("section[aria-labelledby=charts-title] tbody tr")
    assert ["linkerd-viz 2026.11.3"] == [each.splitlines()[0] for each in charts.all_inner_texts()]
    first = images.first.inner_text()
    assert re.search(r"sha256:[0-9a-f]{64}", first)
    assert "48.3 MB" in first
    assert "linux/amd64, arm/v7, arm64" in first
    assert "release.yml@refs/tags/edge-26.11.3" in first
    accessible(page)
    assert [] == too_narrow(page)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="dark")
    accessible(page)


def test_the_values_to_copy(stage: Stage, page: Page) -> None:
    """The command names chart, in the mirror if it is there, version and the values' own URL, under which they are."""
    stage.show(in_step())
    page.goto(stage.url + RELEASE)

    command = page.locator("#command-linkerd-viz").inner_text()
    url = f"{stage.url}overrides/production/edge-26.11.3/linkerd-viz.yaml"
    place = f"oci://{REGISTRIES['production']}/charts/linkerd-viz"
    assert command.startswith(f"helm upgrade --install linkerd-viz {place} --version 2026.11.3 \\\n")
    assert command.endswith(f" -f {url}")
    other = page.locator("#command-linkerd-control-plane").inner_text()
    assert "--install linkerd-control-plane linkerd-edge/linkerd-control-plane --version 2026.11.3 " in other
    assert page.request.get(url).text() == page.locator("#text-linkerd-viz").text_content()


def test_what_a_registry_says_is_text(stage: Stage, page: Page) -> None:
    """Markup, control and direction marks in a reason are shown, and do nothing."""
    said = "<img src=x onerror=alert(1)> </script>\x1b[2J \u202egnp.exe"
    stage.show(_with_reason(said))
    page.goto(stage.url)

    assert "<img src=x onerror=alert(1)> </script>\ufffd[2J \ufffdgnp.exe" == page.locator(".reason").inner_text()
    assert 0 == page.locator("img").count()


def test_a_refresh_takes_over_what_changed(stage: Stage, page: Page) -> None:
    """The word, the title, the icon and the problems change without a reload; focus, scroll and folds stay."""
    stage.show(running())
    page.goto(stage.url)
    page.evaluate("window.isSamePage = true")
    icon = page.locator("link[rel=icon]").get_attribute("href")
    link = page.get_by_role("link", name="edge-26.10.4").first
    link.focus()
    page.evaluate("window.scrollTo(0, 300)")
    stage.show(_failing_now())

    expect(page.locator("#live")).to_contain_text("Not in step", timeout=10_000)
    assert f"{WORDS['not_in_step']} – mirror" == page.title()
    assert icon != page.locator("link[rel=icon]").get_attribute("href")
    assert 1 == page.locator(".problem").count()
    assert page.evaluate("window.isSamePage")
    assert "edge-26.10.4" == page.evaluate("document.activeElement.textContent")


def test_a_refresh_leaves_what_did_not_change(stage: Stage, page: Page) -> None:
    """An element whose words are the same stays the same element: nothing is announced again."""
    stage.show(running())
    page.goto(stage.url)
    page.evaluate("window.live = document.getElementById('live').firstChild; window.row = document.querySelector('tr')")
    stage.show(running(), after=5 * MINUTE)

    expect(page.locator("footer time")).to_contain_text("13:34:00", timeout=10_000)
    expect(page.locator("#run time")).to_be_visible()
    assert page.evaluate("window.live === document.getElementById('live').firstChild")


def test_a_page_that_cannot_be_refreshed_says_so(stage: Stage, page: Page) -> None:
    """The service is gone: what is shown is no longer green, until it is back."""
    stage.show(running())
    page.goto(stage.url)
    good = page.locator("#verdict").evaluate("each => getComputedStyle(each).backgroundColor")
    stage.is_down = True

    expect(page.locator("#stale")).to_contain_text("could not be refreshed since", timeout=10_000)
    assert good != page.locator("#verdict").evaluate("each => getComputedStyle(each).backgroundColor")
    stage.show(running())
    expect(page.locator("#stale")).to_be_hidden(timeout=10_000)


def test_without_javascript(stage: Stage, browser: Browser) -> None:
    """The page is whole, its times are told, and it loads itself anew."""
    stage.show(refused())
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(stage.url)

    assert 2 == page.locator(".problem").count()
    assert "next run in 48 min (14:17 UTC)" in page.locator(".first").inner_text()
    assert 'content="30"' in page.content()
    page.get_by_role("link", name="edge-26.11.3").first.click()
    assert "edge-26.11.3 at production" == page.locator("h1").inner_text()
    context.close()


def test_the_keyboard_alone(stage: Stage, page: Page) -> None:
    """The first stop leads past the head; every stop is seen."""
    stage.show(refused())
    page.goto(stage.url)
    page.keyboard.press("Tab")

    assert "Skip to the content" == page.evaluate("document.activeElement.textContent")
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert "command-1-1" == page.evaluate("document.activeElement.id")
    assert "none" != page.evaluate("getComputedStyle(document.activeElement).outlineStyle")


def test_times_are_told_alike(stage: Stage, page: Page) -> None:
    """What the script says of a time is what the server has said."""
    stage.show(in_step())
    page.clock.set_fixed_time(NOW)
    told = re.findall(r"data-relative>([^<]*)</time>", page.request.get(stage.url).text())
    page.goto(stage.url)

    assert len(told) > 10
    assert told == page.locator("time[data-relative]").all_text_contents()


def _with_reason(said: str) -> Ledger:
    ledger = failing()
    key = ("production", "edge-26.11.3")
    reference = "cr.l5d.io/linkerd/web:edge-26.11.3"
    ledger.entries = {key: entry(key[1], key[0], {reference: {"outcome": "failed", "digest": None, "reason": said}})}
    return ledger


def _failing_now() -> Ledger:
    ledger = failing()
    ledger.begin("sync", "schedule", NOW)
    return ledger
