"""Wrong states are refused by Postgres itself, whoever asks."""

import pytest
import sqlalchemy as sa

KEYS = {name: (name * 64)[:64] for name in "abcdef"}
COMMITTED = (
    "state = 'candidate', rows = 0, bytes = 0, partitions = 0, path = 'x', content_hash = repeat('0', 64),"
    " committed_at = now()"
)
REFUSED = (sa.exc.IntegrityError, sa.exc.DBAPIError)


def run(ledger, *statements, **values):
    with ledger.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement), values)


@pytest.fixture
def snapshot(ledger):
    """Make a snapshot of `curated.gaia` and take it to a state by the allowed steps."""
    run(ledger, "INSERT INTO lake.dataset (name) VALUES ('curated.gaia'), ('curated.other')")

    def make(name, state, dataset="curated.gaia", gate=True):
        key = KEYS[name]
        run(
            ledger,
            "INSERT INTO lake.snapshot (key, dataset, step, step_version) VALUES (:key, :dataset, 's', 1)",
            "INSERT INTO lake.accounting (snapshot, step, rows_in, rows_out) VALUES (:key, 's', 0, 0)",
            key=key,
            dataset=dataset,
        )
        if state == "building":
            return key
        run(ledger, f"UPDATE lake.snapshot SET {COMMITTED} WHERE key = :key", key=key)
        if gate is not None:
            run(ledger, "INSERT INTO quality.gate (snapshot, passed) VALUES (:key, :gate)", key=key, gate=gate)
        if state in ("current", "retired"):
            run(
                ledger,
                "INSERT INTO lake.promotion (dataset, to_snapshot, who, reason) VALUES (:dataset, :key, 'me', 'test')",
                "UPDATE lake.snapshot SET state = 'current' WHERE key = :key",
                key=key,
                dataset=dataset,
            )
        if state in ("retired", "rejected"):
            run(ledger, "UPDATE lake.snapshot SET state = :state WHERE key = :key", key=key, state=state)
        return key

    return make


ALLOWED = {
    ("building", "candidate"),
    ("candidate", "current"),
    ("candidate", "rejected"),
    ("candidate", "retired"),
    ("current", "retired"),
    ("retired", "current"),
    ("rejected", "candidate"),
}
STATES = ["building", "candidate", "current", "retired", "rejected"]


@pytest.mark.parametrize("before", STATES)
def test_only_steps_of_its_life_are_taken(ledger, snapshot, before):
    key = snapshot("a", before)
    for after in STATES:
        if after == before:
            continue
        with ledger.connect() as connection:
            promotion = "INSERT INTO lake.promotion (dataset, to_snapshot, who, reason)"
            connection.execute(sa.text(f"{promotion} VALUES ('curated.gaia', :key, 'me', 'test')"), {"key": key})
            columns = COMMITTED.replace("'candidate'", ":state")
            change = sa.text(f"UPDATE lake.snapshot SET {columns} WHERE key = :key")
            if (before, after) in ALLOWED:
                connection.execute(change, {"key": key, "state": after})
                connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))
            else:
                with pytest.raises(REFUSED, match=f"{before} -> {after}"):
                    connection.execute(change, {"key": key, "state": after})
            connection.rollback()


@pytest.mark.parametrize("state", ["current", "retired", "rejected"])
def test_a_snapshot_is_not_born_old(ledger, snapshot, state):
    with pytest.raises(REFUSED, match="starts as building or candidate"):
        run(ledger, "INSERT INTO lake.snapshot (key, dataset, step, step_version, state)"
            " VALUES (repeat('a', 64), 'curated.gaia', 's', 1, :state)", state=state)  # fmt: skip


@pytest.mark.parametrize("gate", [None, False])
def test_no_gate_no_promotion(ledger, snapshot, gate):
    key = snapshot("a", "candidate", gate=gate)
    with pytest.raises(REFUSED, match="not passed its gate"):
        run(ledger, "UPDATE lake.snapshot SET state = 'current' WHERE key = :key", key=key)


def test_the_newest_gate_counts(ledger, snapshot):
    key = snapshot("a", "candidate")
    run(ledger, "INSERT INTO quality.gate (snapshot, passed) VALUES (:key, false)", key=key)
    with pytest.raises(REFUSED, match="not passed its gate"):
        run(ledger, "UPDATE lake.snapshot SET state = 'current' WHERE key = :key", key=key)


