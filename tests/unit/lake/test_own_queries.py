"""Example questions about users' own tables: a profile's home has none, so they are asked of made ones."""

import re

import numpy as np
import pyarrow as pa
import pytest

from made_catalog import stars
from own_tables import sql_over, store_own
from stellar.settings import Settings

OWN = re.compile(r"\bown\.(\w+)")
#: Left rows that have a partner, and how many were in the radius of each.
MATCHED = np.arange(0, 600, 3)
CANDIDATES = np.where(MATCHED % 2, 1, 2).astype(np.int32)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """SQL over `own.stars`, an import, and `own.stars_gaia`, pairs with every third star."""
    home = Settings(home=tmp_path_factory.mktemp("home"), workers=1)
    mine = stars(600).select(["star_id", "ra", "dec", "g_mag"]).rename_columns(["id", "ra", "dec", "g_mag"])
    mine = mine.sort_by("id")
    separation = np.linspace(0.1, 1.0, len(MATCHED))
    left = mine.take(pa.array(MATCHED))
    pairs = pa.table(
        {
            "id_left": left["id"],
            "id_right": left["id"].to_numpy() + 10_000,
            "separation_arcsec": separation,
            "match_probability": 1 / CANDIDATES,
            "n_candidates": CANDIDATES,
            "ra_left": left["ra"],
            "dec_left": left["dec"],
            "runner_up_arcsec": np.where(CANDIDATES > 1, np.where(MATCHED % 4, 2, 5) * separation, np.nan),
        }
    )
    store_own(home.lake / "own/stars/0001", mine, position=("ra", "dec"), id_column="id")
    store_own(
        home.lake / "own/stars_gaia/0001", pairs, position=("ra_left", "dec_left"), id_column=["id_left", "id_right"]
    )
    with sql_over(home, {"own.stars": "own/stars/0001", "own.stars_gaia": "own/stars_gaia/0001"}) as opened:
        yield opened


def questions(root) -> dict[str, str]:
    """Those that name one of the user's own tables."""
    texts = {path.stem: path.read_text() for path in sorted((root / "sql" / "queries").glob("*.sql"))}
    return {name: text for name, text in texts.items() if OWN.search(text)}


def test_every_question_about_own_tables_has_an_answer(lake, root):
    asked = questions(root)
    assert len(asked) >= 2
    for name, text in asked.items():
        assert {f"own.{table}" for table in OWN.findall(text)} <= set(lake.catalogs), name
        assert lake.arrow(text).num_rows > 0, name


def test_ambiguous_matches(lake, root):
    found = lake.arrow(questions(root)["ambiguous_matches"])
    near = MATCHED[(CANDIDATES > 1) & (MATCHED % 4 > 0)]
    assert sorted(found["id_left"].to_pylist()) == near.tolist()
    rivals = found["runner_up_arcsec"].to_numpy() - found["separation_arcsec"].to_numpy()
    assert (np.diff(rivals) >= -1e-4).all()


def test_unmatched_stars(lake, root):
    found = lake.arrow(questions(root)["unmatched_stars"])
    assert found["id"].to_pylist() == sorted(set(range(600)) - set(MATCHED.tolist()))
