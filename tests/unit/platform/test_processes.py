import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from stellar.platform import processes
from stellar.platform.processes import Child
from stellar.settings import load_settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# a parent with a child in a session of its own, as Airflow's task runners are
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def child(tmp_path, command, settings=None) -> Child:
    environment = dict(os.environ) | (processes.mark(settings) if settings else {})
    return Child("part", command, environment, tmp_path / "part.log", tmp_path)


def wait_for(condition, seconds=5.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_output_goes_to_the_log_and_the_end_is_noticed(tmp_path):
    part = child(tmp_path, [sys.executable, "-c", "print('hello')"])
    part.start()
    wait_for(lambda: not part.is_running())
    assert part.log.read_text() == "hello\n"


def test_the_wait_doubles_with_quick_deaths_and_begins_anew_after_a_steady_time(tmp_path):
    part = child(tmp_path, SLEEP)
    part.started_at = time.monotonic()
    assert [part.note_end() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    part.started_at = time.monotonic() - 2 * Child.STEADY_AFTER_S
    assert part.note_end() == 0.5
    assert part.restarts == 9


def test_ending_a_part_ends_what_it_started_in_other_sessions(tmp_path):
    part = child(tmp_path, [sys.executable, "-c", FAMILY])
    part.start()
    wait_for(lambda: part.log.exists() and part.log.read_text().strip())
    grandchild = int(part.log.read_text())
    processes.end_group(part)
    assert not part.is_running()
    wait_for(lambda: is_gone(grandchild))


def test_a_part_dies_with_the_process_that_started_it(tmp_path):
    starter = """
import os, sys
from pathlib import Path
from stellar.platform.processes import Child
command = [sys.executable, "-c", "import time; time.sleep(60)"]
part = Child("part", command, dict(os.environ), Path("part.log"), Path("."))
part.start()
print(part.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", starter], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: is_gone(int(done.stdout)))


def test_leftovers_of_a_home_are_found_with_all_descendants_and_no_strangers(tmp_path):
    ours, other = load_settings(home=tmp_path / "ours"), load_settings(home=tmp_path / "other")
    family = child(tmp_path, [sys.executable, "-c", FAMILY], ours)
    stranger = child(tmp_path, SLEEP, other)
    family.start()
    stranger.start()
    try:
        wait_for(lambda: family.log.read_text().strip())
        grandchild = int(family.log.read_text())
        wait_for(lambda: {p.pid for p in processes.leftovers(ours)} == {family.pid, grandchild})
        processes.end_all(processes.leftovers(ours), patience_s=1)
        wait_for(lambda: is_gone(grandchild))
        assert stranger.is_running()
    finally:
        processes.end_group(family)
        processes.end_group(stranger)


@pytest.mark.parametrize("patience", [0, 0.5])
def test_what_ignores_the_polite_signal_is_killed(tmp_path, patience):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    part = child(tmp_path, [sys.executable, "-c", stubborn])
    part.start()
    wait_for(lambda: part.log.read_text().strip())
    processes.end_all([psutil.Process(part.pid)], patience_s=patience)
    wait_for(lambda: not part.is_running())
