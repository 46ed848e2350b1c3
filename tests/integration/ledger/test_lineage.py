"""From a score to the queries, and back; and the commands that show it."""

import json
import re

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from stellar import cli
from stellar.errors import InputError
from stellar.ledger import batches, gates, lineage, snapshots

RAW, CURATED, OBJECTS, FEATURES, SCORES, VERSION = (letter * 64 for letter in "abcdef")
BATCHES = ["1" * 64, "2" * 64]
RUNNER = CliRunner()


def make(connection, key, dataset, parents, rows=0):
    snapshots.declare_dataset(connection, dataset, "source_id" if dataset == "curated.gaia" else None)
    snapshots.begin(connection, key, dataset, "step", 1, {})
    count = {"rows_in": rows, "rows_out": rows}
    snapshots.complete(
        connection, key, rows=rows, size=0, path=f"x/{key[:16]}", content_hash=key, step="step", accounting=count,
        partitions=[],
    )  # fmt: skip
    snapshots.add_edges(connection, key, "snapshot", parents)
    check = {"number": 1, "expectation": "expect_x", "column_name": "ra", "passed": True, "observed": {}, "kwargs": {},
             "failing_rows": []}  # fmt: skip
    gates.record(connection, key, passed=True, suite_hash="h", rows_checked=rows, data_docs=None, expectations=[check])
    snapshots.make_current(connection, key, who="t", reason="r")


@pytest.fixture
def flow(ledger):
    """A whole flow's lineage: two batches, one raw, one curated, objects, features, a model and its scores."""
    unit = {"survey": "gaia", "dataset": "raw.gaia", "release": "dr3", "sign": "1", "params": {}, "expected_rows": 1}
    for batch, name in zip(BATCHES, ("u1", "u2"), strict=True):
        batches.plan_units(ledger, [{**unit, "unit": name}])
        batches.record(
            ledger,
            {**unit, "unit": name},
            {"batch_id": batch, "service": "https://gea", "query": f"SELECT {name}", "params": {}, "bytes": 1,
             "response_sha256": "0" * 64, "row_count": 1, "quarantined": 0, "path": batch, "file_sha256": "0" * 64,
             "run_id": None},
        )  # fmt: skip
    with ledger.begin() as connection:
        make(connection, RAW, "raw.gaia", [(batch, "batch", "batch") for batch in BATCHES])
        make(connection, CURATED, "curated.gaia", [(RAW, "snapshot", "raw")])
        make(connection, OBJECTS, "curated.associations", [(CURATED, "snapshot", "gaia")])
        make(connection, FEATURES, "features.sed", [(OBJECTS, "snapshot", "o"), (CURATED, "snapshot", "gaia")])
        connection.execute(sa.text("INSERT INTO registry.model (name, family, target) VALUES ('teff', 'f', 't')"))
        connection.execute(
            sa.text(
                "INSERT INTO registry.version"
                " (key, model, number, architecture, config, code_version, seed, frame_hash, artifact_sha256,"
                " artifact_path)"
                " VALUES (:key, 'teff', 1, 'xgb', '{}', '1', 1, 'f', :key, 'p')"
            ),
            {"key": VERSION},
        )
        snapshots.add_edges(connection, VERSION, "version", [(FEATURES, "snapshot", "features")])
        make(connection, SCORES, "scores.teff", [(FEATURES, "snapshot", "features"), (VERSION, "version", "model")])
    return ledger


def ids(tree, below="parents"):
    found = {tree["id"]}
    for one in tree.get(below, []):
        found |= ids(one, below)
    return found


def test_from_scores_up_to_the_queries(flow):
    tree = lineage.upstream(flow, "scores.teff")
    assert tree["id"] == SCORES
    assert ids(tree) == {RAW, CURATED, OBJECTS, FEATURES, SCORES, VERSION, *BATCHES}
    assert {one["query"] for one in lineage.batches_of(tree)} == {"SELECT u1", "SELECT u2"}
    assert {one["service"] for one in lineage.batches_of(tree)} == {"https://gea"}
    model = next(one for one in tree["parents"] if one["kind"] == "version")
    assert (model["model"], model["role"]) == ("teff", "model")
    json.dumps(tree)


def test_a_diamond_is_walked_once(flow):
    text = json.dumps(lineage.upstream(flow, "scores.teff"))
    assert text.count('"SELECT u1"') == 1
    assert '"repeated": true' in text


def test_from_a_batch_down_to_the_scores(flow):
    tree = lineage.downstream(flow, BATCHES[0])
    assert ids(tree, "children") == {BATCHES[0], RAW, CURATED, OBJECTS, FEATURES, SCORES, VERSION}


@pytest.mark.parametrize(
    ("ref", "kind", "key"),
    [("raw.gaia", "snapshot", RAW), (CURATED[:8], "snapshot", CURATED), (BATCHES[1][:12], "batch", BATCHES[1]),
     (VERSION, "version", VERSION)],
)  # fmt: skip
def test_references(flow, ref, kind, key):
    assert lineage.resolve(flow, ref) == (kind, key)


def test_a_model_that_was_never_promoted_is_its_newest_version_with_a_warning(flow):
    with pytest.warns(UserWarning, match="no version of teff was promoted"):
        assert lineage.resolve(flow, "teff") == ("version", VERSION)


@pytest.mark.parametrize("ref", ["nothing", "raw.nothing", "0" * 10, "abc", "'; DROP TABLE lake.snapshot; --"])
def test_what_is_nothing_is_refused(flow, ref):
    with pytest.raises(InputError, match="is no dataset, model, snapshot"):
        lineage.resolve(flow, ref)


