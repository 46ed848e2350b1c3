"""The console's processes: answers, downloads, stopping, promotions, and what is left of them."""

import io
import os
import subprocess
import sys
import threading
import time
import uuid

import psutil
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from console_home import bring_field, home_of_stars
from stellar.errors import InputError
from stellar.serving.console import BusyError, Console, Limits
from stellar.serving.console_process import environment

LIMITS = Limits(workers=2, memory_mb=256, spill_mb=64, threads=1, time_s=20.0, wait_s=0.5)
ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"


@pytest.fixture(scope="module")
def made(database_server):
    with home_of_stars(database_server) as ctx:
        console = Console(ctx.settings, LIMITS)
        yield ctx, console
        console.close()
        assert not list((ctx.settings.cache / "console").iterdir())


@pytest.fixture
def console(made):
    return made[1]


def ask(console, statement, token=None, **options):
    return console.run(statement, user="viewer", token=token or uuid.uuid4().hex, **options)


def processes():
    """The console's processes below this one."""
    return [one for one in psutil.Process().children() if "stellar.serving.console_worker" in one.cmdline()]


def until(true, patience_s=10.0):
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_answer_says_what_its_columns_are_and_what_was_read(console, made):
    found = ask(console, "SELECT id, 9007199254740993::BIGINT AS big, NULL::INTEGER AS nothing, 'NaN'::DOUBLE AS nan,"
                         " [1, 2] AS l, ra FROM cone('curated.stars', 40.0, 30.0, 1.0) ORDER BY id")  # fmt: skip
    kinds = {one["name"]: one["kind"] for one in found["columns"]}
    assert kinds == {"id": "integer", "big": "integer", "nothing": "integer", "nan": "number", "l": "list",
                     "ra": "number"}  # fmt: skip
    assert found["rows"][0][1:5] == ["9007199254740993", None, "NaN", "[1, 2]"]
    assert list(found["snapshots"]) == ["curated.stars"] and len(found["snapshots"]["curated.stars"]) == 64
    assert found["ms"] > 0 and not found["more"]
    few = ask(console, "SELECT * FROM curated.stars", rows=7)
    assert len(few["rows"]) == 7 and few["more"]
    exact = ask(console, "SELECT * FROM curated.stars LIMIT 7", rows=7)
    assert len(exact["rows"]) == 7 and not exact["more"]
    with pytest.raises(InputError, match="rows: 20000 is not between 0 and 10000"):
        ask(console, "SELECT 1", rows=20_000)


def test_names_to_complete(console):
    names = console.names()
    stars = names["datasets"]["curated.stars"]
    assert stars["id"] == "id" and [one["name"] for one in stars["columns"]][:3] == ["_healpix_29", "id", "ra"]
    assert names["start"] is None  # there are no objects
    assert "snapshot" in names["ledger"]["current"] and "cone" in names["macros"] and "median" in names["functions"]


@pytest.mark.parametrize("chosen", ["id = 97000005", "id IN (97000005, 98000007, 5)", "mag > 0 AND 98000007 = id"])
def test_ids_are_found_by_their_index_and_the_rows_are_the_same(console, chosen):
    by_index = ask(console, f"SELECT s.* FROM curated.stars AS s WHERE {chosen} ORDER BY id")["rows"]
    plainly = ask(console, f"SELECT * FROM (SELECT * FROM curated.stars OFFSET 0) WHERE {chosen} ORDER BY id")["rows"]
    assert by_index == plainly and by_index
    assert ask(console, "SELECT id FROM by_id('curated.stars', ['97000005', '5'])")["rows"] == [[97000005]]


def test_what_is_wrong_is_told_with_its_place_and_the_names_there_are(console):
    with pytest.raises(InputError, match=r'"magg" not found[\s\S]*"mag"[\s\S]*LINE 2: magg FROM[\s\S]*\^'):
        ask(console, "SELECT id,\nmagg FROM curated.stars")
    with pytest.raises(InputError, match=r"Datasets here: curated\.stars, quarantine\.stars, raw\.stars"):
        ask(console, "SELECT * FROM curated.star")
    with pytest.raises(InputError, match=r"did you mean curated\.stars"):
        ask(console, "SELECT * FROM cone('curated.star', 1, 2, 3)")


