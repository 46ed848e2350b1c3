"""The real files through the catalogue's functions: what is claimed of them, counted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cut_sky import whole
from stellar.catalog import crossmatch as cm
from stellar.catalog.associations import associations_step
from stellar.catalog.crossmatch import Sources, crossmatch_step, match_epochs
from stellar.catalog.curate import curate
from stellar.catalog.objects import objects_step
from stellar.catalog.photometry import photometry_step
from stellar.engine.step import Partition, Step, StepResult
from stellar.features.sed import sed_step
from stellar.profile import Profile, load_curated, load_profile
from stellar.settings import load_settings
from stellar.sky.separation import separation_arcsec
from stellar.surveys.base import Scope
from stellar.surveys.files import open_survey


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("real")


@pytest.fixture(scope="module")
def raw(real_data: Path, profile: Profile) -> dict[str, pa.Table]:
    survey = open_survey(load_settings(data=real_data), profile.model_dump())
    tables: dict[str, list[pa.Table]] = {}
    for unit in survey.plan(Scope(), {}):
        table = survey.fetch(unit).table
        tables.setdefault(unit.dataset, []).append(table.append_column("batch_id", pa.array([unit.unit] * len(table))))
    return {name: pa.concat_tables(parts) for name, parts in tables.items()}


@pytest.fixture(scope="module")
def curated(raw: dict[str, pa.Table], profile: Profile) -> dict[str, StepResult]:
    configs = profile.configs()
    return {c.dataset: curate(raw[c.source], raw[c.source].slice(0, 0), c) for c in configs}


def _run(step: Step, curated: dict[str, StepResult], **more: pa.Table) -> StepResult:
    tables = {role: more[role] if role in more else curated[role].table for role in step.inputs}
    for role, one in step.inputs.items():
        if one.columns:
            tables[role] = tables[role].select([c for c in one.columns if c in tables[role].column_names])
    return step.run(Partition("Norder=0/Npix=0"), whole(step.inputs, tables), step.params)


@pytest.fixture(scope="module")
def matched(curated: dict[str, StepResult], profile: Profile) -> dict[str, StepResult]:
    crossmatch = _run(crossmatch_step(profile), curated)
    associations = _run(associations_step(profile), curated, crossmatch=crossmatch.table)
    objects = _run(objects_step(profile), curated, associations=associations.table)
    return {"crossmatch": crossmatch, "associations": associations, "objects": objects}


def test_every_row_is_accounted_for(raw: dict, curated: dict, matched: dict) -> None:
    for name, result in curated.items():
        assert result.accounting.gap == 0, name
        assert result.accounting.rows_in == len(raw[load_curated(name).source]), name
        assert result.accounting.quarantined == 0, f"{name}: {result.quarantine}"
    assert all(result.accounting.gap == 0 for result in matched.values())
    on_sky = sum(len(r.table) for n, r in curated.items() if load_curated(n).layout == "rows")
    assert matched["associations"].accounting.rows_in == matched["associations"].accounting.rows_out == on_sky


def test_sky_fibres_are_no_targets_and_targets_on_several_plates_are_one(raw: dict, curated: dict) -> None:
    plates, result = raw["sdssv_plates"], curated["sdssv_plates"]
    kinds = pc.utf8_lower(plates["fiber_type"])
    targets = plates.filter(pc.not_equal(kinds, "sky"))
    assert result.accounting.filtered == {"sky_fibre": len(plates) - len(targets)} == {"sky_fibre": 17417}
    assert len(result.table) == len(pc.unique(targets["catalogid"])) == 100_984
    assert result.accounting.merged == len(targets) - len(result.table)
    assert pc.sum(result.table["n_fibres"]).as_py() == len(targets)
    assert set(result.table["fiber_type"].unique().to_pylist()) == {"science", "standard"}


@pytest.mark.parametrize(
    ("dataset", "column", "is_sentinel"),
    [
        ("sdssv_plates", "gmag", lambda v: v == 0),
        ("sdssv_plates", "zmag", lambda v: v == 0),
        ("lamost_parameters", "umag", lambda v: v in (0, 99)),
        ("lamost_parameters", "imag", lambda v: v in (0, 99)),
        ("lamost_parameters", "snrg", lambda v: v == -9999),
        ("linear_targets", "gr", lambda v: abs(v) > 100),
        ("linear_variables", "amplitude_mag", lambda v: v < 0),
        ("lamost_spectra", "sn_r", lambda v: v == 99),
    ],
)
def test_sentinels_are_null(curated: dict, dataset: str, column: str, is_sentinel: Callable[[float], bool]) -> None:
    values = curated[dataset].table[column]
    assert not [v for v in values.drop_null().to_pylist() if is_sentinel(v)]
    assert len(values.drop_null()) > 10, "and measurements stay"


def test_no_curated_number_is_nan_or_infinite_or_a_known_sentinel(curated: dict) -> None:
    for name, result in curated.items():
        for field in result.table.schema:
            if not pa.types.is_floating(field.type):
                continue
            values = result.table[field.name].drop_null().to_numpy()
            assert np.isfinite(values).all(), f"{name}.{field.name}"
            assert not np.isin(values, [-9999.0, -999.0, -99.99, 1e20]).any(), f"{name}.{field.name}"


def test_there_are_more_than_95_000_objects(matched: dict) -> None:
    objects = matched["objects"].table
    assert len(objects) > 95_000
    assert len(pc.unique(objects["object_id"])) == len(objects)
    ids = objects["object_id"].to_pylist()
    assert {i.split("-")[0] for i in ids} >= {"gaia", "gaiadr2", "sdssv", "sdss", "tic", "linear", "lamost", "s82"}


def test_several_signals_of_one_star_are_one_object(curated: dict, matched: dict) -> None:
    signals = curated["tess_eb_catalog"].table
    assert len(signals) == 4584
    objects = matched["associations"].table
    mine = objects.filter(pc.equal(objects["survey"], "tess_eb_catalog"))
    assert len(pc.unique(mine["object_id"])) == len(pc.unique(signals["tess_id"])) == 4578


def test_spectra_without_their_own_digits_are_told_by_plate_night_and_fibre(curated: dict) -> None:
    table = curated["skyserver"].table
    assert len(pc.unique(table["spec_id"])) == len(table) == 10_000
    assert "objid" not in table.column_names and "specobjid" not in table.column_names


def test_true_pairs_of_linear_and_sdss_are_found(curated: dict) -> None:
    table = curated["linear_targets"].table
    names = np.asarray(table["linear_id"].cast(pa.string()).to_pylist(), dtype=str)
    none, own = np.full(len(table), np.nan), np.ones(len(table), bool)
    linear, sdss = (
        Sources(s, names, table[ra].to_numpy(), table[dec].to_numpy(), none, none, none, own)
        for s, ra, dec in (("linear", "ra_linear", "dec_linear"), ("sdss", "ra", "dec"))
    )
    apart = separation_arcsec(linear.ra, linear.dec, sdss.ra, sdss.dec)
    assert np.median(apart) == pytest.approx(0.34, abs=0.02)
    for radius in (1.0, 5.0):
        pairs = match_epochs(linear, sdss, radius, 1.0)
        true = pairs.left == pairs.right
        assert true.sum() == (apart <= radius).sum() - (~true).sum()
        assert (~true).sum() <= 3 and true.sum() / len(table) > (0.96 if radius == 1.0 else 0.998)


def test_linear_variables_are_found_among_the_targets(matched: dict, curated: dict) -> None:
    table = matched["crossmatch"].table
    table = table.filter(pc.equal(table["survey_left"], "linear_targets"))
    pairs = table.filter(pc.equal(table["survey_right"], "linear_variables"))
    assert pairs["id_left"].to_pylist() == pairs["id_right"].to_pylist()
    targets = set(curated["linear_targets"].table["linear_id"].to_pylist())
    shared = targets & set(curated["linear_variables"].table["linear_id"].to_pylist())
    assert len(pairs) == len(shared) > 2000


def test_matches_are_within_their_radius_and_mutual(matched: dict, profile: Profile) -> None:
    table = matched["crossmatch"].table.to_pandas()
    for (left, right), pairs in table.groupby(["survey_left", "survey_right"]):
        assert (pairs["separation_arcsec"] <= profile.matches.radius(left, right)).all()
        assert pairs["id_left"].is_unique and pairs["id_right"].is_unique
    assert table["pair_id"].is_unique
    assert cm.SCHEMA.names == list(table.columns)


@pytest.fixture(scope="module")
def measured(curated: dict[str, StepResult], matched: dict[str, StepResult], profile: Profile) -> StepResult:
    return _run(photometry_step(profile), curated, objects=matched["objects"].table)


def test_every_magnitude_of_every_survey_is_a_row_of_photometry(
    curated: dict, matched: dict, measured: StepResult
) -> None:
    table = measured.table
    assert measured.accounting.gap == 0
    assert pc.all(pc.is_finite(table["flux_jy"])).as_py() and table["flux_jy"].null_count == 0
    keys = table.select(["object_id", "survey", "band"]).group_by(["object_id", "survey", "band"]).aggregate([])
    assert len(keys) == len(table)
    objects = matched["objects"].table
    for survey, column, band in (
        ("gaia_dr3_sample", "phot_bp_mean_mag", "GAIA/GAIA3.Gbp"),
        ("lamost_parameters", "jmag", "2MASS/2MASS.J"),
        ("gd1", "i_mean_psf_mag", "PAN-STARRS/PS1.i"),
        ("sdssv_plates", "rmag", "SLOAN/SDSS.r"),
    ):
        rows, config = curated[survey].table, load_curated(survey)
        members = pc.is_in(rows[config.id].cast(pa.string()), objects[f"{survey}_id"].combine_chunks())
        wanted = pc.sum(pc.and_(members, pc.is_valid(rows[column]))).as_py()
        mine = table.filter(pc.and_(pc.equal(table["survey"], survey), pc.equal(table["band"], band)))
        assert len(mine) == wanted > 0, survey
    # no marker of a missing value is among them
    assert pc.min(table["mag"]).as_py() > 0 and pc.max(table["mag"]).as_py() < 35


def test_gaias_magnitudes_are_gaias_fluxes(raw: dict, measured: StepResult) -> None:
    """Jy of a magnitude are the published electrons per second times one factor, whatever the star."""
    table = measured.table.filter(pc.equal(measured.table["survey"], "gaia_dr3_sample"))
    electrons = {
        str(i): f
        for i, f in zip(
            *(raw["gaia_dr3_sample"][c].to_pylist() for c in ("source_id", "phot_g_mean_flux")), strict=True
        )
    }
    mine = table.filter(pc.equal(table["band"], "GAIA/GAIA3.G"))
    ratio = mine["flux_jy"].to_numpy() / np.array([electrons[i] for i in mine["survey_id"].to_pylist()])
    # 3631 Jy at the AB zero point 25.8010
    assert np.allclose(ratio, 3631 * 10 ** (-0.4 * 25.8010), rtol=2e-4)


def test_files_without_wavenumbers_have_their_parallaxes_corrected_by_the_quasars(
    curated: dict, matched: dict, profile: Profile
) -> None:
    result = _run(sed_step(profile), curated, objects=matched["objects"].table)
    assert result.accounting.gap == 0
    table = result.table.filter(pc.is_valid(result.table["parallax_mas"]))
    assert len(table) > 900 and set(table["parallax_zero_point_source"].to_pylist()) == {"global"}
    difference = pc.subtract(table["parallax_corrected_mas"], table["parallax_mas"]).to_numpy()
    assert np.allclose(difference, 0.017)
    # no file tells of dust, so that nothing is dereddened
    assert result.table["ebv"].null_count == result.table["bp_rp_0"].null_count == len(result.table)
    # brighter than where detectors saturate, by the magnitude that stands in the same row
    bright = pc.less(result.table["sdss_g_mag"], 14.0)
    assert pc.all(result.table["is_saturated"].filter(pc.fill_null(bright, False))).as_py()