def test_becoming_current_needs_a_promotion_on_record(ledger, snapshot):
    key = snapshot("a", "candidate")
    with pytest.raises(REFUSED, match="without a promotion"):
        run(ledger, "UPDATE lake.snapshot SET state = 'current' WHERE key = :key", key=key)


def test_one_current_per_dataset(ledger, snapshot):
    snapshot("a", "current")
    snapshot("b", "current", dataset="curated.other")
    with pytest.raises(REFUSED, match="one_current_snapshot"):
        snapshot("c", "current")


def test_a_promotion_names_a_snapshot_of_its_dataset(ledger, snapshot):
    key = snapshot("a", "candidate")
    with pytest.raises(REFUSED, match="foreign key"):
        run(ledger, "INSERT INTO lake.promotion (dataset, to_snapshot, who, reason)"
            " VALUES ('curated.other', :key, 'me', 'x')", key=key)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    ["dataset = 'curated.other'", "step = 't'", "step_version = 2", "params = '{\"a\": 1}'", "rows = 7", "path = 'y'",
     "content_hash = repeat('1', 64)", "files_removed_at = now()"],
)  # fmt: skip
def test_what_is_committed_stays_as_it_is(ledger, snapshot, change):
    key = snapshot("a", "current")
    with pytest.raises(REFUSED):
        run(ledger, f"UPDATE lake.snapshot SET {change} WHERE key = :key", key=key)


def test_without_files_it_cannot_come_back_except_by_being_built(ledger, snapshot):
    key = snapshot("a", "retired")
    run(ledger, "UPDATE lake.snapshot SET files_removed_at = now() WHERE key = :key", key=key)
    with pytest.raises(REFUSED, match="files were removed"):
        run(ledger, "UPDATE lake.snapshot SET state = 'current' WHERE key = :key", key=key)
    run(ledger, "UPDATE lake.snapshot SET state = 'building', files_removed_at = NULL WHERE key = :key", key=key)
    with pytest.raises(REFUSED, match="not a pure function"):
        run(ledger, f"UPDATE lake.snapshot SET {COMMITTED.replace(chr(39) + '0' + chr(39), chr(39) + '1' + chr(39))}"
            " WHERE key = :key", key=key)  # fmt: skip
    run(ledger, f"UPDATE lake.snapshot SET {COMMITTED} WHERE key = :key", key=key)


@pytest.mark.parametrize("state", ["candidate", "current", "retired", "rejected"])
def test_committed_snapshots_are_not_deleted(ledger, snapshot, state):
    key = snapshot("a", state)
    with pytest.raises(REFUSED, match="cannot be deleted"):
        run(ledger, "DELETE FROM lake.snapshot WHERE key = :key", key=key)


@pytest.mark.parametrize(
    ("rows_in", "rows_out", "merged", "filtered", "quarantined", "fine"),
    [(10, 10, 0, 0, 0, True), (10, 5, 2, 2, 1, True), (10, 9, 0, 0, 0, False), (10, 11, 0, 0, 0, False),
     (10, 12, -2, 0, 0, False)],
)  # fmt: skip
def test_rows_must_add_up(ledger, snapshot, rows_in, rows_out, merged, filtered, quarantined, fine):
    key = KEYS["b"]
    snapshot("a", "building")
    run(
        ledger,
        "INSERT INTO lake.snapshot (key, dataset, step, step_version) VALUES (:key, 'curated.gaia', 's', 1)",
        key=key,
    )
    sql = (
        "INSERT INTO lake.accounting (snapshot, step, rows_in, rows_out, merged, filtered, quarantined)"
        " VALUES (:key, 's', :rows_in, :rows_out, :merged, :filtered, :quarantined)"
    )
    values = dict(rows_in=rows_in, rows_out=rows_out, merged=merged, filtered=filtered, quarantined=quarantined)
    if fine:
        run(ledger, sql, key=key, **values)
    else:
        with pytest.raises(REFUSED, match="check constraint"):
            run(ledger, sql, key=key, **values)


def test_a_commit_must_agree_with_its_parts(ledger, snapshot):
    key = snapshot("a", "building")
    with pytest.raises(REFUSED, match="its partitions hold 0 rows"):
        run(ledger, f"UPDATE lake.snapshot SET {COMMITTED.replace('rows = 0', 'rows = 5')} WHERE key = :key", key=key)


