"""Profiles and dataset configs: all load, fit each other, and give steps."""

import pytest
from pydantic import ValidationError

from stellar.catalog.associations import associations_step
from stellar.catalog.crossmatch import crossmatch_step
from stellar.catalog.curate import curate_step, schema
from stellar.catalog.objects import load_objects, objects_step
from stellar.catalog.photometry import photometry_step
from stellar.errors import InputError
from stellar.features.labels import labels_step, load_labels
from stellar.features.sed import load_sed, sed_step
from stellar.profile import CATALOG, PROFILES, Column, Curated, load_curated, load_profile
from stellar.surveys.files import FILES, load_source

NAMES = sorted(path.stem for path in PROFILES.glob("*.yaml"))
DATASETS = sorted(path.stem for path in CATALOG.glob("*.yaml"))


def test_the_three_profiles_are_there() -> None:
    assert {"simulated", "tiny", "real"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_gives_its_steps(name: str) -> None:
    profile = load_profile(name)
    steps = [curate_step(c) for c in profile.configs()]
    makers = (crossmatch_step, associations_step, objects_step, photometry_step, sed_step, labels_step)
    steps += [make(profile) for make in makers]
    made = [step.dataset for step in steps]
    assert len(made) == len(set(made))
    assert {"curated.crossmatch", "curated.associations", "curated.objects", "features.sed"} <= set(made)
    for pair in profile.matches.pairs:
        left, right = pair.split(":")
        assert profile.curated.index(left) < profile.curated.index(right), f"{pair} is not in the profile's order"
    for model in profile.models:
        assert model == model.lower()


@pytest.mark.parametrize("name", NAMES)
def test_margins_hold_what_they_must(name: str) -> None:
    profile = load_profile(name)
    reach = profile.matches.reach_arcsec
    assert crossmatch_step(profile).inputs[profile.on_sky()[0].dataset].margin_arcsec >= 2 * reach
    joins = associations_step(profile).inputs
    assert joins["crossmatch"].margin_arcsec >= joins[profile.on_sky()[0].dataset].margin_arcsec + reach


def test_a_change_of_radius_changes_the_step() -> None:
    profile = load_profile("tiny")
    other = profile.model_copy(update={"matches": profile.matches.model_copy(update={"radius_arcsec": 1.5})})
    assert crossmatch_step(profile).params != crossmatch_step(other).params


@pytest.mark.parametrize("name", DATASETS)
def test_a_datasets_expressions_are_sql_that_runs(name: str) -> None:
    import pyarrow as pa

    from stellar.catalog.curate import curate

    config = load_curated(name)
    raw = pa.table({"batch_id": ["b"], "fault": ["made for the test"]})
    result = curate(raw, raw.slice(0, 0), config)
    assert result.accounting.quarantined + result.accounting.filtered_total == 1
    assert schema(config).names == result.table.column_names


def test_real_datasets_read_columns_that_their_files_have() -> None:
    profile = load_profile("real")
    sources = {load_source(name).dataset: load_source(name) for name in profile.files}
    for config in profile.configs():
        known = {c.name for c in sources[config.source].columns}
        read = {c.source or c.name for c in config.columns if not c.expr}
        unknown = read - known
        # the parameters of the SSPP come with SkyServer's table, not with the files
        if config.dataset == "sdss_spectra":
            unknown -= {c for c in unknown if c.endswith(("adop", "adopunc")) or c == "sspp_flag"}
        assert not unknown, f"{config.dataset} reads {unknown}, which raw.{config.source} has not"


def test_every_file_source_is_of_use() -> None:
    # files of any survey are no part of a profile that we keep; predictions read them
    assert {p.stem for p in FILES.glob("*.yaml")} - {"spectra_files"} == set(load_profile("real").files)


def test_what_is_taken_from_datasets_is_there() -> None:
    known = set(DATASETS)
    named = {s.survey for s in load_objects().classes} | {s.survey for v in load_objects().values for s in v.sources}
    named |= {o.survey for v in load_sed().values for o in v.sources}
    named |= {t.survey for target in load_labels().targets for t in target.tellers}
    assert named <= known


def test_an_unknown_profile_is_named_with_the_near_ones() -> None:
    with pytest.raises(InputError, match="did you mean simulated"):
        load_profile("simulate")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": [Column(name="n", type="int64"), Column(name="n", type="int64")]}, "given twice"),
        ({"id": "other"}, "lacks other"),
        ({"object_key": None}, "needs `object_key`"),
    ],
)
def test_a_config_that_does_not_hold_together_is_refused(changes: dict, message: str) -> None:
    columns = [Column(name=n, type="float64") for n in ("ra", "dec", "epoch_yr")]
    good = {"dataset": "d", "source": "d", "id": "ra", "object_key": "'x'", "columns": columns}
    with pytest.raises(ValidationError, match=message):
        Curated(**(good | changes))
