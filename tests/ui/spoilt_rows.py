"""Rows that curation refuses, brought as a sync brings them: what there is to decide about on the page Quality."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as pads

from brought import bring
from stellar.engine.context import Context
from stellar.ledger.connect import ledger_session
from stellar.settings import Settings
from stellar.surveys.base import Fetched, WorkUnit

REASON = "ipd_frac_multi_peak: outside 0..100"  # a percentage of 101: rounded up where it was made, else a sound star
OFFSET_DEG = 30 / 3600  # far enough from every star that it is taken from to be one of its own


def bring_spoilt_rows(settings: Settings, near: tuple[float, float]) -> int:
    """Three copies of a star of Gaia near a position (degrees), each with a fault; the id of the one to release.

    One has an impossible percentage, which a person may overrule, one an impossible error, one has no place on the sky.
    """
    with ledger_session(settings) as engine:
        ctx = Context(settings, engine)
        table = pads.dataset(sorted((settings.lake / "raw" / "gaia" / "batches").glob("*.parquet"))).to_table()
        rows = table.drop_columns(["batch_id"]).to_pylist()
        whole = (one for one in rows if one["parallax"] and one["phot_bp_mean_mag"] and one["phot_rp_mean_mag"])
        star = min(whole, key=lambda one: abs(one["ra"] - near[0]) + abs(one["dec"] - near[1]))
        ids = {one["source_id"] for one in rows}
        new = [number for number in range(star["source_id"] + 1, star["source_id"] + 10) if number not in ids][:3]
        faults = (
            {"ipd_frac_multi_peak": 101, "dec": star["dec"] + OFFSET_DEG},
            {"parallax_error": -star["parallax_error"], "dec": star["dec"] - OFFSET_DEG},
            {"ra": None, "dec": None},
        )
        spoilt = [star | {"source_id": number} | fault for number, fault in zip(new, faults, strict=True)]
        answer = pa.Table.from_pylist(spoilt, table.drop_columns(["batch_id"]).schema)
        query = f"source_id {new[0]} to {new[-1]} of late-rows.csv"
        unit = WorkUnit("gaia", "gaia", "gaiadr3", "late-rows", "3", {}, 3)
        bring(ctx, "gaia", (unit, Fetched(answer, "files", query, {}, "0" * 64)), dataset="gaia")
    return int(new[0])
