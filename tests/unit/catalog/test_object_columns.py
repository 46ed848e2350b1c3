"""What the columns of objects are made of, for every profile's surveys, is what the step reads."""

import pytest

from stellar.catalog.objects import objects_step
from stellar.engine.columns import sources_of
from stellar.profile import list_profiles, load_profile


@pytest.mark.parametrize("name", list_profiles())
def test_every_column_of_objects_has_sources_that_the_step_reads(name):
    step = objects_step(load_profile(name))
    for column, sources in step.columns.items():
        for one in sources:
            read = step.inputs[one.role].columns
            assert read is None or one.column in read, f"{column}: {one}"
    assert {"object_id", "ra", "best_survey", "class", "parallax"} <= set(sources_of(step, step.columns))


def test_a_value_keeps_its_expression_and_a_copied_one_has_none():
    step = objects_step(load_profile("simulated"))
    told = sources_of(step, ["parallax", "class"])
    assert ("curated.gaia", "parallax", "") in told["parallax"]
    assert all(how for _, _, how in told["class"])
