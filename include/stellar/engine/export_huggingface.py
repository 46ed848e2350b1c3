"""A snapshot in the layout of the Hub's dataset repositories: a card with metadata, and Parquet files of one split.

Metadata: https://huggingface.co/docs/hub/datasets-cards and the `dataset_info` of the library `datasets`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from stellar import __version__
from stellar.lake.read import Catalog
from stellar.lake.schema import describe
from stellar.ledger.snapshots import Snapshot
from stellar.licences import FILE as LICENCE_FILE
from stellar.licences import licence_text, load_licences
from stellar.registry.manifest import DATASET_KIND, write_manifest

SPLIT = "train"  # the one split of a dataset that is not divided, as the Hub calls it
_SIZES = (("n<1K", 1e3), ("1K<n<10K", 1e4), ("10K<n<100K", 1e5), ("100K<n<1M", 1e6), ("1M<n<10M", 1e7),
          ("10M<n<100M", 1e8), ("100M<n<1B", 1e9))  # fmt: skip
_DTYPES = {pa.float16(): "float16", pa.float32(): "float32", pa.float64(): "float64", pa.date32(): "date32",
           pa.date64(): "date64", pa.null(): "null"}  # fmt: skip


def write_huggingface(
    folder: Path,
    snapshot: Snapshot,
    catalog: Catalog,
    partitions: Sequence[Mapping[str, Any]],
    sources: Sequence[Mapping[str, Any]],
    copy: Callable[[Mapping[str, Any], Path], None],
) -> None:
    """Write a snapshot's card, licence, files and manifest into an empty folder.

    Parameters
    ----------
    partitions : sequence of mapping
        Those with rows.
    sources : sequence of mapping
        As `stellar.ledger.lineage.sources_of` gives them.
    copy : callable
        Called as (partition, target); checks the file's hash.
    """
    files = [folder / "data" / f"{SPLIT}-{k:05d}-of-{len(partitions):05d}.parquet" for k in range(len(partitions))]
    for one, target in zip(partitions, files, strict=True):
        copy(one, target)
    if not files:  # a reader must learn the columns from somewhere
        files = [folder / "data" / f"{SPLIT}-00000-of-00001.parquet"]
        files[0].parent.mkdir()
        pq.write_table(catalog.file_schema.empty_table(), files[0])
    schema = pq.read_schema(files[0])
    own = "The rows are those of the publishers below, selected, joined and derived from; their terms hold for them."
    (folder / LICENCE_FILE).write_text(licence_text(sources, own), encoding="utf-8")
    about = _metadata(snapshot, schema, files, sources)
    head = f"---\n{yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)}---\n\n"
    (folder / "README.md").write_text(head + _body(snapshot, schema, sources), encoding="utf-8")
    said = {
        "kind": DATASET_KIND,
        "dataset": snapshot.dataset,
        "snapshot": snapshot.key,
        "content_hash": snapshot.content_hash,
    }
    write_manifest(folder, {**said, "rows": snapshot.rows, "platform_version": __version__})


def feature(column: pa.Field) -> dict[str, Any]:
    """A column as `dataset_info` lists it."""
    return {"name": column.name, **_typed(column.type)}


def _typed(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _typed(kind.value_type)
        length = {"length": kind.list_size} if pa.types.is_fixed_size_list(kind) else {}
        return {"sequence": inner.get("dtype", inner), **length}
    if pa.types.is_struct(kind):
        return {"struct": [feature(kind.field(k)) for k in range(kind.num_fields)]}
    return {"dtype": _DTYPES.get(kind, str(kind))}


def _metadata(
    snapshot: Snapshot, schema: pa.Schema, files: Sequence[Path], sources: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    rows = snapshot.rows or 0
    footers = [pq.read_metadata(file) for file in files]
    plain = sum(one.row_group(k).total_byte_size for one in footers for k in range(one.num_row_groups))
    simulated = any(one.get("simulated") for one in sources)
    return {
        "pretty_name": snapshot.dataset,
        "license": "other",
        "license_name": "terms-of-the-surveys",
        "license_link": LICENCE_FILE,
        "tags": ["astronomy", "stars", *(["simulated"] if simulated else [])],
        "size_categories": [next((name for name, limit in _SIZES if rows < limit), "n>1B")],
        "configs": [{"config_name": "default", "data_files": [{"split": SPLIT, "path": f"data/{SPLIT}-*"}]}],
        "dataset_info": {
            "features": [feature(column) for column in schema],
            "splits": [{"name": SPLIT, "num_bytes": plain, "num_examples": rows}],
            "download_size": sum(file.stat().st_size for file in files),
            "dataset_size": plain,
        },
    }


def _body(snapshot: Snapshot, schema: pa.Schema, sources: Sequence[Mapping[str, Any]]) -> str:
    terms, unknown = load_licences().of(sources)
    lines = [
        f"# {snapshot.dataset}",
        "",
        f"{snapshot.rows:,} rows, snapshot `{snapshot.key}` of the Stellar Platform {__version__}. The key is the hash "
        "of what it was made from: the same sources and steps give the same rows.",
        "",
        "```python",
        "import datasets",
        "",
        'rows = datasets.load_dataset("parquet", data_files="data/*.parquet", split="train")',
        "```",
        "",
        "The one split holds all rows. Which star a model learned from and which it was tested on is told by "
        "`bundle/examples.parquet` of the model.",
        "",
        "## Columns",
        "",
        "| column | type | unit | UCD | |",
        "|---|---|---|---|---|",
        *(
            "| " + " | ".join(_cell(one[key]) for key in ("name", "type", "unit", "ucd", "description")) + " |"
            for one in describe(schema)
        ),
        "",
        "## Where it came from",
        "",
    ]
    if any(one.get("simulated") for one in sources):
        lines += ["**Simulated** by the platform's embedded archive, not measured.", ""]
    if sources:
        lines += ["| survey | release | dataset | batches | rows |", "|---|---|---|---|---|"]
        header = ("survey", "release", "dataset", "batches", "rows")
        lines += ["| " + " | ".join(_cell(one[key]) for key in header) + " |" for one in sources]
    lines += ["", f"## Licence and citation\n\nWhole texts: [{LICENCE_FILE}]({LICENCE_FILE}).", ""]
    for one in terms.values():
        cited = f" Cite {'; '.join(one.cite)}." if one.cite else ""
        lines.append(f"- {one.title}: {one.licence.strip()} (<{one.url}>).{cited}")
    if unknown or not sources:
        lines.append(f"- Of {', '.join(unknown) or 'its rows'} no terms are on record: ask whoever brought them.")
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
