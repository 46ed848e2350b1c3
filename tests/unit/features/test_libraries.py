import numpy as np
import pyarrow as pa
import pytest

from stellar.features.libraries import as_spectra

FLUX = [[1.0, 2.0, float("nan"), 4.0], [10.0, 20.0, 30.0]]


def library(**more):
    floats = pa.list_(pa.float64())
    return pa.table({"name": [7, 8], "flux": pa.array(FLUX, floats)} | {k: pa.array(v) for k, v in more.items()})


def test_wavelengths_by_rule_and_errors_to_weights():
    errors = [[0.1, 0.0, 0.1, float("nan")], [1.0, 2.0, -1.0]]
    found = as_spectra(library(loglam0=[3.5, 3.6], dloglam=[1e-3, 1e-2], flux_error=errors), "name", 100.0)
    assert found["spec_id"].to_pylist() == ["7", "8"]
    assert found["loglam"].to_pylist()[1] == pytest.approx([3.6, 3.61, 3.62])
    assert found["ivar"].to_pylist()[0] == pytest.approx([100, 0, 100, 0])
    assert found["ivar"].to_pylist()[1] == pytest.approx([1, 0.25, 0])
    assert [len(row) for row in found["and_mask"].to_pylist()] == [4, 3]


def test_what_the_library_has_is_taken_as_it_is():
    loglam, ivar = [[3.5, 3.6, 3.7, 3.8], [3.5, 3.6, 3.7]], [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]
    found = as_spectra(library(loglam=loglam, ivar=ivar), "name", 100.0)
    assert found["loglam"].to_pylist() == loglam
    assert found["ivar"].to_pylist() == ivar


def test_without_errors_they_are_assumed_and_without_a_rule_there_are_no_wavelengths():
    found = as_spectra(library(loglam0=[3.5, None], dloglam=[1e-3, 1e-3]), "name", 50.0)
    assert found["ivar"].to_pylist()[0] == pytest.approx([625] * 4)  # the median flux is 2: (50 / 2)^2
    assert np.isnan(found["loglam"].to_pylist()[1]).all()
    assert as_spectra(library(loglam0=[3.5, 3.5], dloglam=[1e-3, 1e-3]).slice(0, 0), "name", 50.0).num_rows == 0
