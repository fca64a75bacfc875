"""The report as people open it: light and dark, on a phone and on a desk, alone in the world."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import pytest

from tests.browser import chromium
from tests.evaluation.staged import stage
from tests.evaluation.test_report import page as written

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

# The least contrast (WCAG 2) of each text with what is behind it, with the text; SVG letters have their fill.
CONTRASTS = """() => {
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const over = (colours) => {
    paint.canvas.width = paint.canvas.height = 1;
    for (const colour of colours) { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    const element = texts.currentNode.parentElement;
    if (!text || !element.checkVisibility()) continue;
    const layers = [];
    for (let up = element; up; up = up.parentElement) layers.unshift(getComputedStyle(up).backgroundColor);
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(over(['white', ...layers])), light(over(['white', ...layers, ink]))];
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), text]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a network whose logits are the pictures' colours."""
    staged = stage(tmp_path_factory.mktemp("report"), "stretch")
    images = keras.Input((16, 16, 3))
    model = keras.Model(images, keras.layers.Conv2D(4, 1)(images))
    written(staged, model)
    return staged.root / "reports" / "report.html"


def opened(browser: "Browser", report: Path, **how: Any) -> tuple[Any, list[str]]:
    """The page, all of it unfolded, and the addresses that it asked for."""
    page = browser.new_page(**how)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return page, asked


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_nothing_runs_over_the_edge(browser: "Browser", report: Path, width: int) -> None:
    page, _ = opened(browser, report, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(browser: "Browser", report: Path, scheme: str) -> None:
    page, _ = opened(browser, report, viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 100
    assert min(found)[0] >= 4.5, sorted(found)[:5]
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")


def test_the_page_asks_for_nothing_and_runs_nothing(browser: "Browser", report: Path) -> None:
    page, asked = opened(browser, report, viewport={"width": 375, "height": 800})
    assert [address for address in asked if not address.startswith("data:")] == [report.as_uri()]
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_the_headings_tell_the_page_s_parts(browser: "Browser", report: Path) -> None:
    page, _ = opened(browser, report)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    titles = page.locator("h2").all_inner_texts()
    assert titles == ["Classes", "Pictures", "Confusion", "Learning curves", "Data", "Make it again"]


def test_what_scrolls_can_be_reached_by_keyboard(browser: "Browser", report: Path) -> None:
    page, _ = opened(browser, report, viewport={"width": 375, "height": 800})
    unreachable = """[...document.querySelectorAll('*')].filter(one => one.scrollWidth > one.clientWidth + 1
        && getComputedStyle(one).overflowX == 'auto' && one.tabIndex < 0).map(one => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(unreachable) == []
