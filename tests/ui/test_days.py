"""The operator's, the astronomer's and the auditor's day, from login to result, on a platform that runs.

They share one home and one story: the operator syncs two parts of the sky that were left out, the astronomer asks about
a star, the auditor follows its number back to the survey's query. In the order of the file.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from platform_home import Home, wait_for
from stellar.platform.client import Airflow

FLOW_S = 420
RIM = (0.0, 20.95, 0.2)  # a part of what the home was made without
FIELD = (0.0, 20.0, 1.2)  # and all of it


def pages(home: Home, name: str, question: str = "") -> str:
    return f"{home.status()['url']}/stellar/pages/{name}{question}"


def current(home: Home, dataset: str) -> tuple[str, int]:
    [row] = home.query(f"SELECT snapshot, rows FROM lake.current WHERE dataset = '{dataset}'")
    return row


def wait_until_quiet(home: Home) -> None:
    """Wait until no run is under way and none is about to start."""
    client: Airflow = home.client()
    calm = 0

    def is_quiet() -> bool:
        nonlocal calm
        busy = client.runs(state=["running", "queued"])
        calm = 0 if busy else calm + 1
        return calm >= 20

    wait_for(is_quiet, FLOW_S, "the flow to come to rest")


def test_the_operator_triggers_a_sync_by_airflow_s_own_form(home, log_in, picture):
    page: Page = log_in("operator")
    before = current(home, "raw.gaia")
    page.goto(f"{home.status()['url']}/dags/sync_gaia")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Where").click()
    for name, value in zip(("ra_deg", "dec_deg", "radius_deg"), RIM, strict=True):
        step = dialog.locator(f'[id="number-input:element_{name}:inc"]')  # a field's own id says nothing
        field = step.locator("xpath=ancestor::*[.//input][1]").locator("input")
        field.fill(str(value))
        field.press("Tab")
    picture(page, "trigger-form")
    dialog.get_by_test_id("trigger-dag-submit").click()
    wait_for(lambda: current(home, "raw.gaia") != before, FLOW_S, "the stars of the region")
    assert current(home, "raw.gaia")[1] > before[1]


def test_the_operator_starts_another_from_the_sky_page_and_sees_it_arrive(home, log_in, picture):
    wait_until_quiet(home)
    page: Page = log_in("operator")
    page.goto(f"{home.status()['url']}/plugin/stellar-sky")
    sky = page.frame_locator("iframe")
    expect(sky.get_by_role("heading", name="Sky", exact=True)).to_be_visible()
    page.goto(pages(home, "sky", "?dataset=curated.objects"))
    expect(page.get_by_text(re.compile(r"curated\.objects .* rows in \d+ cells"))).to_be_visible()
    for label, value in zip(("RA, degrees", "Dec, degrees", "Radius, degrees"), FIELD, strict=True):
        page.get_by_label(label).fill(str(value))
    page.get_by_role("button", name="Look at it").click()
    page.get_by_label("What to sync").first.select_option(label="sync_gaia")
    start = page.get_by_role("button", name="Start the sync")
    expect(start).to_be_enabled()
    before = current(home, "curated.objects")
    start.click()
    expect(page.get_by_text("Started sync_gaia")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("Running|Done"))).to_be_visible()
    expect(page.get_by_text("curated.objects has a new snapshot")).to_be_visible(timeout=FLOW_S * 1000)
    assert current(home, "curated.objects")[1] > before[1]
    expect(page.get_by_text(re.compile(r"[1-9]\d* (new|changed)")).first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    picture(page, "sky")
    wait_until_quiet(home)
    assert not [run for run in home.client().runs(state=["failed"])]


def test_a_wrong_region_is_refused_at_its_field(home, log_in):
    page: Page = log_in("operator")
    page.goto(pages(home, "sky"))
    page.get_by_label("What to sync").first.select_option(label="sync_gaia")
    field = page.locator("form [name=dec_deg]")
    field.fill("120")
    before = len(home.client().runs())
    page.get_by_role("button", name="Start the sync").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert len(home.client().runs()) == before


def test_the_astronomer_asks_in_sql_and_opens_a_star(home, log_in, picture):
    page: Page = log_in("viewer")
    page.goto(pages(home, "catalogue"))
    editor = page.locator("textarea").first
    editor.fill("SELECT * FROM scores.photometric_teff ORDER BY object_id LIMIT 50")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text(re.compile(r"50 rows"))).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 51 and "object_id" in lines[0]
    editor.fill(
        "SELECT object_id, ra, dec, phot_g_mean_mag, bp_rp FROM curated.objects WHERE bp_rp IS NOT NULL LIMIT 900"
    )
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text(re.compile(r"rows · "))).to_be_visible()
    page.get_by_label("Plot").select_option("hr")
    picture(page, "catalogue")
    editor.fill("DROP TABLE curated.objects")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert").filter(has_text="only reads")).to_be_visible()
    page.goto(pages(home, "catalogue", "?q=SELECT+object_id+FROM+scores.photometric_teff+LIMIT+5"))
    page.get_by_role("button", name="Run").click()
    link = page.locator("table a").first
    star = link.inner_text()
    link.click()
    expect(page.get_by_role("heading", name=re.compile(re.escape(star)))).to_be_visible()
    expect(page.get_by_text("photometric-teff").first).to_be_visible()
    picture(page, "star")


def test_the_auditor_follows_a_star_s_number_to_the_query(home, log_in, picture):
    page: Page = log_in("viewer")
    [[star]] = home_star(home)
    page.goto(pages(home, "lineage", f"?star={star}"))
    expect(page.get_by_text(re.compile(r"\d+ snapshots, \d+ model versions, \d+ batches"))).to_be_visible()
    picture(page, "lineage")
    page.get_by_label("as a table").check()
    page.get_by_role("region", name=re.compile("Table|nodes", re.IGNORECASE)).first.wait_for()
    batch = page.get_by_role("button", name=re.compile(r"gaia", re.IGNORECASE)).first
    batch.click()
    expect(page.get_by_text(re.compile("SELECT .* FROM gaiadr3", re.DOTALL)).first).to_be_visible()


def home_star(home: Home) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "stellar", "sql", "--csv", "SELECT min(object_id) FROM scores.photometric_teff"],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [[done.stdout.split()[1]]]


def test_a_model_is_promoted_and_rolled_back_and_forward(home, log_in, picture):
    page: Page = log_in("operator")
    page.goto(pages(home, "models", "?name=lightcurve-class"))
    expect(page.get_by_role("row", name=re.compile("@2"))).to_be_visible()
    picture(page, "models")

    def now() -> int:
        [[number]] = home.query(
            "SELECT number FROM registry.version WHERE model = 'lightcurve-class' AND state = 'current'"
        )
        return number

    def change(button: str, reason: str) -> None:
        before = now()
        page.get_by_role("button", name=button).first.click()
        dialog = page.get_by_role("dialog")
        over = dialog.get_by_role("checkbox")
        if over.count():
            over.check()
        dialog.get_by_label("Reason").fill(reason)
        dialog.locator("button[type=submit]").click()
        wait_for(lambda: now() != before, 30, reason)

    first = now()
    change("Promote…", "a trial of the other one")
    change("Roll back…", "back after the trial")
    assert now() == first
    change("Promote…", "forward for good")
    change("Roll back…", "as the tests found it")
    log = home.query(
        "SELECT who, reason FROM registry.promotion WHERE model = 'lightcurve-class' ORDER BY id DESC LIMIT 4"
    )
    assert [reason for _, reason in log][::-1] == [
        "a trial of the other one",
        "back after the trial",
        "forward for good",
        "as the tests found it",
    ]
    assert {who for who, _ in log} == {"operator"}


def test_a_quarantined_row_is_released(home, log_in, picture):
    page: Page = log_in("operator")
    page.goto(pages(home, "quality"))
    picture(page, "quality")


@pytest.mark.parametrize("name", ["sky", "catalogue", "models", "lineage", "quality"])
@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)])
def test_pages_fit_the_window_in_both_themes(home, log_in, name, width, dark):
    page: Page = log_in("viewer", width=width, dark=dark)
    page.goto(pages(home, name))
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), "wider than the window"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(one) for one in re.findall(r"\d+", background)[:3]) < 200) == dark
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.get_by_role("button", name=re.compile("Promote|Roll back|Release|Discard|Start the sync")).count() == 0


def test_pages_are_walked_by_keyboard(home, log_in):
    page: Page = log_in("viewer")
    page.goto(pages(home, "quality"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Sky")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sky", exact=True)).to_be_visible()
