"""What holds for every page: it fits its window in both themes, is walked by keyboard, and lies under any base path."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from ui.flow import wait_until_quiet

NAMES = ("sky", "catalogue", "star", "models", "lineage", "quality")
ACTS = re.compile("Promote|Roll back|Release|Discard|Start the sync")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_the_window_in_both_themes(page_of, log_in, name, width):
    page: Page = log_in("viewer", width=width)
    page.goto(page_of(name))
    page.wait_for_load_state("networkidle")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), "wider than the window"
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(one) for one in re.findall(r"\d+", background)[:3]) < 200) == (theme == "dark")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.get_by_role("button", name=ACTS).count() == 0, "who only looks is offered to act"


def test_pages_are_walked_by_keyboard(page_of, log_in):
    page: Page = log_in("viewer")
    page.goto(page_of("quality"))
    expect(page.get_by_role("heading", name="Fresh", exact=True)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Sky")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sky", exact=True)).to_be_visible()


def test_a_cell_of_the_sky_is_opened_by_keyboard(page_of, log_in):
    page: Page = log_in("viewer")
    page.goto(page_of("sky", "?dataset=curated.objects"))
    expect(page.get_by_text(re.compile(r"rows in \d+ cells"))).to_be_visible()
    page.get_by_role("application", name="Map of the sky").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile(r"^Cell \d+.\d+"))).to_be_visible()


def test_a_question_is_asked_by_keyboard(page_of, log_in):
    page: Page = log_in("viewer")
    page.goto(page_of("catalogue"))
    page.locator("textarea").first.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("SELECT 6 * 7 AS answer")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("cell", name="42", exact=True)).to_be_visible()


@pytest.mark.parametrize("name", NAMES)
def test_pages_lie_under_any_base_path(home, log_in, name):
    """A proxy that puts the server under /observatory: nothing that a page loads or asks for may leave that path."""
    page: Page = log_in("viewer")
    origin = home.status()["url"]
    outside = []

    def proxied(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.startswith("/observatory/"):
            route.continue_(url=route.request.url.replace("/observatory/", "/", 1))
        else:
            outside.append(path)
            route.abort()

    page.route(f"{origin}/**", proxied)
    page.goto(f"{origin}/observatory/stellar/pages/{name}")
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    links = page.locator("a[href]").evaluate_all(
        "links => links.map(one => new URL(one.getAttribute('href'), location).pathname)"
    )
    assert not outside
    assert not [one for one in links if not one.startswith("/observatory/")]


def test_no_run_failed_all_day(home):
    """What the days before these pages started has come to its end."""
    wait_until_quiet(home)
    assert not home.client().runs(state=["failed"])
