"""
### Score the catalogue

Scores every object with the current models, partition by partition, with probabilities, prediction sets or
intervals, the model version and flags for input out of range, and puts all scores of an object into one row of
`scores.catalog`. Fires when features or a current model changed, waits
for training under way, and computes only partitions whose features or model changed.

**By hand**: after a rollback of a model; `dry_run` prints what would be scored.

**Resume**: clear the failed task, or trigger again; partitions already scored are found.

**A failure looks like** a failed `gate` (the log names dataset, expectation and failing rows), or an artifact whose
hash is not the registry's.
"""

from functools import reduce
from operator import or_

from airflow.sdk import dag

from common.forms import DRY_RUN
from common.names import DAG_DEFAULTS, Tag, features, models, scores
from common.tasks import sentence


@dag(
    schedule=reduce(or_, features() + models()),
    params={"dry_run": DRY_RUN},
    tags=[Tag.SCORES],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def score_catalog() -> None:
    sentence(["scores", "merge"], outlets=scores(), upstream=["build_catalog", "extract_features", "train_models"])


score_catalog()
