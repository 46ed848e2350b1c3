"""
### Sync TESS

Brings the two-minute light curves that are still missing, by sector and target, from MAST (the embedded archive, or
STScI's with `STELLAR_MAST_SERVICE`).

**By hand**: after a new sector's release, or to widen the region.

**Resume**: trigger again. A unit is done in one transaction or not at all; a newer product of a target supersedes
its former one.

**A failure looks like** `mast: unit …: …` in a `fetch` log: a cut or empty file is an error here, even where the
client calls it complete. A failed `gate` names the expectation; `stellar gates` shows the failing rows.
"""

from airflow.sdk import dag

from common.forms import limit_params, region_params
from common.names import DAG_DEFAULTS, Tag, raw, weekly
from common.sync import sync


@dag(
    schedule=weekly("tess"),
    params=region_params("tess") | limit_params("tess"),
    tags=[Tag.SYNC],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def sync_tess() -> None:
    sync("tess", outlets=raw("tess"))


sync_tess()
