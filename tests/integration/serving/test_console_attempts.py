"""What must not be possible in the console: each attempt is told why not, and the next question is answered."""

import uuid

import psutil
import pytest

from console_home import home_of_stars
from stellar.errors import InputError
from stellar.serving.console import Console, Limits

LIMITS = Limits(workers=1, memory_mb=256, spill_mb=64, threads=1, time_s=3.0, most_time_s=20.0)


@pytest.fixture(scope="module")
def made(database_server):
    with home_of_stars(database_server) as ctx:
        (ctx.settings.home / "secret.csv").write_text("a\nsecret\n")
        console = Console(ctx.settings, LIMITS)
        console.warm()
        yield ctx, console
        console.close()


def ask(console, statement, **options):
    return console.run(statement, user="viewer", token=uuid.uuid4().hex, **options)


READS_ONLY = [
    ("CREATE TABLE t AS SELECT 1", "only reads"),
    ("CREATE OR REPLACE MACRO cone(a) AS TABLE SELECT 1", "only reads"),
    ("INSERT INTO curated.stars SELECT * FROM curated.stars", "only reads"),
    ("DELETE FROM curated.stars", "only reads"),
    ("UPDATE curated.stars SET mag = 1", "only reads"),
    ("DROP VIEW curated.stars", "only reads"),
    ("WITH w AS (DELETE FROM curated.stars RETURNING *) SELECT * FROM w", "only reads"),
    ("COPY (SELECT 1) TO '{home}/out.csv'", "only reads"),
    ("COPY curated.stars FROM '{home}/secret.csv'", "only reads"),
    ("EXPLAIN ANALYZE COPY (SELECT 1) TO '{home}/out.csv'", "only reads"),
    ("EXPORT DATABASE '{home}/out'", "only reads"),
    ("IMPORT DATABASE '{home}/out'", "only reads"),
    ("ATTACH '{home}/out.db'", "only reads"),
    ("ATTACH 'postgres:dbname=stellar' AS p (TYPE postgres)", "only reads"),
    ("INSTALL httpfs", "only reads"),
    ("LOAD httpfs", "only reads"),
    ("SET memory_limit = '100GB'", "only reads"),
    ("RESET threads", "only reads"),
    ("PRAGMA database_list", "only reads"),
    ("PRAGMA enable_profiling", "only reads"),
    ("CALL pragma_version()", "only reads"),
    ("CHECKPOINT", "only reads"),
    ("PREPARE p AS SELECT 1", "only reads"),
    ("EXECUTE p", "only reads"),
    ("BEGIN", "only reads"),
    ("USE curated", "only reads"),
    ("CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')", "only reads"),
    ("SELECT 1; SELECT 2", "one statement"),
    ("SELECT 1; DROP VIEW curated.stars", "one statement"),
]
FILES = [
    ("SELECT * FROM read_csv('{home}/secret.csv')", "read_csv"),
    ("SELECT * FROM read_csv_auto('{home}/secret.csv')", "read_csv_auto"),
    ("SELECT * FROM read_text('{home}/secret.csv')", "read_text"),
    ("SELECT * FROM read_blob('/etc/passwd')", "read_blob"),
    ("SELECT * FROM read_json_auto('/etc/passwd')", "read_json_auto"),
    ("SELECT * FROM read_parquet('{home}/lake/**/*.parquet')", "read_parquet"),
    ("SELECT * FROM parquet_scan('{home}/lake/**/*.parquet')", "parquet_scan"),
    ("SELECT * FROM parquet_metadata('{home}/lake/x.parquet')", "parquet_metadata"),
    ("SELECT * FROM glob('/etc/*')", "glob"),
    ("SELECT * FROM sniff_csv('/etc/passwd')", "sniff_csv"),
    ("SELECT * FROM '/etc/passwd'", "files cannot be read"),
    ("SELECT * FROM '{home}/secret.csv'", "files cannot be read"),
    ('SELECT * FROM "secret.csv"', "files cannot be read"),
    ("SELECT * FROM 'https://example.org/x.parquet'", "files cannot be read"),
    ("DESCRIBE '{home}/secret.csv'", "files cannot be read"),
    ("SUMMARIZE SELECT * FROM read_text('/etc/passwd')", "read_text"),
    ("EXPLAIN SELECT * FROM read_text('/etc/passwd')", "read_text"),
    ("EXPLAIN -- hidden\n ANALYZE SELECT * FROM read_text('/etc/passwd')", "read_text"),
    ("SELECT (SELECT content FROM read_text('/etc/passwd'))", "read_text"),
    ("SELECT * FROM curated.stars WHERE id IN (SELECT size FROM glob('/etc/*'))", "glob"),
    ("WITH f AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM f", "read_text"),
    ("SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')", "query"),
    ("FROM query_table('curated.stars')", "query_table"),
    ("FROM histogram('/etc/passwd', content)", r"histogram\(…\) cannot be used"),
    ("FROM histogram_values('duckdb_settings', name)", r"histogram_values\(…\) cannot be used"),
    ('FROM "main"."READ_TEXT"(\'/etc/passwd\')', "read_text"),
]
INSIDES = [
    ("SELECT * FROM duckdb_secrets()", "duckdb_secrets"),
    ("FROM duckdb_settings()", "duckdb_settings"),
    ("FROM which_secret('x', 's3')", "which_secret"),
    ("SELECT getenv('STELLAR_POSTGRES_URL')", "getenv"),
    ("SELECT current_setting('allowed_directories')", "current_setting"),
    ("SELECT _cone('curated.stars', 0, 0, 1)", "_cone"),
    ("SELECT json_execute_serialized_sql('x')", "json_execute_serialized_sql"),
    ("SELECT sleep_ms(100000)", "sleep_ms"),
    ("SELECT * FROM other.curated.stars", "no other database"),
    ("SELECT * FROM ledger.trial_params", "does not exist"),
    ("SELECT * FROM optuna.trials", "does not exist"),
]
TOO_MUCH = [
    ("SELECT count(*) FROM range(1000000000000) a, range(1000000) b", "stopped after 3 s"),
    ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r", "stopped after 3 s"),
    ("SELECT repeat('x', 4000000000)", "emory"),
    ("SELECT list_sum(range(4000000000))", "emory"),
    ("SELECT string_agg(repeat('x', 1000000), '') FROM range(3000)", "emory"),
    ("SELECT list(range) FROM range(1000000000)", "emory"),
    ("SELECT length(lpad('', 2000000000, 'x')) + length(rpad('', 2000000000, 'x'))", "emory|stopped"),
    ("SELECT * FROM (SELECT unnest(generate_series(1, 100000000)) AS n) ORDER BY md5(n::VARCHAR)", "emory|stopped"),
    ("SELECT count(DISTINCT md5(a.range::VARCHAR)) FROM range(40000000) a", "emory|stopped"),
    ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "."),
    ("SELECT " + "+".join(["1"] * 60000), "."),
    ("SELECT 1 -- " + "x" * 200_000, "at most 100,000 characters"),
    ("", "write a question"),
    ("-- only a comment", "one statement|nothing"),
    ("SELEC 1", "syntax error"),
]  # fmt: skip