@pytest.mark.parametrize("table", ["lake.promotion", "quality.gate"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
def test_history_is_append_only(settings, ledger, snapshot, table, statement):
    from stellar.ledger.connect import ledger_session

    snapshot("a", "current")
    column = "who" if table == "lake.promotion" else "passed"
    value = "'someone else'" if table == "lake.promotion" else "false"
    with ledger_session(settings, role="owner") as owner:
        for engine in (ledger, owner):
            with pytest.raises(REFUSED, match="append-only"):
                run(engine, statement.format(table, column, value))
        with pytest.raises(REFUSED, match="append-only"):
            run(owner, f"TRUNCATE {table} CASCADE")


def test_what_a_snapshot_consists_of_and_came_from_is_append_only(ledger, snapshot):
    parent, child = snapshot("a", "building"), snapshot("b", "building")
    run(
        ledger,
        "INSERT INTO lake.partition (key, dataset, rows, bytes, file_sha256)"
        " VALUES (:parent, 'curated.gaia', 0, 0, :child)",
        "INSERT INTO lake.snapshot_partition (snapshot, name, partition_key) VALUES (:parent, 'p', :parent)",
        "INSERT INTO lineage.edge VALUES (:child, 'snapshot', :parent, 'snapshot', 'r')",
        parent=parent,
        child=child,
    )
    for table, change in (
        ("lake.partition", "bytes = 1"),
        ("lake.snapshot_partition", "name = 'q'"),
        ("lake.accounting", "step = 't'"),
        ("lineage.edge", "role = 's'"),
    ):
        for statement in (f"UPDATE {table} SET {change}", f"DELETE FROM {table}"):
            with pytest.raises(REFUSED, match=f"{table} is append-only"):
                run(ledger, statement)


VERSION = (
    "INSERT INTO registry.version (key, model, number, architecture, config, code_version, seed, frame_hash,"
    " artifact_sha256, artifact_path) VALUES (:key, 'teff', :number, 'xgb', '{}', '1', 1, 'f', :key, 'p')"
)
PROMOTE = (
    "UPDATE registry.version SET state = 'retired' WHERE model = 'teff' AND state = 'current'",
    "UPDATE registry.version SET state = 'current' WHERE key = :key",
    "INSERT INTO registry.alias (model, alias, version) VALUES ('teff', 'current', :key)"
    " ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version",
    "INSERT INTO registry.promotion (model, to_version, who, reason) VALUES ('teff', :key, 'me', 'better')",
)


@pytest.fixture
def versions(ledger):
    run(ledger, "INSERT INTO registry.model (name, family, target) VALUES ('teff', 'f', 't')")
    for number, name in enumerate("abc", start=1):
        run(ledger, VERSION, key=KEYS[name], number=number)


def test_models_are_promoted_whole_or_not(ledger, versions):
    run(ledger, *PROMOTE, key=KEYS["a"])
    run(ledger, *PROMOTE, key=KEYS["b"])
    for missing in range(1, 4):
        part = [one for number, one in enumerate(PROMOTE) if number != missing]
        with pytest.raises(REFUSED, match="current version is"):
            run(ledger, *part, key=KEYS["c"])
    with ledger.connect() as connection:
        assert connection.scalar(sa.text("SELECT version FROM registry.alias")) == KEYS["b"]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE registry.promotion SET who = 'x'", "DELETE FROM registry.promotion", "DELETE FROM registry.alias",
     "UPDATE registry.version SET seed = 2", "DELETE FROM registry.version",
     "UPDATE registry.version SET state = 'candidate'", "UPDATE registry.version SET state = 'rejected'"],
)  # fmt: skip
def test_a_models_history_is_kept(ledger, versions, statement):
    run(ledger, *PROMOTE, key=KEYS["a"])
    with pytest.raises(REFUSED):
        run(ledger, statement)


def test_edges_have_two_ends(ledger, snapshot):
    key = snapshot("a", "candidate")
    for child, parent in ((key, KEYS["b"]), (KEYS["b"], key)):
        with pytest.raises(REFUSED, match="lineage: no snapshot"):
            run(ledger, "INSERT INTO lineage.edge VALUES (:child, 'snapshot', :parent, 'snapshot', 'r')",
                child=child, parent=parent)  # fmt: skip
