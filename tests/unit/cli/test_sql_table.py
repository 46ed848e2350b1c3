"""The table that `stellar sql` shows: a narrow terminal costs no column and no digit."""

import duckdb

from stellar.cli.sql import show


class Plain:
    """A connection as `show` takes it, without a lake."""

    def cursor(self, statement):
        return duckdb.connect()


def test_a_narrow_terminal_loses_nothing(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    columns = ", ".join(f"{i} + 37.829167 AS a_rather_long_name_{i:02}" for i in range(12))
    show(Plain(), f"SELECT {columns}, 'gaia-2061002419910738688' AS object_id")
    shown = capsys.readouterr().out
    assert all(f"a_rather_long_name_{i:02}" in shown and f"{i + 37.829167:.8g}" in shown for i in range(12))
    assert "gaia-2061002419910738688" in shown
