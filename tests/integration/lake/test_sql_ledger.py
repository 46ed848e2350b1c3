"""SQL over a real lake and ledger, and the command that asks it."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from integration.engine import small_steps as small
from stellar.cli import main
from stellar.engine import engine
from stellar.lake.sql import connect
from stellar.ledger import snapshots
from stellar.ledger.connect import ledger_session


@pytest.fixture
def lake(stars):
    """SQL as the reader's role sees it."""
    with ledger_session(stars.settings, role="reader") as ledger, connect(stars.settings, ledger) as connection:
        yield connection


@pytest.fixture
def ask(stars, monkeypatch, capsys):
    """`stellar …` in this home; what it printed."""
    monkeypatch.setenv("STELLAR_HOME", str(stars.settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", stars.settings.postgres_url.get_secret_value())

    def run(*arguments: str, code: int = 0) -> str:
        try:
            main(list(arguments))
        except SystemExit as end:
            assert (end.code or 0) == code, capsys.readouterr().err
        said = capsys.readouterr()
        return said.err if code == 2 else said.out

    return run


def test_datasets_of_every_layer_and_quarantine(lake, stars):
    counts = {
        name: lake.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for name in ("raw.stars", "curated.stars", "quarantine.stars")
    }
    assert counts["raw.stars"] == 4004 and counts["quarantine.stars"] == 2 and 1000 < counts["curated.stars"] < 4000
    reasons = lake.execute("SELECT reason, count(*) FROM quarantine.stars GROUP BY 1").fetchall()
    assert reasons == [("no position", 2)]
    assert lake.execute("SELECT dataset, rows FROM views.quarantined").fetchall() == [("quarantine.stars", 1)] * 2
    assert lake.execute("SELECT count(*) FROM views.source_batches").fetchone()[0] == counts["curated.stars"]


def test_ledger_tables_join_with_rows(lake, stars):
    assert lake._loaded == set()
    rows = lake.execute(
        "SELECT batch.unit, batch.params ->> 'field', count(*) FROM curated.stars AS star"
        " JOIN ledger.batch AS batch USING (batch_id) GROUP BY ALL ORDER BY 1"
    ).fetchall()
    assert [row[:2] for row in rows] == [("a", "a"), ("b", "b")]
    assert lake._loaded == {"batch"}
    types = dict(lake.execute("SELECT column_name, column_type FROM (DESCRIBE ledger.snapshot)").fetchall())
    assert types["rows"] == "BIGINT" and types["params"] == "JSON" and types["committed_at"].startswith("TIMESTAMP")


def test_every_table_of_the_ledger_can_be_read(lake):
    names = lake.ledger_tables()
    assert {"batch", "snapshot", "edge", "expectation", "lake_promotion", "registry_promotion", "current"} <= set(names)
    for name in names:
        lake.execute(f"SELECT * FROM ledger.{name}").fetchall()


def test_accounting_and_freshness_questions(stars, lake, root):
    accounting = lake.execute((root / "sql/queries/row_accounting.sql").read_text())
    names = [column[0] for column in accounting.description]
    rows = [dict(zip(names, row, strict=True)) for row in accounting.fetchall()]
    assert [row["dataset"] for row in rows] == ["curated.stars", "quarantine.stars", "raw.stars"]
    assert all(row["adds_up"] for row in rows) and rows[0]["filtered"] > 0 and rows[0]["merged"] > 0
    fresh = lake.execute((root / "sql/queries/freshness.sql").read_text()).fetchall()
    assert {row[0] for row in fresh} == {"curated.stars", "quarantine.stars", "raw.stars"}
    assert all(row[4] is not None for row in fresh if row[0] != "quarantine.stars")


def test_an_auditors_questions_run_on_any_home(lake, root):
    expected = {
        "quarantine_reasons": 2,
        "sync_state": 1,
        "rows_in_quarantine": 2,
        "promotions": 3,
        "what_changed": 3,
        "is_everything_fresh": 2,
    }
    for name in ("gate_failures", "model_metrics", "model_weak_spots", *expected):
        table = lake.arrow((root / f"sql/queries/{name}.sql").read_text())
        assert len(table.schema.names) >= 5 and table.num_rows == expected.get(name, 0)


def test_the_auditors_answers_are_right(stars, lake, root):
    def answer(name):
        return lake.arrow((root / f"sql/queries/{name}.sql").read_text()).to_pylist()

    refused = answer("rows_in_quarantine")
    assert {(one["dataset"], one["reason"], one["unit"]) for one in refused} == {
        ("quarantine.stars", "no position", field) for field in ("a", "b")
    }
    assert sorted(int(one["row_id"]) for one in refused) == [ord("a") * 1_000_000, ord("b") * 1_000_000]
    promoted = {one["name"]: one for one in answer("promotions")}
    assert promoted["raw.stars"]["who"] == "test" and promoted["raw.stars"]["reason"] == "sync"
    assert all("gate passed" in one["evidence"] for one in promoted.values())
    changed = {one["dataset"]: one for one in answer("what_changed")}
    assert (
        changed["curated.stars"]["more_rows"] == promoted_rows(stars, "curated.stars")
        and changed["curated.stars"]["added"]
    )
    scores, survey = answer("is_everything_fresh")
    assert (survey["kind"], survey["name"], survey["is_fresh"]) == ("sync", "test", True) and survey["hours"] < 1
    assert scores["name"] == "scores.catalog" and not scores["is_fresh"] and scores["newest"] is None


def promoted_rows(ctx, dataset):
    return snapshots.current(ctx.engine, dataset).rows


def test_another_snapshot_beside_the_current_one(stars):
    first = snapshots.current_keys(stars.engine)["curated.stars"]
    engine.run(stars, [small.curate_step(limit=15.0)])
    with (
        connect(stars.settings, stars.engine) as now,
        connect(stars.settings, stars.engine, {"curated.stars": first}) as then,
    ):
        bright, all_ = (one.execute("SELECT max(mag) FROM curated.stars").fetchone()[0] for one in (now, then))
    assert bright < 15.0 < all_ < 19.0


def test_command_gives_csv_json_parquet_and_a_table(ask, tmp_path, stars):
    sql = "SELECT id, ra, mag > 15 AS faint, NULL AS nothing FROM curated.stars ORDER BY id"
    text = ask("sql", "--csv", sql)
    assert "\r" not in text
    rows = list(csv.reader(io.StringIO(text)))
    total = int(ask("sql", "--csv", "SELECT count(*) FROM curated.stars").splitlines()[1])
    assert rows[0] == ["id", "ra", "faint", "nothing"] and len(rows) == total + 1
    assert rows[1][2] in ("true", "false") and rows[1][3] == ""
    objects = json.loads(ask("sql", "--json", sql))
    assert [str(one["id"]) for one in objects] == [row[0] for row in rows[1:]]
    assert [one["ra"] for one in objects] == [float(row[1]) for row in rows[1:]]
    ask("sql", "--parquet", str(tmp_path / "x.parquet"), sql)
    assert pq.read_metadata(tmp_path / "x.parquet").num_rows == total
    shown = ask("sql", "SELECT id FROM curated.stars")
    assert "first 50 rows" in shown and len(shown.splitlines()) < 60


def test_command_reads_a_file_and_shows_empty_results(ask, tmp_path):
    path = tmp_path / "q.sql"
    path.write_text("-- a question\nSELECT 'é; x' AS a, [1, NULL] AS b, {'k': 'nan'::DOUBLE} AS c;\n")
    assert ask("sql", "--csv", "--file", str(path)) == 'a,b,c\né; x,"[1, null]","{""k"": null}"\n'
    assert ask("sql", "--csv", "SELECT 1 AS a WHERE false") == "a\n"
    assert json.loads(ask("sql", "--json", "SELECT 1 AS a WHERE false")) == []


def test_command_answers_several_statements_in_turn(ask, monkeypatch, tmp_path):
    two = "SELECT 1 AS a; SELECT id FROM curated.stars WHERE false;"
    assert ask("sql", "--csv", two) == "a\n1\n\nid\n"
    assert ask("sql", "--json", two) == '[\n{"a": 1}\n]\n[]\n'
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 7 AS seven;\nSELECT 8 AS eight"))
    shown = ask("sql")
    assert shown.index("seven") < shown.index("7") < shown.index("eight") < shown.index("8")
    assert "only reads" in ask("sql", "SELECT 1; DROP VIEW curated.stars", code=2)
    assert "one statement; these are 2" in ask("sql", "--parquet", str(tmp_path / "x.parquet"), two, code=2)


def test_command_explains_what_is_wrong(ask):
    for arguments, told in (
        (["SELECT * FROM curated.gaia"], "Datasets here: curated.stars, quarantine.stars, raw.stars"),
        (["DROP VIEW curated.stars"], "only reads"),
        (["--csv", "--json", "SELECT 1"], "choose one of"),
        (["--file", "nowhere.sql"], "nowhere.sql: cannot be read"),
        (["SELECT 1", "--file", "nowhere.sql"], "not both"),
        (["--csv", "SELECT nope FROM curated.stars"], "nope"),
        (["--csv", "SELECT 'x'::INTEGER FROM curated.stars"], "Could not convert"),
        (["--parquet", "/nowhere/x.parquet", "SELECT 1"], "cannot be written"),
    ):
        said = ask("sql", *arguments, code=2)
        assert said.startswith("error: ") and told in said and "Traceback" not in said


def test_verify_finds_damage(ask, stars):
    assert "as they were committed" in ask("verify", "--rows")
    row = snapshots.current(stars.engine, "curated.stars")
    path = next((stars.settings.lake / row.path).glob("dataset/Norder*/*/*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # a hard link: its other names keep what they hold
    path.write_bytes(content)
    faults = json.loads(ask("verify", "--json", "curated.stars", code=1))
    assert [fault["dataset"] for fault in faults] == ["curated.stars"] and "SHA-256" in faults[0]["what"]
