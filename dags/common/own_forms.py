"""The forms of the DAGs that make users' own datasets."""

from airflow.sdk import Param

from common.forms import DRY_RUN, RUN, dataset_param

NAME = Param(
    type="string",
    pattern=r"^[a-z][a-z0-9_]*$",
    title="Name",
    section="Result",
    description="Name of the result, own.NAME; of one that exists, it is made anew",
)
PROMOTE = Param(
    True,
    type="boolean",
    title="Promote",
    section=RUN,
    description="Make the result current once its gate is passed; else it stays a candidate",
)


def side_params() -> dict[str, Param]:
    """What may be said of either catalogue of a cross-match."""
    text = {"type": ["null", "string"]}
    names = {"type": ["null", "array"], "items": {"type": "string"}}
    options = {
        "epoch": (text, "Julian year or column (MJD: mjd:COL); positions move where both sides have one"),
        "id": (text, "Column that identifies a row; empty means the dataset's own"),
        "columns": (names, "Columns to keep; empty means all"),
        "sigma": (text, "Error of a position: arcsec, or column (mas:COL)"),
        "pm": (names, "Columns PMRA, PMDEC, and PARALLAX, RV; empty means by their usual names"),
    }
    return {
        f"{option}_{side}": Param(
            None, **kind, title=f"{option} ({side})", section="Columns", description=f"{what} ({side})"
        )
        for option, (kind, what) in options.items()
        for side in ("left", "right")
    }


FILES = "Files or folders, one per line: Parquet, CSV, FITS, VOTable, ECSV, HATS"
COLUMN = {"type": "string", "minLength": 1, "section": "Columns"}
IMPORT = {
    "files": Param(
        type="array", items={"type": "string"}, minItems=1, title="Files", section="Tables", description=FILES
    ),
    "id_column": Param(title="Id", **COLUMN, description="Column that identifies a row: whole numbers or text"),
    "ra": Param("ra", title="RA", **COLUMN, description="Column with the right ascension, degrees"),
    "dec": Param("dec", title="Dec", **COLUMN, description="Column with the declination, degrees"),
    "name": NAME,
    "margin_arcsec": Param(
        10, type="number", minimum=0, title="Margin", section="Result", description="Width of the margins, arcsec"
    ),
    "promote": PROMOTE,
    "dry_run": DRY_RUN,
}

CATALOGUE = "A dataset (NAME means own.NAME), or a HATS folder with a / in its name"
HOW = "Rows that come out: inner: pairs; left: left rows without a partner too; outer: right rows too"
MATCH = {"section": "Match"}
CROSSMATCH = {
    "left": dataset_param(title="Left", section="Catalogues", description=CATALOGUE),
    "right": dataset_param(title="Right", section="Catalogues", description=CATALOGUE),
    "name": NAME,
    "radius_arcsec": Param(
        type="number", exclusiveMinimum=0, title="Radius", **MATCH, description="Largest separation, arcsec"
    ),
    "k": Param(1, type="integer", minimum=1, title="Nearest k", **MATCH, description="Right rows per left row at most"),
    "how": Param("inner", type="string", enum=["inner", "left", "outer"], title="How", **MATCH, description=HOW),
    "mutual": Param(
        False, type="boolean", title="Mutual", **MATCH, description="Only where each is the other's nearest"
    ),
    "min_separation_arcsec": Param(
        0, type="number", minimum=0, title="Nearer not", **MATCH, description="Nearer rows are no candidates, arcsec"
    ),
    **side_params(),
    "promote": PROMOTE,
    "dry_run": DRY_RUN,
}
