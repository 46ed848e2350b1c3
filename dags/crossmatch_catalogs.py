"""
### Cross-match two catalogues

For each row of LEFT its nearest row of RIGHT within the radius; the pairs become a dataset of their own, `own.NAME`.
What `stellar crossmatch` does, on Airflow's workers: partitions whose inputs did not change are carried over.

**By hand**: trigger it with both catalogues, a radius and a name; again after one of them changed.

**Resume**: clear the failed task, or trigger again; partitions already built are found.

**A failure looks like** a `request` that says what is wrong with a catalogue, a column or a margin and what to do, or
a failed `gate`, whose log names what failed.
"""

from airflow.sdk import Param, dag

from common.names import DAG_DEFAULTS, DRY_RUN, Tag
from common.own import NAME, PROMOTE, own_dataset, side_params

CATALOGUE = "A dataset (NAME means own.NAME), or a HATS folder with a / in its name"
HOW = "Rows that come out: inner: pairs; left: left rows without a partner too; outer: right rows too"
PARAMS = {
    "left": Param(type="string", minLength=1, description=CATALOGUE),
    "right": Param(type="string", minLength=1, description=CATALOGUE),
    "name": NAME,
    "radius_arcsec": Param(type="number", exclusiveMinimum=0, description="Largest separation, arcsec"),
    "k": Param(1, type="integer", minimum=1, description="How many nearest right rows a left row gets at most"),
    "how": Param("inner", type="string", enum=["inner", "left", "outer"], description=HOW),
    "mutual": Param(False, type="boolean", description="Only where the left row is the right one's nearest too"),
    "min_separation_arcsec": Param(0, type="number", minimum=0, description="Nearer rows are no candidates, arcsec"),
    **side_params(),
    "promote": PROMOTE,
    "dry_run": DRY_RUN,
}


@dag(schedule=None, params=PARAMS, tags=[Tag.CATALOG], doc_md=__doc__, **DAG_DEFAULTS)
def crossmatch_catalogs() -> None:
    own_dataset("crossmatch")


crossmatch_catalogs()
