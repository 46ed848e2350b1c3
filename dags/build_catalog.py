"""
### Build the catalogue

Curates each survey's rows, cross-matches the surveys with epochs respected, and unifies them into
`curated.objects`: one row per source; `curated.photometry` has their magnitudes and fluxes. Fires when any raw dataset
changed, waits for syncs under way so that one run takes all they brought, and ends skipped when nothing is due. A
survey never synced is empty.

**By hand**: after a step's version or a config of `config/catalog/` changed; `dry_run` prints what would be built.

**Resume**: clear the failed task, or trigger again; partitions already built are found, not computed again.

**A failure looks like** a failed `gate`: its log names dataset, expectation and failing rows (`stellar gates` too).
Nothing is promoted then; what was current stays current.
"""

from functools import reduce
from operator import or_

from airflow.sdk import dag

from common.forms import DRY_RUN
from common.names import DAG_DEFAULTS, SYNC_DAGS, Tag, all_raw, curated
from common.tasks import sentence


@dag(
    schedule=reduce(or_, all_raw()),
    params={"dry_run": DRY_RUN},
    tags=[Tag.CATALOG],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def build_catalog() -> None:
    sentence(["curate", "match", "associate", "objects", "photometry"], outlets=curated(), upstream=SYNC_DAGS)


build_catalog()
