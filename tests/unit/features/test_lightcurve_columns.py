import subprocess
import sys

import pyarrow as pa
import pytest

from stellar.features.lightcurve_columns import BOXES, FEATURES, MINIMA, lightcurve_schema, source_of


@pytest.mark.parametrize("one", FEATURES, ids=lambda one: one.name)
def test_every_feature_says_what_it_is_and_whence(one):
    assert one.description
    assert source_of(one.name)


def test_periods_keep_their_digits():
    schema = lightcurve_schema([], magnitudes=True)
    assert schema.field("period_d").type == pa.float64()
    assert schema.field("mag_median").type == pa.float32()
    assert {*BOXES, *MINIMA} <= set(schema.names)


def test_page_is_up_to_date(root):
    done = subprocess.run(
        [sys.executable, "ops/lightcurves_page.py", "--check"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