def answers_still(ctx, console):
    assert ask(console, "SELECT count(*) FROM curated.stars")["rows"][0][0] > 1000
    assert not [path for path in ctx.settings.home.iterdir() if path.name.startswith("out")]


@pytest.mark.parametrize(("attempt", "why"), [*READS_ONLY, *FILES, *INSIDES], ids=lambda text: text[:40])
def test_it_reads_datasets_and_nothing_else(made, attempt, why):
    ctx, console = made
    with pytest.raises(InputError, match=why) as refused:
        ask(console, attempt.format(home=ctx.settings.home))
    assert "secret" not in str(refused.value).replace("secret.csv", "").replace("secrets", "").replace("_secret", "")
    answers_still(ctx, console)


@pytest.mark.parametrize(("attempt", "why"), TOO_MUCH, ids=lambda text: text[:40])
def test_what_takes_too_much_is_stopped_and_the_next_is_answered(made, attempt, why):
    ctx, console = made
    try:
        with pytest.raises(InputError, match=why):
            ask(console, attempt)
    except pytest.fail.Exception:
        if why != ".":  # what is odd, but can be answered, may be
            raise
    answers_still(ctx, console)
    assert psutil.Process().memory_info().rss < 3 << 30


def test_the_ledger_that_is_shown_holds_no_secrets(made, made_home):
    """Neither the roles' passwords nor any other secret of the home is in a table that questions can read."""
    ctx, console = made
    secrets = [file.read_text().strip() for file in (made_home / "secrets").iterdir() if file.is_file()]
    secrets.append(ctx.settings.postgres_url.get_secret_value())
    assert len(secrets) > 3 and all(len(one) > 8 for one in secrets)
    names = console.names()["ledger"]
    assert {"batch", "snapshot", "run"} <= set(names) and not any(name.startswith("trial") for name in names)
    for name in names:
        shown = str(ask(console, f"SELECT * FROM ledger.{name}", rows=10_000)["rows"])
        assert not [one for one in secrets if one in shown], name
