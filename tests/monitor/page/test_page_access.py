"""The page for everybody: by keyboard, to a screen reader, in the dark, on a phone."""

from itertools import pairwise

import pytest

from tests.monitor.conftest import NewTrainer
from tests.monitor.helpers import ScriptedTrainer
from tests.support.browser import Browser

PAGES = ["/", "/?run=a"]

CONTRASTS = """
const channel = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
function ground(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
}
const texts = [...document.querySelectorAll("body *")].filter((element) =>
  element.checkVisibility() && !element.closest(".unseen")
  && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
const ratios = texts.map((element) => {
  const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim().slice(0, 30)];
});
return [texts.length, ratios.filter(([ratio]) => ratio < 4.5)];
"""
WIDE = """
return [...document.querySelectorAll("main *")]
  .filter((e) => e.checkVisibility() && !e.closest(".unseen, .scrolls"))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.outerHTML.slice(0, 90));
"""
SMALL = """
return [...document.querySelectorAll("button, select, input:not([type=checkbox])")]
  .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24)
  .map((e) => e.outerHTML);
"""


@pytest.fixture
def drawn(browser: Browser, url: str, story: ScriptedTrainer, request: pytest.FixtureRequest) -> Browser:
    """The page that the test is about."""
    browser.open(url + request.param)
    browser.until(lambda: browser.text("#timeline" if "run" in request.param else "#runs tbody"))
    browser.until(lambda: browser.text("#connection") == "Live")
    return browser


@pytest.mark.parametrize("drawn", PAGES, indirect=True)
def test_structure(drawn: Browser) -> None:
    """Landmarks, one first heading, no level left out, no id twice, tables with headers, pictures with a text."""
    assert [len(drawn.all(tag)) for tag in ("main", "header", "nav", "h1")] == [1, 1, 1, 1]
    assert drawn.js("document.documentElement.lang") == "en"
    levels = [int(tag[1]) for tag in drawn.js("[...document.querySelectorAll('h1,h2,h3,h4')].map((e) => e.tagName)")]
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
    ids = drawn.js("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    named = drawn.js(
        "[...document.querySelectorAll('[aria-labelledby]')].map((e) => e.getAttribute('aria-labelledby'))"
    )
    assert set(named) <= set(ids)
    assert drawn.all("table thead th:not([scope=col]), table tbody th:not([scope=row])") == []
    assert drawn.js("[...document.querySelectorAll('img:not([alt]), [role=img]:not([aria-label])')].length") == 0
    sections = drawn.js(
        "[...document.querySelectorAll('section')].filter((e) => !e.matches('[aria-labelledby]')).length"
    )
    assert sections == 0


@pytest.mark.parametrize("drawn", PAGES, indirect=True)
def test_every_control_has_a_name(drawn: Browser) -> None:
    """As a screen reader would say it; and no two links or buttons with the same one."""
    controls = drawn.all("a, button, input, select, summary")
    names = [control.accessible_name for control in controls]
    assert "" not in names
    buttons = [control.accessible_name for control in controls if control.tag_name in ("button", "summary")]
    assert sorted(buttons) == sorted(set(buttons))


@pytest.mark.parametrize("drawn", PAGES, indirect=True)
def test_contrast(drawn: Browser) -> None:
    """Of each text with what is behind it: 4.5 or more."""
    for colours in ("light", "dark"):
        drawn.scheme(colours)
        texts, poor = drawn.js(CONTRASTS)
        assert texts > 10
        assert poor == []


@pytest.mark.parametrize("drawn", ["/?run=a"], indirect=True)
def test_keyboard(drawn: Browser) -> None:
    """The skip link comes first; Tab goes through everything in the order of the page, each with a ring around it."""
    drawn.press("\ue004")
    assert drawn.js("document.activeElement.textContent") == "Skip to the content"
    drawn.press("\ue007")
    assert drawn.js("document.activeElement.id") == "main"
    reachable = "main a, main button, main input, main select, main summary"
    expected = drawn.js(f"[...document.querySelectorAll('{reachable}')].filter((e) => e.checkVisibility()).length")
    seen = []
    for _ in range(expected):
        drawn.press("\ue004")
        outline, top = drawn.js(
            "const e = document.activeElement;"
            "return [getComputedStyle(e).outlineStyle, [...document.querySelectorAll('*')].indexOf(e)]"
        )
        assert outline == "solid"
        seen.append(top)
    assert seen == sorted(set(seen))
    assert len(seen) == expected


@pytest.mark.parametrize("drawn", ["/?run=a"], indirect=True)
def test_keyboard_alone_comes_to_the_details(drawn: Browser) -> None:
    """Enter on a condition opens it; it stays open while the page lives on."""
    summary = drawn.button("condition of GradientExplosion")
    drawn.js("return arguments[0].focus()", summary)
    drawn.press("\ue007")
    assert drawn.text("#rules details[open] code") == "grad_norm > ceiling"


@pytest.mark.parametrize("drawn", PAGES, indirect=True)
def test_light_and_dark(drawn: Browser) -> None:
    """As the system has it, or as the visitor chose; that is kept."""
    ground = "getComputedStyle(document.body).backgroundColor"
    light = drawn.js(ground)
    drawn.scheme("dark")
    dark = drawn.js(ground)
    assert dark != light
    button = drawn.button("Theme: system")
    button.click()
    assert (button.text, drawn.js(ground)) == ("Theme: light", light)
    button.click()
    drawn.scheme("light")
    assert (button.text, drawn.js(ground)) == ("Theme: dark", dark)
    drawn.driver.refresh()
    assert drawn.js(ground) == dark


@pytest.mark.parametrize("drawn", PAGES, indirect=True)
def test_a_phone(drawn: Browser) -> None:
    """Nothing is wider than the screen, and what is to be touched is large enough."""
    for width in (768, 390, 320):
        drawn.screen(width, 800, scale=2, phone=True)
        drawn.until(lambda width=width: drawn.js("innerWidth") == width)
        drawn.until(lambda: drawn.js(WIDE) == [])  # charts are drawn anew in their own time
        assert drawn.js("document.documentElement.scrollWidth") <= width
        assert drawn.js(SMALL) == []


def test_a_name_is_only_a_name(browser: Browser, url: str, new_trainer: NewTrainer) -> None:
    """Markup in the name of a run stays text, in the list and on its own page."""
    name = "<img src=x onerror=alert(1)>&amp;"
    trainer = new_trainer(name)
    trainer.hello()
    trainer.sample(loss=1.0)
    browser.open(url)
    browser.until(lambda: name in browser.text("#runs"))
    browser.find("#runs a").click()
    browser.until(lambda: browser.text("h1") == name)
    browser.until(lambda: "Loss\n1" in browser.text("#vitals"))
    assert len(browser.all("img")) == 1
