"""The operator's, the astronomer's and the auditor's day, from login to result, on a platform that runs.

They share one home and one story: the operator syncs two parts of the sky that were left out, the astronomer asks about
a star, the auditor follows its number back to the survey's query, and the operator lets a row out of quarantine. In the
order of the file.
"""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from platform_home import Home, wait_for
from ui.flow import FLOW_S, wait_until_quiet
from ui.spoilt_rows import REASON

FLOW_MS = FLOW_S * 1000
RIM = (0.0, 20.95, 0.2)  # a part of what the home was made without
FIELD = (0.0, 20.0, 1.2)  # and all of it
HR = (
    "SELECT object_id, bp_rp, g_abs_mag, parallax_mas\n"
    "FROM features.sed\n"
    "WHERE parallax_mas > 5 * parallax_mas_err AND g_abs_mag IS NOT NULL AND bp_rp IS NOT NULL\n"
    "ORDER BY object_id"
)
# A star that all models know: with a spectrum, a light curve and colours.
STAR = (
    "SELECT object_id FROM scores.photometric_teff JOIN scores.spectral_class USING (object_id) "
    "JOIN scores.lightcurve_class USING (object_id) ORDER BY object_id LIMIT 5"
)


def current(home: Home, dataset: str) -> tuple[str, int]:
    [row] = home.query(f"SELECT snapshot, rows FROM lake.current WHERE dataset = '{dataset}'")
    return row


def ask(page: Page, statement: str) -> None:
    """Ask the console and wait for its answer."""
    page.locator("textarea").first.fill(statement)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


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
        expect(field).to_have_value(re.compile(rf"^{value:g}(\.0)?$"))
    picture(page, "trigger-form")
    dialog.get_by_test_id("trigger-dag-submit").click()
    wait_for(lambda: current(home, "raw.gaia") != before, FLOW_S, "the stars of the region")
    assert current(home, "raw.gaia")[1] > before[1]


