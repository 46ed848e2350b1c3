"""The profile of a dataset, through the command."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from made_lake import bring_stars
from page_checks import read_page
from stellar import cli
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.ledger import snapshots


def stellar(*words):
    done = CliRunner().invoke(cli.app, ["datasets", "profile", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Path(done.output.strip().splitlines()[-1])


def test_a_snapshot_has_a_page_in_the_cache_or_where_it_is_wanted(settings, ledger, monkeypatch, tmp_path):
    monkeypatch.setenv("STELLAR_HOME", str(settings.home))
    monkeypatch.setenv("STELLAR_POSTGRES_URL", settings.postgres_url.get_secret_value())
    bring_stars(Context(settings, ledger, None), 300)
    key = snapshots.current(ledger, "features.made").key
    path = stellar("features.made")
    assert path.is_relative_to(settings.cache) and key[:16] in path.name
    read = read_page(path)
    assert {"sky", "magnitudes", "columns", "distributions"} <= {*read.headings}
    assert key in read.text and "All figures are of all 300 rows" in read.text
    copy = stellar("features.made", "--out", str(tmp_path / "made.html"), "--key", key[:12])
    assert copy.read_bytes() == path.read_bytes()

    labels = stellar("features.labels")
    assert "sky" not in read_page(labels).headings
    assert "spectral_class" in labels.read_text()
    raw = read_page(stellar("raw.stars"))
    assert "sky" in raw.headings and "columns" in raw.headings

    for words, said in (
        (("features.absent",), "no snapshot of it is current"),
        (("features.made", "--key", snapshots.current(ledger, "raw.stars").key), "is a snapshot of raw.stars"),
        (("features.made", "--out", str(tmp_path / "nowhere" / "a.html")), "--out"),
    ):
        with pytest.raises(InputError, match=said):
            stellar(*words)