def read_csv(content):
    return pyarrow.csv.read_csv(io.BytesIO(content)).to_pylist()


def read_votable(content):
    table = Table.read(io.BytesIO(content), format="votable")
    return [{name: row[name] for name in table.colnames} for row in table]


@pytest.mark.parametrize(
    ("form", "read"),
    [("csv", read_csv), ("parquet", lambda content: pq.read_table(io.BytesIO(content)).to_pylist()),
     ("votable", read_votable)],
)  # fmt: skip
def test_a_download_is_the_whole_result(console, form, read):
    token = uuid.uuid4().hex
    sql = "SELECT id, ra, mag, mag > 15 AS faint, 'a<&' || id AS name FROM curated.stars ORDER BY id"
    content = b"".join(console.download(sql, form, user="viewer", token=token))
    rows = read(content)
    shown = ask(console, sql, rows=10_000)["rows"]
    assert len(rows) == len(shown) > 1000
    assert [list(row.values()) for row in rows] == shown
    assert console.outcome("viewer", token) == {"rows": len(shown), "more": False}
    with pytest.raises(InputError, match="did not come to its end"):
        console.outcome("another", token)


def test_a_download_ends_at_the_limit_and_says_so(made):
    console = Console(made[0].settings, Limits(workers=1, memory_mb=256, spill_mb=64, threads=1, file_rows=25_000))
    try:
        content = b"".join(console.download("SELECT * FROM range(60000)", "votable", user="v", token="t"))
        assert console.outcome("v", "t") == {"rows": 25_000, "more": True}
        assert content.count(b"<TR>") == 25_000 and b'value="OVERFLOW"' in content[-300:]
        nothing = b"".join(console.download("SELECT 1 AS a WHERE false", "votable", user="v", token="n"))
        assert len(Table.read(io.BytesIO(nothing), format="votable")) == 0
        for wrong, why in (("SELECT nope", "nope"), ("COPY (SELECT 1) TO 'x'", "only reads")):
            with pytest.raises(InputError, match=why):
                next(console.download(wrong, "csv", user="v", token="w"))
        parts = console.download("SELECT md5(range::VARCHAR) AS m FROM range(100000000)", "csv", user="v", token="gone")
        next(parts), next(parts)
        parts.close()  # as when the browser goes away
        assert ask(console, "SELECT 1")["rows"] == [[1]]
    finally:
        console.close()


def test_a_download_that_nobody_reads_gives_its_process_back(made):
    console = Console(made[0].settings, Limits(workers=1, memory_mb=256, spill_mb=64, threads=1, most_time_s=2.0))
    endless = "SELECT md5(range::VARCHAR) AS m FROM range(100000000)"
    try:
        parts = console.download(endless, "csv", user="v", token="kept")
        next(parts), next(parts)
        (worker,) = console._workers
        with pytest.raises(BusyError, match="a download of yours is under way"):
            next(console.download("SELECT 1", "csv", user="v", token="second"))
        until(lambda: not worker.is_running, 30)
        assert b"".join(console.download("SELECT 1 AS a", "csv", user="v", token="third")) == b'"a"\n1\n'
        with pytest.raises(InputError, match="stopped after 4 s"):
            list(parts)
        stopped = console.download(endless, "csv", user="v", token="stopped")
        next(stopped)
        (worker,) = console._workers
        assert console.stop("v", "stopped")
        until(lambda: not worker.is_running, 30)
    finally:
        console.close()