def test_views_agree_with_the_walk(flow):
    with flow.connect() as connection:
        up = connection.execute(
            sa.text("SELECT ancestor FROM lineage.upstream WHERE root = :key"), {"key": SCORES}
        ).scalars()
        down = connection.execute(
            sa.text("SELECT descendant FROM lineage.downstream WHERE root = :key"), {"key": BATCHES[0]}
        ).scalars()
        assert set(up) == ids(lineage.upstream(flow, SCORES)) - {SCORES}
        assert set(down) == ids(lineage.downstream(flow, BATCHES[0]), "children") - {BATCHES[0]}


@pytest.fixture
def lake():
    """The datasets' rows, in DuckDB, under the names that the lake's SQL gives them."""
    connection = duckdb.connect()
    tables = {
        "curated.associations": pa.table(
            {"object_id": ["gaia-7", "gaia-8"], "survey": ["gaia", "gaia"], "survey_id": ["7", "8"],
             "separation_arcsec": [0.0, 0.0]}
        ),
        "curated.gaia": pa.table({"source_id": [7, 8], "batch_id": BATCHES}),
        "scores.teff": pa.table({"object_id": ["gaia-7", "gaia-8"], "teff_k": [5000.0, 6000.0], "model": ["teff"] * 2}),
    }  # fmt: skip
    for number, (name, table) in enumerate(tables.items()):
        connection.register(f"t{number}", table)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.split('.')[0]}")
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM t{number}")
    return connection


@pytest.mark.parametrize("ref", ["gaia-7", "7"])
def test_one_object_names_its_batch_model_and_snapshots_and_no_others(flow, lake, ref):
    found = lineage.object_lineage(flow, lake, ref)
    assert found["id"] == "gaia-7"
    (source,) = found["sources"]
    assert (source["batch"]["id"], source["batch"]["query"]) == (BATCHES[0], "SELECT u1")
    (score,) = found["scores"]
    assert score["row"]["teff_k"] == 5000.0
    assert [one["id"] for one in lineage.batches_of(score["lineage"])] == [BATCHES[0]]
    assert {RAW, CURATED, FEATURES, VERSION} <= ids(score["lineage"])
    json.dumps(found)


def test_an_unknown_object_is_refused(flow, lake):
    with pytest.raises(InputError, match="gaia-9"):
        lineage.object_lineage(flow, lake, "gaia-9")


@pytest.fixture
def stellar(settings, monkeypatch):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    return lambda *words: RUNNER.invoke(cli.app, list(words))


def test_the_tree_is_shown(flow, stellar):
    shown = stellar("lineage", "scores.teff")
    assert shown.exit_code == 0
    for word in ("scores.teff", "model: ", "raw.gaia", "SELECT u1", "https://gea", "shown above"):
        assert word in shown.output
    assert re.search(r"└── .*scores\.teff", stellar("lineage", "raw.gaia", "--down").output)
    assert json.loads(stellar("lineage", "scores.teff", "--json").stdout)["id"] == SCORES


def test_datasets_and_gates_are_shown(flow, stellar, settings):
    rows = json.loads(stellar("datasets", "--json").stdout)
    assert rows[0]["dataset"] == "raw.gaia"
    assert {row["state"] for row in rows} == {"current"}
    assert rows[0]["folder"] == str(settings.lake / f"x/{RAW[:16]}")
    assert "scores.teff" in stellar("datasets").output
    assert "passed  curated.gaia" in stellar("gates").output
    assert re.search(r"ok +ra +x", stellar("gates", "curated.gaia").output)
    assert json.loads(stellar("gates", "curated.gaia", "--json").stdout)[0]["expectations"][0]["column_name"] == "ra"


def test_an_empty_home_has_nothing_to_show_and_says_so(stellar):
    assert json.loads(stellar("datasets", "--json").stdout) == []
    assert "no datasets yet" in stellar("datasets").output
    assert "no gate has run yet" in stellar("gates").output
    assert isinstance(stellar("lineage", "nothing").exception, InputError)


def test_failing_rows_are_shown(ledger, stellar):
    with ledger.begin() as connection:
        snapshots.declare_dataset(connection, "curated.gaia", "source_id")
        snapshots.begin(connection, CURATED, "curated.gaia", "s", 1, {})
        bad = {"number": 1, "expectation": "expect_column_values_to_be_between", "column_name": "ra", "passed": False,
               "failing": 1, "observed": {}, "kwargs": {"min_value": 0},
               "failing_rows": [{"source_id": 9, "ra": -1.0}]}  # fmt: skip
        gates.record(
            connection, CURATED, passed=False, suite_hash="h", rows_checked=1, data_docs=None, expectations=[bad]
        )
    shown = stellar("gates").output
    assert "FAILED  curated.gaia" in shown
    assert '{"ra": -1.0, "source_id": 9}' in shown


def test_sources_of_a_version_are_its_surveys_counted(flow):
    one = {"survey": "gaia", "release": "dr3", "dataset": "raw.gaia", "batches": 2, "rows": 2, "simulated": False}
    assert lineage.sources_of(flow, FEATURES) == [one]
    assert lineage.sources_of(flow, "9" * 64) == []
    with flow.begin() as connection:
        connection.execute(sa.text("UPDATE ingest.batch SET service = 'http://127.0.0.1:9/tap' WHERE unit = 'u1'"))
    assert lineage.sources_of(flow, RAW) == [one | {"simulated": True}]
