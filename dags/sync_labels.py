"""
### Sync labels

Brings object types and spectral types from SIMBAD's TAP service, by object. Labels are a dataset of their own: when
they change, `train_models` follows.

**By hand**: to widen the region.

**Resume**: trigger again. A unit is done in one transaction or not at all.

**A failure looks like** `simbad: unit …: …` in a `fetch` log; an OVERFLOW in the answer is an error, not a short
list. A failed `gate` names the expectation; `stellar gates` shows the failing rows.
"""

from airflow.sdk import dag

from common.forms import limit_params, region_params
from common.names import DAG_DEFAULTS, Tag, raw, weekly
from common.sync import sync


@dag(
    schedule=weekly("labels"),
    params=region_params("labels") | limit_params("labels", magnitude=False),
    tags=[Tag.SYNC],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def sync_labels() -> None:
    sync("labels", outlets=raw("labels"))


sync_labels()
