import importlib.util
import subprocess
import sys

import pytest

from stellar import cli
from stellar.errors import InputError, StellarError


def test_every_command_has_its_module():
    missing = [name for name in cli.COMMANDS if importlib.util.find_spec(cli.module_of(name)) is None]
    assert not missing, f"no module for {missing}"


def test_help_lists_every_command_and_imports_none_of_them():
    script = (
        "import sys\nfrom stellar.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in sys.modules if m.startswith('stellar.') and m not in"
        " ('stellar.cli', 'stellar.errors')], [m for m in ('numpy', 'sqlalchemy', 'airflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] []"
    for name in cli.COMMANDS:
        assert f" {name} " in done.stdout, name


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("row 3"), 2), (StellarError("gate"), 1), (KeyboardInterrupt(), 130)]
)
def test_errors_for_people_are_printed_without_a_traceback(monkeypatch, capsys, error, code):
    def fail(**kwargs):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown == ("" if code == 130 else f"error: {error}\n")


def test_an_unknown_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["nonsense"])
    assert ended.value.code == 2


def test_a_command_s_own_help_is_reached(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--help"])
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out
