"""
### Extract features

From the curated catalogue: photometric features of each object, continuum-normalised spectra, light-curve features,
all with errors; and the labels joined to objects. Fires when any curated dataset changed.

**By hand**: after a feature's version changed; `dry_run` prints what would be built.

**Resume**: clear the failed task, or trigger again; partitions already built are found, not computed again.

**A failure looks like** a failed `gate` (the log names dataset, expectation and failing rows), or a `build` that
names the partition it was at.
"""

from functools import reduce
from operator import or_

from airflow.sdk import dag

from common.forms import DRY_RUN
from common.names import DAG_DEFAULTS, Tag, assets, curated, features
from common.tasks import sentence


@dag(
    schedule=reduce(or_, curated()),
    params={"dry_run": DRY_RUN},
    tags=[Tag.FEATURES],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def extract_features() -> None:
    sentence(["features", "labels"], outlets=features() + assets("features", "labels"), upstream=["build_catalog"])


extract_features()
