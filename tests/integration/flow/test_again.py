"""Units fetched again and partitions built again: nothing is duplicated, and what is the same comes out the same."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from stellar import cli, flow
from stellar.engine.recheck import rebuild_partitions
from stellar.errors import InputError, StellarError
from stellar.ledger import batches, snapshots
from stellar.surveys import gaia

CONE = {"regions": [{"ra": 0.0, "dec": 20.0, "radius_deg": 0.5}]}


def quiet(line: str) -> None: ...


@pytest.fixture
def synced(ctx):
    flow.run_sync(ctx, "gaia", CONE, who="test", say=quiet)
    return ctx


def raw(ctx) -> tuple[str, int]:
    row = snapshots.current(ctx.engine, "raw.gaia")
    return row.content_hash, row.rows


def history(ctx) -> list[tuple[str, bool]]:
    with ctx.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT unit, superseded_by IS NULL FROM ingest.batch ORDER BY fetched_at"))
        return [tuple(row) for row in rows]


def test_a_unit_that_is_fetched_again_with_the_same_content_changes_nothing(synced, monkeypatch):
    before, [unit, *_] = raw(synced), [one["unit"] for one in batches.known_units(synced.engine, "gaia")]
    done, batches_before = synced_done(synced), history(synced)
    asked = []
    job = gaia.GaiaSurvey._job
    monkeypatch.setattr(gaia.GaiaSurvey, "_job", lambda self, *a, **k: asked.append(a) or job(self, *a, **k))
    planned = flow.sync_again(synced, "gaia", [unit])
    assert [one["units"] for one in planned] == [[["gaia", unit]]] and planned[0]["again"]
    assert flow.sync_fetch(synced, planned[0])["units"] == 1
    assert len(asked) == 1, "the service is asked, whatever the cache holds"
    [committed] = flow.sync_commit(synced, "gaia")
    assert not committed["changed"]
    assert (raw(synced), history(synced), synced_done(synced)) == (before, batches_before, done)


def synced_done(ctx) -> int:
    with ctx.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM ingest.work_unit WHERE state = 'done'"))


def test_a_unit_whose_content_is_other_now_supersedes_its_batch(synced, monkeypatch):
    (_, rows), [unit, *_] = raw(synced), [one["unit"] for one in batches.known_units(synced.engine, "gaia")]
    count = len(history(synced))
    fetch = gaia.GaiaSurvey.fetch

    def with_one_star_moved(self, wanted):
        found = fetch(self, wanted)
        ra = found.table["ra"].to_numpy().copy()
        ra[0] += 1e-6
        place = found.table.column_names.index("ra")
        return type(found)(
            found.table.set_column(place, found.table.schema.field("ra"), pa.array(ra)),
            *(found.service, found.query, found.params, found.response_sha256),
        )

    monkeypatch.setattr(gaia.GaiaSurvey, "fetch", with_one_star_moved)
    assert flow.run_sync(synced, "gaia", units=[unit], who="test", say=quiet) == {"raw.gaia": True}
    now = history(synced)
    assert len(now) == count + 1
    assert [active for name, active in now if name == unit] == [False, True]
    assert raw(synced)[1] == rows


def test_a_unit_that_fails_this_time_keeps_its_batch_and_is_fetched_by_the_next_sync(synced, monkeypatch):
    before, [unit, *_] = raw(synced), [one["unit"] for one in batches.known_units(synced.engine, "gaia")]

    def broken(self, wanted):
        raise StellarError(f"{wanted.unit}: away")

    with monkeypatch.context() as patched:
        patched.setattr(gaia.GaiaSurvey, "fetch", broken)
        [batch] = flow.sync_again(synced, "gaia", [unit])
        with pytest.raises(StellarError, match="1 of 1 units failed"):
            flow.sync_fetch(synced, batch)
    assert not flow.sync_commit(synced, "gaia")[0]["changed"]
    assert [one["units"] for one in flow.sync_plan(synced, "gaia", CONE)] == [[["gaia", unit]]]
    flow.run_sync(synced, "gaia", CONE, who="test", say=quiet)
    assert raw(synced) == before and all(active for _, active in history(synced))


def test_a_unit_that_nobody_knows_is_named_with_what_comes_near(synced):
    [unit, *_] = [one["unit"] for one in batches.known_units(synced.engine, "gaia")]
    with pytest.raises(InputError, match=rf"no unit '{unit}0' was ever fetched; near to it: .*{unit}"):
        flow.sync_again(synced, "gaia", [f"{unit}0"])
    flow.sync_again(synced, "gaia", [unit], dry_run=True)
    assert flow.sync_plan(synced, "gaia", CONE) == [], "a dry run opens nothing"


def test_syncs_of_many_dates_bring_all_once(ctx):
    """What a backfill is: the same sync once for each date."""
    changed = [flow.run_sync(ctx, "gaia", CONE, who="test", say=quiet) for _ in range(3)]
    assert changed == [{"raw.gaia": True}, {"raw.gaia": False}, {"raw.gaia": False}]
    units = [name for name, _ in history(ctx)]
    assert len(units) == len(set(units))


def test_curated_partitions_come_out_the_same_and_leave_no_trace(synced):
    flow.run_stages(synced, "build_catalog", who="test", say=quiet)
    with synced.engine.connect() as connection:
        counted = connection.scalar(sa.text("SELECT count(*) FROM lake.snapshot"))
    for dataset in ("curated.gaia", "curated.objects", "curated.photometry"):
        found = flow.rebuild(synced, dataset)
        assert found and all(one["same"] for one in found), (dataset, found)
        assert all(one["stored"][0] for one in found if one["rows"])
    with synced.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM lake.snapshot")) == counted
    assert not [*(synced.settings.workspace / ".staging").glob("again-*")]
    with pytest.raises(InputError, match="stellar sync SURVEY --unit"):
        flow.rebuild(synced, "raw.gaia")


@pytest.fixture
def stars(ctx, tmp_path):
    random = np.random.default_rng(5)
    table = pa.table(
        {
            "n": np.arange(400),
            "ra": random.uniform(0, 360, 400),
            "dec": np.degrees(np.arcsin(random.uniform(-1, 1, 400))),
        }
    )
    pq.write_table(table, tmp_path / "stars.parquet")
    flow.import_table(ctx, [tmp_path / "stars.parquet"], "stars", id_column="n")
    return ctx


def test_a_partition_by_its_cell_and_one_that_is_not_there(stars):
    names = [one["partition"] for one in flow.rebuild(stars, "stars", dry_run=True)]
    [first] = flow.rebuild(stars, "stars", [names[0]])
    assert first["partition"] == names[0] and first["same"] and first["rows"] > 0
    order, pixel = (int(part.split("=")[1]) for part in names[0].split("/"))
    below = f"{order + 2}/{pixel << 4}"
    assert [one["partition"] for one in flow.rebuild(stars, "own.stars", [below], dry_run=True)] == [names[0]]
    with pytest.raises(InputError, match="no partition at '0/99'"):
        flow.rebuild(stars, "stars", ["0/99"])
    with pytest.raises(InputError, match=r"own\.nothing: no such dataset"):
        flow.rebuild(stars, "nothing")


def test_a_step_that_is_no_function_of_its_inputs_is_found_out(stars):
    from dataclasses import replace

    from stellar.engine.step import StepResult
    from stellar.flow.plans import own_step

    step, row = own_step(stars, "own.stars"), snapshots.current(stars.engine, "own.stars")
    run = step.run

    def moved(partition, inputs, params):
        made = run(partition, inputs, params)
        ids = pa.array(np.asarray(made.table["n"]) + 1000)
        table = made.table.set_column(made.table.column_names.index("n"), "n", ids)
        return StepResult(table, made.accounting, made.quarantine)

    found = rebuild_partitions(stars, replace(step, run=moved), row.key, {})
    assert found and not any(one.same for one in found)
    said = flow.rebuild_text([{**one.__dict__, "same": one.same} for one in found], "own.stars")
    assert f"{len(found)} partitions built again, 0 came out the same" in said
    with pytest.raises(InputError, match="would not come out again"):
        rebuild_partitions(stars, replace(step, version=99), row.key, {})


def test_the_commands(synced, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(synced.settings.home))
    monkeypatch.setenv("STELLAR_PROFILE", "tiny")
    monkeypatch.setenv("STELLAR_POSTGRES_URL", synced.settings.postgres_url.get_secret_value())

    def stellar(*arguments):
        return CliRunner().invoke(cli.app, arguments)

    listed = stellar("sync", "gaia", "--list-units").output
    unit = listed.split()[1]
    assert listed.startswith("raw.gaia") and "gaiadr3" in listed
    assert "1 units to fetch" in stellar("sync", "gaia", "--unit", unit, "--dry-run").output
    assert stellar("sync", "gaia", "--unit", unit).output.splitlines()[-1] == "raw.gaia: nothing changed"
    refused = stellar("sync", "gaia", "--unit", unit, "--release", "gaiadr3")
    assert isinstance(refused.exception, InputError)
    file = synced.settings.home / "star.csv"
    file.write_text("n,ra,dec\n1,10.0,20.0\n")
    flow.import_table(synced, [file], "star", id_column="n")
    checked = stellar("verify", "star", "--rebuild")
    assert (checked.exit_code, checked.output) == (0, "own.star: 1 partitions built again, 1 came out the same.\n")
    assert isinstance(stellar("verify", "--cell", "1/2").exception, InputError)
