"""
### Sync files

Reads survey files on disk (`STELLAR_DATA`): tables by a column map in `include/stellar/config/files/`, spectra and
light curves by reader. A unit is a file, known by path, size and hash; a file that changed supersedes its former
batch. Only in the profile `real`.

**By hand**: after files were added or changed.

**Resume**: trigger again. A file is done in one transaction or not at all.

**A failure looks like** `FILE: row …: FIELD …` in a `fetch` log: which file, row and field, and what to do. A
failed `gate` names the expectation; `stellar gates` shows the failing rows.
"""

from airflow.sdk import dag

from common.forms import DRY_RUN, unit_params
from common.names import DAG_DEFAULTS, Tag, raw, weekly
from common.sync import sync


@dag(
    schedule=weekly("files"),
    params=unit_params() | {"dry_run": DRY_RUN},
    tags=[Tag.SYNC],
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def sync_files() -> None:
    sync("files", outlets=raw("files"))


sync_files()
