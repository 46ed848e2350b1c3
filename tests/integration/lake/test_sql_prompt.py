"""The prompt of `stellar sql`, typed at through a pseudo terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

PATIENCE_S = 90


class Terminal:
    """A process on a terminal of 100 columns and 40 lines."""

    def __init__(self, arguments, environment):
        self.end, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            arguments,
            stdin=child,
            stdout=child,
            stderr=child,
            env={**environment, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(child)
        self.seen = ""

    def type(self, text):
        os.write(self.end, text.encode())

    def until(self, pattern):
        """Read until something has been said; what was said up to there."""
        give_up = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, plain(self.seen), re.DOTALL)):
            assert time.monotonic() < give_up, f"{pattern!r} was not said: {plain(self.seen)[-3000:]}"
            if select.select([self.end], [], [], 1)[0]:
                data = os.read(self.end, 65536)
                if b"\x1b[6n" in data:  # where is the cursor? a terminal answers
                    os.write(self.end, b"\x1b[1;1R")
                self.seen += data.decode(errors="replace")
        self.seen = ""
        return found

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.end)


def plain(text):
    """Without what moves the cursor and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


@pytest.fixture
def terminal(stars):
    environment = {
        **os.environ,
        "STELLAR_HOME": str(stars.settings.home),
        "STELLAR_POSTGRES_URL": stars.settings.postgres_url.get_secret_value(),
        "PAGER": "cat",
    }
    opened = Terminal([sys.executable, "-m", "stellar", "sql"], environment)
    yield opened
    opened.close()


def test_a_session(terminal):
    terminal.until("sql>")
    terminal.type("select count(*) as stars\rfrom curated.stars;\r")  # Enter within a statement begins a line
    terminal.until(r"stars.*\d{4}.*1 row.*\d\.\d{3} s.*sql>")
    terminal.type("select count(*) as n from range(100000000000);\r")
    time.sleep(2)
    terminal.type("\x03")
    terminal.until("interrupted.*sql>")
    terminal.type("select 6 * 7 as answer;\r")
    terminal.until(r"answer.*42.*sql>")
    terminal.type("select nope from curated.stars;\r")
    terminal.until('error: .*"nope".*sql>')
    terminal.type("\\d curated.stars\r")
    terminal.until(r"column +type +unit +description.*mag +double.*sql>")
    terminal.type("\\snapshots\r")
    terminal.until(r"curated.stars +[0-9a-f]{16} +since \d{4}-.*sql>")
    terminal.type("select id, mag from curated.stars order by id limit 60;\r")  # longer than the terminal: paged
    terminal.until(r"60 rows.*sql>")
    terminal.type("\\plot mag\r")
    terminal.until(r"60 of 60 rows.*sql>")
    terminal.type("\\examples freshness\r")
    terminal.until("How fresh is each dataset")
    terminal.type("\r")
    terminal.until(r"curated\.stars.*sql>")
    terminal.type("\\q\r")
    assert terminal.process.wait(PATIENCE_S) == 0
