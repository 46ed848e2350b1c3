import pyarrow as pa

from stellar.scoring.merged import merge

OBJECTS = pa.table({"object_id": ["a", "b", "c"], "ra": [1.0, 2.0, 3.0], "dec": [0.0, 0.0, 0.0]})


def test_each_object_has_one_row_with_every_models_answer():
    teff = pa.table({"object_id": ["c", "a"], "ra": [3.0, 1.0], "teff_k": [6000.0, 4000.0], "model": ["m", "m"]})
    kind = pa.table({"object_id": ["b"], "kind": ["RRAB"], "probability": [0.8], "probability_rrab": [0.8]})
    found = merge(OBJECTS, {"scores.teff": teff, "scores.kinds": kind})
    assert found.column_names == ["object_id", "ra", "dec", "teff__teff_k", "kinds__kind", "kinds__probability"]
    assert found["teff__teff_k"].to_pylist() == [4000.0, None, 6000.0]
    assert found["kinds__kind"].to_pylist() == [None, "RRAB", None]


def test_of_several_rows_of_an_object_the_surest_counts():
    spectra = pa.table({
        "spec_id": ["s1", "s2", "s3", "s4"],
        "object_id": ["a", "a", "b", None],
        "type": ["G2", "K5", "M1", "F0"],
        "probability": [0.6, 0.9, 0.3, 1.0],
        "prediction_set": [["G2"], ["K5", "K7"], ["M1"], []],
    })  # fmt: skip
    found = merge(OBJECTS, {"scores.types": spectra})
    assert found["types__type"].to_pylist() == ["K5", "M1", None]
    assert found["types__prediction_set"].to_pylist() == ["K5;K7", "M1", None]
    assert found["types__spec_id"].to_pylist() == ["s2", "s3", None]
    curves = pa.table({"lc_id": ["2", "1"], "object_id": ["a", "a"], "logg": [4.0, 3.0], "logg_width": [0.5, 0.2]})
    assert merge(OBJECTS, {"scores.logg": curves})["logg__logg"].to_pylist() == [3.0, None, None]
    assert merge(OBJECTS, {"scores.logg": curves.slice(0, 0)})["logg__logg"].to_pylist() == [None] * 3
