"""Associations and objects: chains, shared keys, repeated observations, whatever the cells."""

import numpy as np
import pyarrow as pa
import pytest

from cut_sky import partitions, whole
from stellar.catalog import associations as assoc
from stellar.catalog import crossmatch as cm
from stellar.catalog import objects as obj
from stellar.engine.step import Input, Partition
from stellar.errors import InputError
from stellar.profile import SAME_KEY_ARCSEC, Column, Curated, Matches

ARCSEC = 1 / 3600
MATCHES = Matches(max_motion_arcsec=1.0)


def catalogue(name: str, key: str, repeats: float | None = None) -> Curated:
    columns = [Column(name=n, type="float64") for n in ("ra", "dec", "epoch_yr", "mag")]
    return Curated(
        dataset=name,
        source=name,
        id="n",
        object_key=key,
        repeats_arcsec=repeats,
        columns=[Column(name="n", type="int64"), *columns],
    )


def rows(ra: list[float], dec: list[float], keys: list[str], mag: list[float | None] | None = None) -> pa.Table:
    return pa.table(
        {
            "n": pa.array(range(len(ra)), pa.int64()),
            "object_key": pa.array(keys, pa.string()),
            "ra": pa.array(ra, pa.float64()),
            "dec": pa.array(dec, pa.float64()),
            "epoch_yr": [2016.0] * len(ra),
            "mag": pa.array(mag or [None] * len(ra), pa.float64()),
        }
    )


def wanted(configs: list[Curated]) -> tuple[dict[str, Input], dict[str, Input], float]:
    reach = 2 * MATCHES.reach_arcsec + 1
    chain = len(configs) * (MATCHES.reach_arcsec + SAME_KEY_ARCSEC)
    match = {c.dataset: Input(f"curated.{c.dataset}", reach) for c in configs}
    join = {c.dataset: Input(f"curated.{c.dataset}", chain) for c in configs}
    join["crossmatch"] = Input("curated.crossmatch", chain + MATCHES.reach_arcsec)
    return match, join, chain


def crossmatched(configs: list[Curated], given: dict) -> pa.Table:
    parts = [cm.sources(c, given[c.dataset].rows, given[c.dataset].margin) for c in configs]
    return cm.crossmatch(parts, MATCHES)[0]


def joined(configs: list[Curated], tables: dict[str, pa.Table]) -> pa.Table:
    match, join, _ = wanted(configs)
    crossmatch = crossmatched(configs, whole(match, tables))
    params = {"curated": [c.model_dump(mode="json") for c in configs]}
    result = assoc.run(Partition("Norder=0/Npix=0"), whole(join, {**tables, "crossmatch": crossmatch}), params)
    assert result.accounting.gap == 0
    return result.table


def members(table: pa.Table) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for row in table.to_pylist():
        groups.setdefault(row["object_id"], set()).add(row["association_id"])
    return groups


THREE = [catalogue("a", "'a-' || n"), catalogue("b", "'b-' || n"), catalogue("c", "'c-' || n")]


def test_a_source_follows_the_chain_to_the_best_survey() -> None:
    # c sees only b, which sees a: 0.8 arcsec each, so that c is beyond the radius of a
    tables = {
        "a": rows([10.0], [0.0], ["a-0"]),
        "b": rows([10.0 + 0.8 * ARCSEC], [0.0], ["b-0"]),
        "c": rows([10.0 + 1.6 * ARCSEC, 50.0], [0.0, 0.0], ["c-0", "c-1"]),
    }
    table = joined(THREE, tables)
    assert members(table) == {"a-0": {"a:0", "b:0", "c:0"}, "c-1": {"c:1"}}
    at = {r["association_id"]: (r["ra"], r["separation_arcsec"]) for r in table.to_pylist()}
    assert at["c:0"] == (10.0, pytest.approx(1.6, abs=1e-6)) and at["a:0"] == (10.0, 0.0)


def test_rows_that_share_a_key_are_one_source() -> None:
    # two sectors of a target; only the nearer is matched, the other comes with it
    configs = [catalogue("a", "'a-' || n"), catalogue("tess", "'tic-' || t")]
    tables = {"a": rows([10.0], [0.0], ["a-0"]), "tess": rows([10.0, 10.0], [0.0, 0.0], ["tic-5", "tic-5"])}
    assert members(joined(configs, tables)) == {"a-0": {"a:0", "tess:0", "tess:1"}}
    tables["a"] = rows([20.0], [0.0], ["a-0"])
    assert members(joined(configs, tables)) == {"a-0": {"a:0"}, "tic-5": {"tess:0", "tess:1"}}


def test_a_key_of_a_better_survey_joins_it_without_a_match() -> None:
    configs = [catalogue("photo", "'sdss-' || n"), catalogue("spec", "'sdss-' || best")]
    tables = {"photo": rows([10.0], [0.0], ["sdss-0"]), "spec": rows([10.0 + 3 * ARCSEC], [0.0], ["sdss-0"])}
    assert members(joined(configs, tables)) == {"sdss-0": {"photo:0", "spec:0"}}


def test_repeated_observations_of_one_place_are_one_source() -> None:
    configs = [catalogue("a", "'a-' || n"), catalogue("spec", "'spec-' || n", repeats=1.0)]
    ra = [10.0, 10.0 + 0.3 * ARCSEC, 40.0, 40.0 + 0.2 * ARCSEC, 40.0 + 5 * ARCSEC]
    tables = {"a": rows([10.0], [0.0], ["a-0"]), "spec": rows(ra, [0.0] * 5, [f"spec-{i}" for i in range(5)])}
    expected = {"a-0": {"a:0", "spec:0", "spec:1"}, "spec-2": {"spec:2", "spec:3"}, "spec-4": {"spec:4"}}
    assert members(joined(configs, tables)) == expected