def test_what_a_process_sends_is_bounded(console):
    wide = ", ".join(f"repeat(chr(1), 10000) AS c{number}" for number in range(700))
    with pytest.raises(InputError, match="the screen takes 32 MB"):
        ask(console, f"SELECT {wide}")
    with pytest.raises(InputError, match="xxx") as refused:
        ask(console, "SELECT error(repeat('x', 1000000))")
    assert len(str(refused.value)) < 2100
    long = "SELECT repeat('x', 5000000) AS a FROM range(3)"
    for form in ("csv", "votable"):
        parts = list(console.download(long, form, user="viewer", token=uuid.uuid4().hex))
        assert max(map(len, parts)) <= 1 << 20 and b"".join(parts).count(b"x") >= 15_000_000
    assert len(ask(console, "SELECT [repeat('x', 50000000)]")["rows"][0][0]) < 11_000


def test_a_question_can_be_stopped_by_who_asked_it_alone(console):
    token, said = uuid.uuid4().hex, []

    def question():
        try:
            ask(console, ENDLESS, token=token)
        except InputError as error:
            said.append(str(error))

    thread = threading.Thread(target=question)
    thread.start()
    until(lambda: ("viewer", token) in console._stops)
    assert not console.stop("another", token)
    time.sleep(0.3)
    assert thread.is_alive() and console.stop("viewer", token)
    thread.join(10)
    assert said == ["stopped"] and not console.stop("viewer", token)


def test_so_many_run_at_once_and_others_are_told_to_wait(console):
    tokens = [uuid.uuid4().hex for _ in range(LIMITS.workers)]

    def stopped(token):
        with pytest.raises(InputError, match="stopped"):
            ask(console, ENDLESS, token)

    threads = [threading.Thread(target=stopped, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    until(lambda: len(processes()) == LIMITS.workers and not console._free and not console._starting, 60)
    with pytest.raises(BusyError, match="2 questions run already"):
        ask(console, "SELECT 1")
    for token in tokens:
        console.stop("viewer", token)
    for thread in threads:
        thread.join(10)
    assert ask(console, "SELECT 1")["rows"] == [[1]]


def test_a_process_that_dies_is_replaced(console):
    ask(console, "SELECT 1")
    there = processes()
    for one in there:
        one.kill()
    psutil.wait_procs(there, timeout=5)
    assert ask(console, "SELECT 2")["rows"] == [[2]]
    said = []

    def question():
        try:
            ask(console, ENDLESS)
        except InputError as error:
            said.append(str(error))

    thread = threading.Thread(target=question)
    thread.start()
    until(lambda: not console._free)
    for one in processes():
        one.kill()
    thread.join(10)
    assert "ended its process" in said[0]
    assert ask(console, "SELECT 3")["rows"] == [[3]]


def test_a_promotion_is_seen_by_the_next_question_and_the_ledger_is_read_anew(made, console):
    ctx, _ = made
    asked = "SELECT (SELECT count(*) FROM curated.stars), (SELECT count(*) FROM ledger.batch)"
    before = ask(console, asked)
    bring_field(ctx, "c")
    after = ask(console, asked)
    assert after["rows"][0][0] > before["rows"][0][0] and after["rows"][0][1] == before["rows"][0][1] + 1
    assert after["snapshots"] != before["snapshots"]
    with ctx.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO registry.model (name, family, target) VALUES ('m', 'f', 't')")
    assert ask(console, "SELECT count(*) FROM ledger.model")["rows"] == [[1]]


def test_processes_know_no_secrets_of_the_server(monkeypatch, made):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("SOME_PASSWORD", "secret")
    told = environment(made[0].settings)
    assert "secret" not in told.values() and told["STELLAR_HOME"] == str(made[0].settings.home)


def test_processes_end_with_the_server(made):
    ctx, _ = made
    code = (
        "import os, sys, psutil; from stellar.settings import load_settings; from stellar.serving.console import *\n"
        "console = Console(load_settings()); console.warm()\n"
        "print(psutil.Process().children()[0].pid, flush=True); os.kill(os.getpid(), 9)"
    )
    server = subprocess.run([sys.executable, "-c", code], env=environment(ctx.settings), capture_output=True)
    pid = int(server.stdout)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    Console(ctx.settings, LIMITS)  # what was left is cleared away
    owners = {path.name.split("-")[0] for path in (ctx.settings.cache / "console").iterdir()}
    assert owners <= {str(os.getpid())}
