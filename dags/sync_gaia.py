"""
### Sync Gaia

Brings the Gaia DR3 sources that are still missing, by ranges of `source_id`, over TAP+ (the embedded archive, or
ESA's with `STELLAR_GAIA_SERVICE`). Ends skipped when the archive has nothing new.

**By hand**: to widen the region, or to go deeper; the parameters name it, and empty ones mean the configured scope.

**Resume**: trigger again. A unit is done in one transaction or not at all; units done are not asked for again.

**A failure looks like** `gaia: unit …: …` in a `fetch` log: the service, the unit and the reason. A run that
brought no row where rows were expected fails too. A failed `gate` names the expectation; `stellar gates` shows the
failing rows.
"""

from airflow.sdk import dag

from common.forms import limit_params, region_params
from common.names import DAG_DEFAULTS, Tag, raw, weekly
from common.sync import sync


@dag(
    schedule=weekly("gaia"),
    params=region_params("gaia") | limit_params("gaia"),
    tags=[Tag.SYNC],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def sync_gaia() -> None:
    sync("gaia", outlets=raw("gaia"))


sync_gaia()