def crowd(n: int, ra0: float, dec0: float) -> dict[str, pa.Table]:
    rng = np.random.default_rng(11)
    ra = (ra0 + rng.normal(0, 60, n) * ARCSEC / max(np.cos(np.radians(dec0)), 0.1)) % 360
    dec = np.clip(dec0 + rng.normal(0, 60, n) * ARCSEC, -90, 90)
    tables = {}
    for name in "abc":
        seen = rng.random(n) < 0.7
        shift = rng.normal(0, 0.4, (2, n)) * ARCSEC
        star = np.flatnonzero(seen)
        keys = [f"{name}-{i}" for i in range(len(star))]
        positions = ((ra + shift[0]) % 360)[star], np.clip(dec + shift[1], -90, 90)[star]
        tables[name] = rows(*(p.tolist() for p in positions), keys, rng.uniform(10, 20, len(star)).tolist())
    return tables


@pytest.mark.parametrize(("ra0", "dec0"), [(0.0, 0.0), (45.0, 0.0), (45.0, 89.98)])
def test_cut_into_cells_there_are_the_same_objects(ra0: float, dec0: float) -> None:
    tables = crowd(200, ra0, dec0)
    match, join, chain = wanted(THREE)
    params = {"curated": [c.model_dump(mode="json") for c in THREE]}
    crossmatch = crossmatched(THREE, whole(match, tables))
    given = {**tables, "crossmatch": crossmatch}
    expected = joined(THREE, tables)
    parts = [assoc.run(p, i, params) for p, i in partitions(12, join, given)]
    assert len(parts) > 3
    together = pa.concat_tables([p.table for p in parts])
    assert together.sort_by("association_id").equals(expected.sort_by("association_id"))
    total = sum((p.accounting for p in parts[1:]), parts[0].accounting)
    assert total.gap == 0 and total.rows_in == sum(map(len, tables.values()))
    assert sum(len(m) > 1 for m in members(expected).values()) > 50

    config = obj.ObjectsConfig.model_validate(
        {"classes": [], "values": [{"name": "mag", "from": [{"survey": s, "expr": "mag"} for s in "bac"]}]}
    )
    unify = {"associations": Input("curated.associations")}
    unify |= {c.dataset: Input(f"curated.{c.dataset}", chain) for c in THREE}
    step_params = {"objects": config.model_dump(mode="json", by_alias=True), **params}
    given = {**tables, "associations": expected}
    one = obj.run(Partition("Norder=0/Npix=0"), whole(unify, given), step_params)
    parts = [obj.run(p, i, step_params) for p, i in partitions(12, unify, given)]
    together = pa.concat_tables([p.table for p in parts])
    assert together.sort_by("object_id").equals(one.table.sort_by("object_id"))
    assert one.accounting.gap == 0 and one.accounting.merged == len(expected) - len(members(expected))
    assert one.table["object_id"].to_pylist() == sorted(members(expected))


def test_an_object_shows_its_members_and_takes_the_first_value_that_there_is() -> None:
    configs = [catalogue("a", "'a-' || n"), catalogue("b", "'b-' || n"), catalogue("c", "'c-' || n", repeats=1.0)]
    tables = {
        "a": rows([10.0], [0.0], ["a-0"], [None]),
        "b": rows([10.0 + 0.1 * ARCSEC, 30.0], [0.0, 0.0], ["b-0", "b-1"], [15.0, 16.0]),
        "c": rows([10.0 + 0.4 * ARCSEC, 10.0 + 0.2 * ARCSEC], [0.0, 0.0], ["c-0", "c-1"], [17.0, 18.0]),
    }
    config = obj.ObjectsConfig.model_validate(
        {
            "classes": [{"survey": "c", "expr": "case when mag > 17.5 then 'STAR' end"}],
            "values": [{"name": "mag", "from": [{"survey": s, "expr": "mag"} for s in "abc"]}],
        }
    )
    evaluated = {name: obj._evaluated(table, name, config) for name, table in tables.items()}
    table, accounting = obj.unify(joined(configs, tables), evaluated, configs, config)
    first, second = table.to_pylist()
    assert (first["object_id"], first["best_survey"], first["n_sources"], first["mag"]) == ("a-0", "a", 4, 15.0)
    assert (first["a_id"], first["b_id"], first["c_id"], first["n_c"]) == ("0", "0", "1", 2), "the nearest is shown"
    assert first["class"] == "STAR" and second["class"] is None
    assert (second["object_id"], second["a_id"], second["n_a"], second["mag"]) == ("b-1", None, 0, 16.0)
    assert accounting.rows_in == 5 and accounting.merged == 3


def test_associations_of_other_tables_are_refused() -> None:
    tables = {"a": rows([10.0], [0.0], ["a-0"]), "b": rows([], [], []), "c": rows([], [], [])}
    table = joined(THREE, tables)
    other = {"a": rows([10.0, 11.0], [0.0, 0.0], ["a-0", "a-1"]).slice(1)}
    with pytest.raises(InputError, match="build the associations again"):
        obj.unify(table, other, THREE, obj.ObjectsConfig(classes=[], values=[]))
