import numpy as np
import pyarrow as pa

from made_stars import make_config, make_stars
from stellar.scoring.score import score
from stellar.training.fit import fit


def test_every_column_says_what_it_is_with_its_unit():
    stars = make_stars(400)
    stars = stars.append_column("logg_dex", pa.array(np.linspace(1, 5, len(stars))))
    config = make_config(
        architecture="xgb_multitask",
        params={
            "heads": {"teff_k": {"kind": "quantile"}, "logg_dex": {"kind": "quantile"}},
            "rounds": 10,
            "threads": 1,
        },
        further_targets=[{"name": "logg_dex", "kind": "quantity"}],
    )
    schema = score(fit(config, stars, seed=7).bundle, stars, "test-teff", "0123456789abcdef").schema
    said = {one.name: (one.metadata or {}) for one in schema if one.name not in stars.column_names}
    said |= {name: schema.field(name).metadata for name in ("teff_k", "logg_dex")}
    assert all(about[b"description"] for about in said.values())
    assert len({about[b"description"] for name, about in said.items() if not name.startswith(("teff", "logg"))}) > 5
    assert (said["teff_k_lower"][b"unit"], said["logg_dex_upper"][b"unit"]) == (b"K", b"dex")
    assert said["logg_dex_upper"][b"ucd"] == b"phys.gravity"
    assert b"less unusual" in said["novelty"][b"description"]
