"""Looking back: datasets as of a time, former snapshots, what changed, and what the maintenance keeps of them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from integration.engine import small_steps as small
from stellar.cli import main
from stellar.engine import engine
from stellar.engine.maintain import retire
from stellar.errors import InputError
from stellar.lake.sql import connect
from stellar.lake.sql_history import moment_of
from stellar.ledger import snapshots


def now(ctx):
    with ctx.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT clock_timestamp()"))


@pytest.fixture
def past(stars):
    """Context, keys of three snapshots of `curated.stars` (limits 19, 15, 15 with field b alone changed) and times."""
    times, keys = [now(stars)], [snapshots.current_keys(stars.engine)["curated.stars"]]
    for limit in (15.0, 17.0):
        engine.run(stars, [small.curate_step(limit=limit)])
        times.append(now(stars))
        keys.append(snapshots.current_keys(stars.engine)["curated.stars"])
    return stars, keys, times


@pytest.fixture
def ask(stars, monkeypatch, capsys):
    monkeypatch.setenv("STELLAR_HOME", str(stars.settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", stars.settings.postgres_url.get_secret_value())

    def run(*arguments: str, code: int = 0):
        try:
            main(list(arguments))
        except SystemExit as end:
            assert (end.code or 0) == code, capsys.readouterr().err
        return capsys.readouterr()

    return run


def one(connection, sql):
    return connection.execute(sql).fetchone()[0]


def test_a_connection_shows_what_was_current_then(past, ask):
    ctx, keys, times = past
    faintest = []
    for moment, key in zip(times, keys, strict=True):
        with connect(ctx.settings, ctx.engine, as_of=moment) as lake:
            assert lake.snapshots["curated.stars"].key == key
            faintest.append(one(lake, "SELECT max(mag) FROM curated.stars"))
            assert one(lake, "SELECT count(*) FROM ledger.lake_promotion WHERE dataset = 'curated.stars'") == 3
    assert 17 < faintest[0] < 19 and faintest[1] < 15 < faintest[2] < 17
    asked = ask(
        "sql", "--csv", "--show-snapshots", "--as-of", times[1].isoformat(), "SELECT max(mag) FROM curated.stars"
    )
    assert float(asked.out.splitlines()[1]) == faintest[1] and keys[1][:16] in asked.err


def test_macros_give_former_rows_and_what_changed(past):
    ctx, keys, times = past
    with connect(ctx.settings, ctx.engine) as lake:
        for moment, key in zip(times, keys, strict=True):
            counts = {
                one(lake, f"SELECT count(*) FROM {source}")
                for source in (
                    f"as_of('curated.stars', TIMESTAMPTZ '{moment.isoformat()}')",
                    f"as_of('curated.stars', '{moment.isoformat()}')",
                    f"snapshot('curated.stars', '{key[:12]}')",
                )
            }
            assert counts == {snapshots.get(ctx.engine, key).rows}
        told = lake.execute(
            "SELECT change, count(*) FROM changes('curated.stars', 'former', 'current') GROUP BY ALL"
        ).fetchall()
        rows = [snapshots.get(ctx.engine, key).rows for key in keys]
        assert told == [("added", rows[2] - rows[1])]
        faint = lake.execute(
            f"SELECT change, id::BIGINT FROM changes('curated.stars', '{keys[0]}', 'current')"
        ).fetchall()
        gone = lake.execute(
            f"SELECT id FROM snapshot('curated.stars', '{keys[0][:8]}') ANTI JOIN curated.stars USING (id)"
        ).fetchall()
        assert sorted(faint) == sorted(("removed", row[0]) for row in gone) and len(gone) == rows[0] - rows[2]


def test_what_is_not_there_is_told(past):
    ctx, _, _ = past
    with connect(ctx.settings, ctx.engine) as lake:
        for sql, said in (
            ("SELECT * FROM as_of('curated.stars', '2001-01-01')", "none of its snapshots was current yet"),
            ("SELECT * FROM as_of('curated.stars', '2999-01-01')", "lies in the future"),
            ("SELECT * FROM as_of('curated.stars', 'yesterday')", "is no time"),
            ("SELECT * FROM as_of('curated.star', '2026-01-01')", "did you mean curated.stars"),
            ("SELECT * FROM snapshot('curated.stars', 'abcdef0123')", "no snapshot abcdef0123"),
            ("SELECT * FROM changes('raw.stars', 'former', 'current')", "is its first"),
        ):
            with pytest.raises(Exception, match=said):
                lake.execute(sql)


def test_a_time_before_everything_is_not_taken_for_an_empty_home(past, ask):
    _, _, times = past
    before = times[0] - timedelta(days=1)
    said = ask("sql", "--as-of", before.isoformat(), "SELECT * FROM raw.stars", code=2).err
    assert "none of its snapshots was current yet" in said
    assert "none was current then" in said and "nothing has been synced" not in said


def test_removed_files_are_named_with_what_to_do(past, ask):
    ctx, keys, times = past
    retire(ctx, keep=1)
    with connect(ctx.settings, ctx.engine, as_of=times[0]) as lake:
        assert "curated.stars" not in lake.catalogs and "raw.stars" in lake.catalogs
        assert keys[0][:16] in lake.gone["curated.stars"] and "backup" in lake.gone["curated.stars"]
    said = ask("sql", "--as-of", times[0].isoformat(), "SELECT * FROM curated.stars", code=2).err
    assert "were removed on" in said and "keep_days" in said
    assert "were removed on" in ask("datasets", "diff", "curated.stars", keys[0][:10], code=2).err


def test_days_to_keep_and_what_scores_came_from(past):
    ctx, keys, _ = past
    assert [one["key"] for one in retire(ctx, keep=1, dry_run=True) if one["dataset"] == "curated.stars"] == [keys[0]]
    assert retire(ctx, keep=1, keep_days=1, dry_run=True) == []
    with ctx.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO registry.model (name, family, target) VALUES ('m', 'f', 't')"))
        connection.execute(
            sa.text(
                "INSERT INTO registry.version (key, model, number, architecture, config, code_version, seed,"
                " frame_hash, artifact_sha256, artifact_path) VALUES (:key, 'm', 1, 'a', '{}', '1', 1, 'h', :key, 'p')"
            ),
            {"key": "e" * 64},
        )
        snapshots.add_edges(connection, "e" * 64, "version", [(keys[0], "snapshot", "labels")])
    assert {one["key"] for one in retire(ctx, keep=1, dry_run=True)} >= {keys[0]}
    with ctx.engine.begin() as connection:
        sql = "INSERT INTO registry.alias (model, alias, version) VALUES ('m', 'paper', :key)"
        connection.execute(sa.text(sql), {"key": "e" * 64})
    assert retire(ctx, keep=1, dry_run=True) == []
    with pytest.raises(InputError, match="keep_days"):
        retire(ctx, keep_days=-1)


def test_the_command_counts_and_lists_changes(past, ask):
    ctx, keys, _ = past
    rows = [snapshots.get(ctx.engine, key).rows for key in keys]
    report = json.loads(ask("datasets", "diff", "curated.stars", keys[0][:10], keys[1][:10], "--json").out)
    assert report["rows"] == {"added": 0, "removed": rows[0] - rows[1], "changed": 0} and report["values"] == {}
    said = ask("datasets", "diff", "curated.stars", "--rows", "2").out
    assert f"{rows[2] - rows[1]:,} added, 0 removed, 0 changed" in said and "2 rows" in said
    lines = ask("datasets", "diff", "curated.stars", "--csv").out.splitlines()
    assert lines[0] == "change,id,column_name,old_value,new_value" and len(lines) == rows[2] - rows[1] + 1


def test_statements_read_the_same_snapshots_whatever_is_promoted(past):
    ctx, keys, _ = past
    with connect(ctx.settings, ctx.engine) as lake:
        before = one(lake, "SELECT count(*) FROM curated.stars")
        engine.run(ctx, [small.curate_step(limit=16.0)])
        assert one(lake, "SELECT count(*) FROM curated.stars") == before
        assert lake.snapshots["curated.stars"].key == keys[2]


@pytest.mark.parametrize(
    "text", ["3 days ago", "1 hour ago", "2026-01-02", "2026-01-02T03:04", "2026-01-02 03:04:05+02"]
)
def test_times_are_read(text):
    moment = moment_of(text)
    assert moment.tzinfo is not None and moment <= datetime.now(UTC)
    if text == "2026-01-02":
        assert moment == datetime(2026, 1, 3, tzinfo=UTC) - timedelta(microseconds=1)
