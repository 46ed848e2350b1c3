import os
import subprocess
import sys

import pytest

from stellar.cli import timing


def backend(environment):
    code = (
        "from stellar.cli import timing\n"
        "with timing._environment(timing._settings_of_libraries()):\n    timing._load([], [])\n"
        "import os, pyarrow as pa; print(pa.default_memory_pool().backend_name, 'OPENBLAS_NUM_THREADS' in os.environ)"
    )
    given = ("ARROW_DEFAULT_MEMORY_POOL", "OPENBLAS_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in given}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_arrow_and_numpy_share_an_allocator_that_keeps_what_it_has():
    assert backend({}) == "system False"


def test_an_allocator_that_was_chosen_is_kept():
    assert backend({"ARROW_DEFAULT_MEMORY_POOL": "jemalloc"}) == "jemalloc False"


class Server:
    """A use of a server that does not start."""

    let_go = False

    def start(self):
        raise OSError("no room")

    def stop(self):
        self.let_go = True


def test_what_the_start_of_the_ledger_raised_is_raised_where_it_is_waited_for():
    server = Server()
    begun = timing._Start(server, None)
    with pytest.raises(OSError, match="no room"):
        begun.wait()
    assert server.let_go


def test_a_command_without_sql_imports_no_duckdb_and_no_suites():
    code = (
        "import sys; from stellar.cli import crossmatch, timing\n"
        "from stellar.ledger.server import embedded\n"
        "assert 'sqlalchemy' not in sys.modules, 'the server would wait for it'\n"
        "timing._load(['stellar.flow.context', *crossmatch.MODULES], crossmatch.WITHOUT)\n"
        "print(*sorted({'duckdb', 'pandas', 'yaml', 'numba'} & {*sys.modules}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == ""
