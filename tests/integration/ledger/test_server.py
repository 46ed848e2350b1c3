import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from stellar.errors import InputError, LedgerError
from stellar.ledger import server
from stellar.ledger.connect import airflow_url, ledger_session, ledger_url, open_ledger
from stellar.ledger.server import Server
from stellar.settings import load_settings


@pytest.fixture
def settings(home):
    """Settings of a home with an embedded server of its own."""
    return load_settings(home=home, postgres_url=None)


@pytest.fixture
def far(made_home):
    """Settings of a second home with a ledger."""
    home = Path(tempfile.mkdtemp(prefix="stellar-test-", dir="/tmp"))
    home.chmod(0o755)
    for part in ("postgres", "secrets"):
        subprocess.run(["cp", "-a", made_home / part, home / part], check=True)
    yield load_settings(home=home, postgres_url=None)
    shutil.rmtree(home)


def ask(engine, sql="SELECT count(*) FROM lake.snapshot"):
    with engine.connect() as connection:
        return connection.scalar(sa.text(sql))


def address(settings):
    return json.loads((settings.run / "postgres.json").read_text())


def gone(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def other_process(settings, body):
    """A process of its own that opens a session, says so, and then does `body`."""
    code = (
        "import sys, time\nfrom stellar.settings import load_settings\n"
        "from stellar.ledger.connect import ledger_session\nimport sqlalchemy as sa\n"
        f"with ledger_session(load_settings(home={str(settings.home)!r}, postgres_url=None)) as engine:\n"
        f"    print('up', flush=True)\n    {body}\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def new(bare_home):
    """Settings of a home in which nothing was made yet."""
    return load_settings(home=bare_home, postgres_url=None)


def test_an_empty_home_gets_a_migrated_ledger_and_nothing_stays(new):
    settings = new
    with ledger_session(settings) as engine:
        assert ask(engine) == 0
        pids = address(settings)
        assert not gone(pids["pid"])
    assert not (settings.run / "postgres.json").exists()
    assert gone(pids["pid"])
    assert wait_for(lambda: gone(pids["warden"]), 1.0)


def test_roles_have_their_rights_and_no_more(settings):
    with ledger_session(settings, role="reader") as reader, ledger_session(settings, role="pipeline") as pipeline:
        with pipeline.begin() as connection:
            connection.execute(sa.text("INSERT INTO lake.dataset (name) VALUES ('raw.gaia')"))
        assert ask(reader, "SELECT count(*) FROM lake.dataset") == 1
        for engine, sql in (
            (reader, "INSERT INTO lake.dataset (name) VALUES ('raw.x')"),
            (reader, "CREATE TABLE lake.mine (a int)"),
            (pipeline, "DROP TABLE lake.accounting"),
            (pipeline, "TRUNCATE lake.promotion"),
            (pipeline, "DELETE FROM ledger.migration"),
        ):
            with (
                pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"),
                engine.begin() as link,
            ):
                link.execute(sa.text(sql))


def test_a_wrong_password_and_the_airflow_role_are_kept_out(settings):
    with ledger_session(settings):
        wrong = ledger_url(settings).set(password="wrong")
        for url in (wrong, airflow_url(settings).set(database="stellar")):
            engine = sa.create_engine(url)
            with pytest.raises(sa.exc.OperationalError):
                engine.connect()
            engine.dispose()
        own = sa.create_engine(airflow_url(settings))
        with own.begin() as connection:
            connection.execute(sa.text("CREATE TABLE mine (a int)"))
        own.dispose()


def test_passwords_are_in_no_command_line(settings):
    with ledger_session(settings):
        secrets = [path.read_text() for path in settings.secrets.iterdir()]
        assert len(secrets) >= 4
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = process.read_text()
            except OSError:
                continue
            assert not any(secret in line for secret in secrets)


def test_killed_postgres_comes_back_with_its_data(settings):
    keeper = Server(settings)
    keeper.start()
    try:
        with ledger_session(settings) as engine:
            with engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO lake.dataset (name) VALUES ('raw.gaia')"))
            old = address(settings)
            os.kill(old["pid"], signal.SIGKILL)
            assert wait_for(lambda: not keeper.alive())
            keeper.start()
            assert keeper.alive()
            assert address(settings)["pid"] != old["pid"]
            # the engine that was open all the while goes on
            assert ask(engine, "SELECT count(*) FROM lake.dataset") == 1
    finally:
        keeper.stop()
    assert not keeper.alive()


def test_a_killed_warden_takes_postgres_with_it_and_both_come_back(settings):
    with ledger_session(settings) as engine:
        old = address(settings)
        os.kill(old["warden"], signal.SIGKILL)
        assert wait_for(lambda: gone(old["pid"]))
        with ledger_session(settings):
            assert ask(engine) == 0
            assert address(settings)["pid"] != old["pid"]


def test_a_killed_user_leaves_no_server(settings):
    user = other_process(settings, "time.sleep(60)")
    assert user.stdout.readline() == "up\n"
    pids = address(settings)
    user.send_signal(signal.SIGKILL)
    user.wait()
    assert wait_for(lambda: gone(pids["pid"]) and gone(pids["warden"]))
    with ledger_session(settings) as engine:
        assert ask(engine) == 0


@pytest.mark.parametrize("first_leaves_first", [True, False])
def test_two_processes_share_one_server_until_the_last_is_done(new, first_leaves_first):
    settings = new
    users = [other_process(settings, "sys.stdin.readline(); engine.connect(); print('fine', flush=True)") for _ in "ab"]
    for user in users:
        assert user.stdout.readline() == "up\n"
    pids = address(settings)
    order = users if first_leaves_first else users[::-1]
    for user in order:
        assert not gone(pids["pid"])
        out, _ = user.communicate("go\n", timeout=60)
        assert (out, user.returncode) == ("fine\n", 0)
    assert gone(pids["pid"])


def test_a_server_that_was_left_serves_who_comes_at_once_and_stops_by_itself(settings):
    left = Server(settings)
    for _ in range(3):
        left.start()
        left.leave()
        with ledger_session(settings) as engine:
            assert ask(engine) == 0
    left.start()
    pids = address(settings)
    left.leave()
    assert wait_for(lambda: gone(pids["pid"]) and gone(pids["warden"]))
    assert not (settings.run / "postgres.json").exists()


def test_the_first_process_of_a_container_waits_for_the_server_that_it_leaves(settings, monkeypatch):
    left = Server(settings)
    left.start()
    pids = address(settings)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    left.leave()
    assert gone(pids["pid"])


def test_a_session_on_an_engine_of_the_callers_leaves_the_server(settings):
    left = Server(settings)
    left.start()
    engine = open_ledger(settings)
    with ledger_session(settings, postgres=left, engine=engine) as same:
        assert same is engine and ask(same) == 0
        pids = address(settings)
    assert wait_for(lambda: gone(pids["pid"]))


def test_two_homes_side_by_side(settings, far):
    with ledger_session(settings) as one, ledger_session(far) as two:
        with one.begin() as connection:
            connection.execute(sa.text("INSERT INTO lake.dataset (name) VALUES ('raw.gaia')"))
        assert ask(two, "SELECT count(*) FROM lake.dataset") == 0
        os.kill(address(far)["pid"], signal.SIGKILL)
        assert ask(one, "SELECT count(*) FROM lake.dataset") == 1


def test_a_long_home_works(bare_home):
    deep = bare_home / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    settings = load_settings(home=deep, postgres_url=None)
    try:
        with ledger_session(settings) as engine:
            assert ask(engine) == 0
    finally:
        server.socket_folder(settings).rmdir()


def test_an_unfinished_cluster_is_made_anew(new):
    settings = new
    (settings.home / "postgres.unfinished" / "base").mkdir(parents=True)
    settings.postgres.mkdir()
    with ledger_session(settings) as engine:
        assert ask(engine) == 0
    assert not (settings.home / "postgres.unfinished").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_a_home_that_postgres_cannot_reach_is_named(bare_home):
    home = bare_home
    (home / "closed").mkdir(mode=0o700)
    settings = load_settings(home=home / "closed" / "home", postgres_url=None)
    with pytest.raises(InputError, match=f"chmod o\\+x {home}/closed"), ledger_session(settings):
        pass


def test_a_server_that_cannot_start_says_why(settings):
    with ledger_session(settings):
        pass
    with (settings.postgres / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'nonsense'\n")
    with pytest.raises(LedgerError, match="shared_buffers"), ledger_session(settings):
        pass


@pytest.fixture
def external(far):
    """An external server: another home's, reached by URL, without the platform's roles."""
    with (
        ledger_session(far, role="owner") as owner,
        owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        for role in ("stellar_pipeline", "stellar_reader"):
            connection.execute(sa.text(f"DROP OWNED BY {role}"))
            connection.execute(sa.text(f"DROP ROLE {role}"))
        yield connection, server.url(far, "owner")


@pytest.mark.parametrize("may_create_roles", [True, False])
def test_an_external_server_is_migrated_and_used(new, external, may_create_roles):
    connection, url = external
    connection.execute(sa.text(f"CREATE ROLE guest LOGIN PASSWORD 'g' {'CREATEROLE' if may_create_roles else ''}"))
    connection.execute(sa.text("CREATE DATABASE theirs OWNER guest"))
    theirs = url.set(username="guest", password="g", database="theirs", drivername="postgresql")
    near = load_settings(home=new.home, postgres_url=theirs.render_as_string(hide_password=False))
    for _ in range(2):
        with ledger_session(near, role="reader") as reader, ledger_session(near) as pipeline:
            with pipeline.begin() as link:
                link.execute(sa.text("INSERT INTO lake.dataset (name) VALUES ('raw.gaia') ON CONFLICT DO NOTHING"))
            assert ask(reader, "SELECT count(*) FROM lake.dataset") == 1
            assert ask(reader, "SELECT current_user") == ("stellar_reader" if may_create_roles else "guest")
    assert not near.postgres.exists()


def test_an_external_server_that_is_down_is_named_without_its_password(settings):
    near = load_settings(home=settings.home, postgres_url="postgresql://me:hush@127.0.0.1:1/x")
    with pytest.raises(LedgerError, match=r"127\.0\.0\.1:1") as refused, ledger_session(near):
        pass
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("url", ["nonsense", "mysql://a@b/c"])
def test_a_url_that_is_none_is_refused(settings, url):
    with (
        pytest.raises(InputError, match="STELLAR_POSTGRES_URL"),
        ledger_session(load_settings(home=settings.home, postgres_url=url)),
    ):
        pass


def test_connections_in_flood_do_not_make_a_live_server_look_dead(settings):
    with ledger_session(settings):
        held = []
        try:
            with pytest.raises(psycopg2.OperationalError):
                for _ in range(server.MAX_CONNECTIONS + 1):
                    held.append(
                        psycopg2.connect(ledger_url(settings).set(drivername="postgresql").render_as_string(False))
                    )
            assert Server(settings).alive()
        finally:
            for connection in held:
                connection.close()