def test_the_operator_starts_another_from_the_sky_page_and_sees_it_arrive(home, log_in, page_of, picture):
    wait_until_quiet(home)
    page: Page = log_in("operator")
    page.goto(page_of("sky", "?dataset=curated.objects"))
    expect(page.get_by_text(re.compile(r"rows in \d+ cells"))).to_be_visible()
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
    expect(page.get_by_role("listitem").filter(has_text="build_catalog")).to_be_visible(timeout=FLOW_MS)
    expect(page.get_by_text("curated.objects has a new snapshot")).to_be_visible(timeout=FLOW_MS)
    assert current(home, "curated.objects")[1] > before[1]
    expect(page.get_by_text(re.compile(r"[1-9]\d* (new|changed)")).first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    for message in page.get_by_role("button", name="Close", exact=True).and_(page.locator("#messages button")).all():
        message.click()
    picture(page, "sky")
    wait_until_quiet(home)
    assert not home.client().runs(state=["failed"])


def test_the_sky_lies_in_airflow_s_frame(home, log_in, picture):
    page: Page = log_in("viewer")
    page.goto(f"{home.status()['url']}/plugin/stellar-sky")
    sky = page.frame_locator("iframe")
    expect(sky.get_by_role("heading", name="Sky", exact=True)).to_be_visible()
    expect(sky.get_by_text(re.compile(r"rows in \d+ cells"))).to_be_visible()
    assert sky.locator("html").get_attribute("data-theme") in page.locator("html").get_attribute("class")
    for label, value in zip(("RA, degrees", "Dec, degrees", "Radius, degrees"), FIELD, strict=True):
        sky.get_by_label(label).fill(str(value))
    sky.get_by_role("button", name="Look at it").click()
    sky.get_by_role("application", name="Map of the sky").click()  # in its middle, where the field is
    expect(sky.get_by_role("heading", name=re.compile(r"^Cell \d+.\d+"))).to_be_visible()
    expect(sky.get_by_text("Looking for the batches")).to_have_count(0)
    page.mouse.move(0, 0)
    picture(page, "in-airflow")


def test_a_wrong_region_is_refused_at_its_field(home, log_in, page_of):
    page: Page = log_in("operator")
    page.goto(page_of("sky"))
    page.get_by_label("What to sync").first.select_option(label="sync_gaia")
    field = page.locator("form [name=dec_deg]")
    field.fill("120")
    before = len(home.client().runs())
    page.get_by_role("button", name="Start the sync").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert len(home.client().runs()) == before


def test_the_astronomer_asks_in_sql_and_opens_a_star(home, log_in, page_of, picture):
    page: Page = log_in("viewer")
    page.goto(page_of("catalogue"))
    ask(page, "SELECT * FROM scores.photometric_teff ORDER BY object_id LIMIT 50")
    expect(page.get_by_text(re.compile(r"50 rows"))).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 51 and "object_id" in lines[0]
    ask(page, "DROP TABLE curated.objects")
    expect(page.get_by_role("alert").filter(has_text="only reads")).to_be_visible()
    ask(page, HR)
    expect(page.get_by_text(re.compile(r"rows? ·|rows; there are more ·"))).to_be_visible()
    page.get_by_label("Plot").select_option("hr")
    expect(page.get_by_role("img", name=re.compile("^hr of"))).to_be_visible()
    page.locator(".canvas figure").evaluate("figure => figure.scrollIntoView({ block: 'end' })")
    picture(page, "catalogue")


def test_a_star_is_opened_from_an_answer(home, log_in, page_of, picture):
    page: Page = log_in("viewer")
    page.goto(page_of("catalogue"))
    ask(page, STAR)
    link = page.locator("table a").first
    star = link.inner_text()
    link.click()
    expect(page.get_by_role("heading", name=re.compile(re.escape(star)))).to_be_visible()
    expect(page.get_by_text("photometric-teff").first).to_be_visible()
    expect(page.get_by_text("Looking …")).to_have_count(0)
    page.locator("h2.name").evaluate("name => name.scrollIntoView({ block: 'start' })")
    picture(page, "star")
    page.get_by_role("region", name="Spectra").evaluate("one => one.scrollIntoView({ block: 'start' })")
    picture(page, "spectrum")
    # the query of a batch of light curves is long: its beginning is shown, and all of it when that is clicked
    query = page.locator(".came details").first
    whole = query.locator(":scope > code")
    expect(whole).to_be_hidden()
    query.locator("summary").click()
    expect(whole).to_be_visible()
    assert whole.inner_text().startswith(query.locator("summary").inner_text().removesuffix(" …").strip())


def test_the_auditor_follows_a_star_s_number_to_the_query(home, log_in, page_of, picture):
    page: Page = log_in("viewer")
    page.goto(page_of("catalogue"))
    ask(page, STAR)
    star = page.locator("table a").first.inner_text()
    page.goto(page_of("lineage", f"?star={star}"))
    expect(page.get_by_text(re.compile(r"\d+ snapshots, \d+ model versions, \d+ batches"))).to_be_visible()
    page.get_by_role("button", name="Close the facts").click()
    page.get_by_role("button", name="Show all").click()
    picture(page, "lineage")
    page.get_by_label("as a table").check()
    page.get_by_role("region", name=re.compile("Table|nodes", re.IGNORECASE)).first.wait_for()
    batch = page.get_by_role("row").filter(has_text="batch").get_by_role("button", name=re.compile(r"^hpx")).first
    batch.click()
    expect(page.get_by_text(re.compile("SELECT .* FROM gaiadr3", re.DOTALL)).first).to_be_visible()


def test_a_model_is_promoted_and_rolled_back_and_forward(home, log_in, page_of, picture):
    page: Page = log_in("operator")
    page.goto(page_of("models", "?name=lightcurve-class"))
    expect(page.get_by_label("Compare version 2")).to_be_visible()
    expect(page.get_by_role("heading", name="Figures", exact=True)).to_be_visible()
    expect(page.get_by_text("Loading…")).to_have_count(0)
    page.get_by_label("Compare version 1").check()
    expect(page.get_by_role("heading", name="Paired comparison")).to_be_visible()
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
    reasons = ["a trial of the other one", "back after the trial", "forward for good", "as the tests found it"]
    change("Promote…", reasons[0])
    change("Roll back…", reasons[1])
    assert now() == first
    change("Promote…", reasons[2])
    change("Roll back…", reasons[3])
    log = home.query(
        "SELECT who, reason FROM registry.promotion WHERE model = 'lightcurve-class' ORDER BY id DESC LIMIT 4"
    )
    assert [reason for _, reason in log][::-1] == reasons
    assert {who for who, _ in log} == {"operator"}


def test_a_quarantined_row_is_released(home, log_in, page_of, picture):
    page: Page = log_in("operator")
    page.goto(page_of("quality"))
    expect(page.get_by_role("heading", name="Rows", exact=True)).to_be_visible()
    picture(page, "quality")
    page.get_by_role("row").filter(has_text=REASON).get_by_role("link", name="quarantine.gaia").click()
    shown = page.get_by_role("region", name=re.compile(r"^1 rows?, 1 to 1 shown"))
    expect(shown.get_by_text("open", exact=True)).to_be_visible()
    [star] = re.findall(r"\b\d{15,19}\b", shown.inner_text())[:1]
    found = f"SELECT source_id, ipd_frac_multi_peak FROM curated.gaia WHERE source_id = {star}"
    console: Page = log_in("viewer")
    console.goto(page_of("catalogue"))
    ask(console, found)
    expect(console.get_by_text("No rows.")).to_be_visible()

    page.get_by_role("button", name="Release…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("101 percent is 100, rounded up; the star is sound")
    picture(page, "release")
    dialog.get_by_role("button", name="Release", exact=True).click()
    expect(shown.get_by_text("released", exact=True)).to_be_visible()
    page.get_by_role("button", name="Run build_catalog now").click()
    expect(page.get_by_text(re.compile("build_catalog is (queued|running)"))).to_be_visible()
    before = current(home, "curated.gaia")
    wait_for(lambda: current(home, "curated.gaia") != before, FLOW_S, "the row to be taken in")
    ask(console, found)
    expect(console.get_by_role("cell", name=star)).to_be_visible()
    assert current(home, "curated.gaia")[1] == before[1] + 1
    page.goto(page_of("quality"))
    expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=REASON)).to_have_count(0)
    assert home.query("SELECT who, decision FROM quality.decision") == [("operator", "release")]
