"""A home with data, the platform up on it, and browsers logged in: what a person sees, driven as a person would."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from platform_home import Home
from stellar.platform import bootstrap
from ui.spoilt_rows import bring_spoilt_rows

START_S = 300
LIMIT_S = 2400  # of a test together with the making of the home, which the first one waits for
# the two fields of the simulated sky, the one at (0, 20) without its rim: it has a radius of 1.05 degrees
REGIONS = "305.5,37.5,0.6;0,20,0.9"
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
KEPT = bool(os.environ.get("STELLAR_IMAGES"))
Open = Callable[..., Page]
expect.set_options(timeout=30_000)  # a page of a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The home is made within the first test that asks for it; on a busy machine that takes a quarter of an hour."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def home() -> Iterator[Home]:
    """The platform, up, on a home in which one whole run went through but for the rim of one of its fields.

    One model has a second version, of another seed; three rows with faults wait for the next run of the catalogue.
    """
    with tempfile.TemporaryDirectory(prefix="stellar-ui-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # Postgres' user must pass
        home = Home(Path(folder) / "home")
        home.environment["STELLAR_REGIONS"] = REGIONS
        home.run()
        trained = home.start("train", "lightcurve-class", "--seed", "7")
        assert trained.wait(timeout=START_S) == 0, home.output.read_text()[-4000:]
        bring_spoilt_rows(home.settings, (0.0, 20.0))
        with home.up():
            yield home


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("no chromium here; `apt-get install chromium` (as root)")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox"])  # tests may run as root
        yield browser
        browser.close()


@pytest.fixture
def page_of(home: Home) -> Callable[..., str]:
    """A function: the address of one of our pages, with a question (`?…`) if any."""
    return lambda name, question="": f"{home.status()['url']}/stellar/pages/{name}{question}"


@pytest.fixture(scope="session")
def logins() -> dict[str, dict]:
    """Cookies by user: each logs in once, by Airflow's own form, as logins are limited to a few in a minute."""
    return {}


@pytest.fixture
def log_in(home: Home, browser: Browser, logins: dict[str, dict]) -> Iterator[Open]:
    """A function: a page of Airflow's UI as one of its users, with the width and theme that are asked for.

    A test fails at its end when a script of ours failed, our part of the server did, or a file of ours was missing.
    """
    contexts, faults = [], []

    def note(what: str) -> None:
        if "/stellar/" in what:
            faults.append(what)

    def is_wrong(status: int, url: str) -> bool:
        return status >= 500 or (status >= 400 and "/static/" in url)

    def open_(user: str, *, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
            device_scale_factor=2 if KEPT else 1,
            storage_state=logins.get(user),
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: note(f"{error} {error.stack}"))
        page.on(
            "response",
            lambda answer: note(f"{answer.status} {answer.url}") if is_wrong(answer.status, answer.url) else None,
        )
        if user not in logins:
            page.goto(f"{home.status()['url']}/auth/login/?next=/")
            page.fill("input[name=username]", user)
            page.fill("input[name=password]", bootstrap.password(home.settings, user))
            page.click("input[type=submit], button[type=submit]")
            expect(page.get_by_role("link", name="Dags").first).to_be_visible()
            logins[user] = context.storage_state()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """A function: keep a picture of the page for the README, when asked for by STELLAR_IMAGES=1; else only take it."""

    def take(page: Page, name: str) -> None:
        page.evaluate("document.fonts.ready")
        image = page.screenshot(animations="disabled")
        assert len(image) > 10_000, f"{name}: the page is blank"
        if KEPT:
            IMAGES.mkdir(exist_ok=True)
            few = Image.open(io.BytesIO(image)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            few.save(IMAGES / f"{name}.png", optimize=True)

    return take
