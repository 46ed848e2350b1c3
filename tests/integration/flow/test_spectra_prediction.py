"""`stellar predict` on spectra of every layout that is known, good and bad ones together."""

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from made_lake import bring_plain
from made_spectra import BOSS_GRID, apstar, boss_spec, desi_coadd, mwm, seen, table, written
from stellar.engine.context import Context
from stellar.flow.prediction import predict
from stellar.flow.user_files import dialects, features_of
from stellar.photometry.refraction import vacuum_to_air
from stellar.surveys.readers.members import Member
from stellar.training.config import ModelConfig
from stellar.training.train import train

STARS = 120
COLUMNS = ("ew_h_beta_angstrom", "ew_h_gamma_angstrom", "ew_h_delta_angstrom")


def text(depth, seed=0):
    flux, ivar = seen(BOSS_GRID, depth, seed)
    rows = zip(BOSS_GRID, flux, ivar**-0.5, strict=True)
    return "wavelength [Angstrom],flux,error\n" + "".join(f"{w:.4f},{f:.5f},{e:.4f}\n" for w, f, e in rows)


def in_air(depth):
    rows = zip(vacuum_to_air(BOSS_GRID), *seen(BOSS_GRID, depth), strict=True)
    return "# medium: air\n# wave_nm flux ivar\n" + "".join(f"{w / 10:.6f} {f:.5f} {i:.1f}\n" for w, f, i in rows)


def features(data, name="star.csv", told=None):
    data = data.encode() if isinstance(data, str) else data
    known = dialects("spectra", "features.spectra")
    return features_of(Member(name, data), "spectra", "features.spectra", known, told)


def test_a_star_has_the_same_features_in_every_layout():
    """Resampled, split into arms, in air: the bins differ by their noise, and by nothing beyond it."""
    wanted = features(boss_spec(), "spec.fits")
    told = []
    made = {
        "mwm": features(mwm(apogee=True), "mwmStar.fits", told.append),
        "desi": features(desi_coadd((0.6,)), "coadd.fits", told.append),
        "csv": features(text(0.6)),
        "air": features(in_air(0.6), "star.txt"),
    }
    assert [line for line in told if "15101 to 17000" in line], "the infrared part is told with where it lies"
    assert [line for line in told if "sky_fibre" in line]
    flux = np.array(wanted["flux"][0].as_py())
    for name, found in made.items():
        assert len(found) == 1, name
        other, ivar = (np.array(found[column][0].as_py(), float) for column in ("flux", "ivar"))
        good = np.isfinite(flux) & np.isfinite(other)
        assert good.mean() > 0.97, name
        sigma = np.sqrt(1 / np.array(wanted["ivar"][0].as_py())[good] + 1 / ivar[good])
        away = (other - flux)[good] / sigma
        assert np.abs(np.median(away)) < 0.1 and np.std(away) < 1.3, (name, np.std(away))
        for column in COLUMNS:
            assert found[column][0].as_py() == pytest.approx(wanted[column][0].as_py(), rel=0.1), (name, column)


@pytest.fixture
def model(settings, ledger):
    ctx = Context(settings, ledger)
    depths = np.where(np.arange(STARS) % 2, 0.6, 0.15)
    rows = [features(text(depth, seed), f"s{seed}.csv") for seed, depth in enumerate(depths)]
    kinds = pa.array(["deep" if depth > 0.3 else "shallow" for depth in depths])
    table_of = pa.concat_tables(rows).append_column("lines", kinds).drop_columns(["id", "ra", "dec"])
    bring_plain(ctx, "made_spectra", table_of, "spec_id")
    config = ModelConfig.model_validate(
        {
            "name": "lines",
            "description": "A model of the tests' own",
            "family": "spectra",
            "features": "features.made_spectra",
            "example": "spec_id",
            "on_sky": False,
            "inputs": {"labels": "features.made_spectra"},
            "frame": "select * from features",
            "target": {"name": "lines", "kind": "class", "min_count": 5},
            "columns": list(COLUMNS),
            "architecture": "xgb_classifier",
            "params": {"rounds": 20, "learning_rate": 0.3, "max_depth": 2, "threads": 1},
            "split": {"order": 4, "fractions": {"train": 0.4, "validation": 0.2, "calibration": 0.2, "test": 0.2}},
            "policy": [{"metric": "accuracy", "op": ">=", "value": 0.9}],
            "min_examples": 30,
            "attributions": ["made by the tests"],
        }
    )
    assert train(ctx, config).promoted
    return ctx


def test_all_layouts_are_predicted_and_what_is_bad_is_listed(model, tmp_path):
    frame = written([fits.PrimaryHDU(np.zeros((30, 40), "f4")), table("CATALOG", RA=np.zeros(3))])
    files = {
        "boss.fits": boss_spec(0.6),
        "coadd.fits": desi_coadd((0.6, 0.1)),
        "cut.fits": boss_spec()[:20_000],
        "empty.csv": b"",
        "frame.fits": frame,
        "image.bin": bytes(range(128, 256)),
        "infrared.fits": apstar(),
        "mwm.fits": mwm(0.1, apogee=True),
        "one.txt": in_air(0.1).encode(),
        "sky.fits": boss_spec(objtype="SKY"),
        "two.csv": text(0.6).encode(),
        "units.csv": b"wavelength,flux\n380,1\n390,1\n400,1\n",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    made = predict(model, "lines", [str(tmp_path)])
    found = dict(zip(made.table["id"].to_pylist(), made.table["lines"].to_pylist(), strict=True))
    assert found == {
        "boss": "deep",
        "39627652591521181": "deep",
        "39627652591521182": "shallow",
        "54392544-boss-apo": "shallow",
        "one": "shallow",
        "two": "deep",
    }
    reasons = {}
    for where, why in made.refused:
        reasons.setdefault(where.rpartition("/")[2], []).append(why)
    assert set(reasons) == set(files) - {"boss.fits", "one.txt", "two.csv"}
    for name, why in {
        "coadd.fits": "1 of its 3 rows are not used: sky_fibre",
        "cut.fits": "not a healthy FITS file",
        "empty.csv": "no line of numbers",
        "frame.fits": "of no layout of spectra that is known: PRIMARY (image 30 x 40), CATALOG (table of RA)",
        "image.bin": "neither FITS nor text",
        "infrared.fits": "it has 15101 to 17000 Angstrom, of which too little lies in 3850 to 9150",
        "mwm.fits": "1 of its 2 objects are not used: it has 15101 to 17000 Angstrom",
        "sky.fits": "sky_fibre",
        "units.csv": "column wavelength (380 to 400) has no unit",
    }.items():
        assert any(why in told for told in reasons[name]), (name, reasons[name])
