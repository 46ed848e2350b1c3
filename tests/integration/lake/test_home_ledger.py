"""Searches follow promotions, whether the ledger is asked or what promotions leave in the lake."""

import pytest

import stellar.lake
from integration.engine import small_steps as small
from stellar.engine import engine
from stellar.errors import InputError
from stellar.lake.home import HISTORY

NOWHERE = "postgresql://nobody:x@127.0.0.1:1/stellar"


def test_what_is_current_is_read_from_the_lake_or_asked_of_the_ledger(stars):
    alone = stellar.lake.open(stars.settings.model_copy(update={"postgres_url": NOWHERE}))
    asking = stellar.lake.open(stars.settings, engine=stars.engine)
    center = small.FIELDS["a"]
    before = alone.cone("curated.stars", *center, 3.0)
    assert before.num_rows > 1000 and before.equals(asking.cone("curated.stars", *center, 3.0))
    assert alone.datasets() == asking.datasets() == ["curated.stars", "quarantine.stars", "raw.stars"]
    engine.run(stars, [small.curate_step(limit=15.0)])
    after = alone.cone("curated.stars", *center, 3.0)
    assert 0 < after.num_rows < before.num_rows
    asking.refresh()
    assert after.equals(asking.cone("curated.stars", *center, 3.0))
    star = after["id"][5].as_py()
    assert alone.by_id("curated.stars", [star])["ra"].to_pylist() == [after["ra"][5].as_py()]
    assert alone.by_id("raw.stars", [star]).num_rows >= 1


def test_a_home_without_histories_is_asked_of_its_ledger(stars):
    for path in stars.settings.lake.glob(f"*/*/{HISTORY}"):
        path.unlink()
    lake = stellar.lake.open(stars.settings)
    assert lake.cone("curated.stars", *small.FIELDS["b"], 3.0).num_rows > 1000
    with pytest.raises(InputError, match=r"no current dataset 'curated\.gaia'"):
        lake.cone("curated.gaia", 0, 0, 1)
