"""
### Sync SDSS

Brings SDSS photometry (SkyServer SQL) and spectra with their pipeline parameters (SkyServer and SAS FITS files)
that are still missing: by region, and by plate and MJD.

**By hand**: to widen the region, or to bring another release.

**Resume**: trigger again. A plate is done in one transaction or not at all.

**A failure looks like** `sdss: unit …: …` in a `fetch` log. A spectrum whose FITS checksum is wrong fails its unit;
retrying fetches it anew. A failed `gate` names the expectation; `stellar gates` shows the failing rows.
"""

from airflow.sdk import dag

from common.forms import limit_params, region_params
from common.names import DAG_DEFAULTS, Tag, raw, weekly
from common.sync import sync


@dag(
    schedule=weekly("sdss"),
    params=region_params("sdss") | limit_params("sdss"),
    tags=[Tag.SYNC],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def sync_sdss() -> None:
    sync("sdss", outlets=raw("sdss"))


sync_sdss()
