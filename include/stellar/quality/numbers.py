"""The default gate of users' own tables: a few numbers over all rows, counted in bounded memory.

Their results have the form of Great Expectations' own, so that `stellar gates` shows them alike; the library itself,
which would load the rows once more and takes seconds to import, is not needed to compare a count with zero.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stellar.lake.read import Catalog
from stellar.sky.healpix import INDEX_COLUMN, Cell

from .expectations import SHOWN_ROWS, Rule, number_rule
from .gate import GateResult

#: Raise it when the gate asks for more or less than before.
VERSION = 2


def run_number_gate(
    dataset: str,
    root: Path,
    ids: list[str],
    hashes: Mapping[str, str],
    *,
    cache: Path,
    checked: Collection[str] = (),
    min_rows: int = 1,
    previous_rows: int | None = None,
    threads: int = 1,
) -> GateResult:
    """Check a catalogue: it has rows, no id is null or given twice, and every row lies in its cell.

    Parameters
    ----------
    dataset : str
    root : Path
        The snapshot's folder.
    ids : list of str
        Columns that identify a row: none may be null, no row may have those of another. Not checked when empty.
    hashes : mapping
        Partition -> SHA-256 of its file.
    cache : Path
        Folder where the ids of a partition are kept, by the hash of its file, so that the next snapshot need not
        read what it shares with this one.
    checked : collection of str
        Hashes of the files of a snapshot that has passed this gate: only their ids are looked at again.
    min_rows : int
        Fewer rows fail.
    previous_rows : int, optional
        Rows of the snapshot that is current now; shown.
    threads : int
        How many partitions are read at once.

    Returns
    -------
    GateResult
    """
    catalog = Catalog(root)
    fresh = [cell for cell in catalog.cells if hashes[str(cell)] not in checked]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        counted = list(pool.map(partial(_count, catalog, ids), fresh))
    nulls, outside = (sum(one[k] for one in counted) for k in range(2))
    before = f"the last current snapshot has {previous_rows} rows" if previous_rows else ""
    rules = [
        number_rule("rows", catalog.rows, min_rows, None, before),
        number_rule("misplaced_rows", outside, 0, 0, "rows outside their partition's cell"),
    ]
    failing: list[list[dict[str, Any]]] = [[], []]
    if ids:
        kept = KeptIds(catalog, ids, hashes, cache)
        twice, examples = _repeated(kept, fresh, threads)
        rules.append(number_rule("null_ids", nulls, 0, 0, f"rows without {', '.join(ids)}"))
        rules.append(number_rule("repeated_ids", twice, 0, 0, f"rows whose {', '.join(ids)} another row has too"))
        failing += [[], examples]
    outcomes = [_as_row(n, rule, shown) for n, (rule, shown) in enumerate(zip(rules, failing, strict=True), start=1)]
    return GateResult(dataset, all(row["passed"] for row in outcomes), catalog.rows, outcomes)


def _as_row(number: int, rule: Rule, failing: list[dict[str, Any]]) -> dict[str, Any]:
    low, high = rule.kwargs["min_value"], rule.kwargs["max_value"]
    passed = (low is None or rule.value >= low) and (high is None or rule.value <= high)
    return {
        "number": number,
        "expectation": rule.type,
        "column_name": rule.column,
        "passed": passed,
        "failing": None if passed else int(rule.value),
        "observed": {"value": rule.value},
        "kwargs": {**rule.kwargs, **({"note": rule.note} if rule.note else {})},
        "failing_rows": [] if passed else failing,
    }


def _count(catalog: Catalog, ids: list[str], cell: Cell) -> tuple[int, int]:
    """Null ids of a partition, and rows outside its cell."""
    table = catalog.read(cell, [INDEX_COLUMN, *ids])
    outside = int((~cell.contains(table[INDEX_COLUMN].to_numpy())).sum())
    return sum(table[name].null_count for name in ids), outside


@dataclass(frozen=True)
class KeptIds:
    """64 bits of each row's id, by partition: kept in files, each under the hash of the partition's own file."""

    catalog: Catalog
    ids: list[str]
    hashes: Mapping[str, str]
    cache: Path

    def of(self, cell: Cell) -> NDArray[np.uint64]:
        """Of one partition's rows, in their order."""
        path = self.cache / self.hashes[str(cell)][:2] / f"{self.hashes[str(cell)]}.{'-'.join(self.ids)}.npy"
        try:
            found: NDArray[np.uint64] = np.load(path, mmap_mode="r")
        except (FileNotFoundError, ValueError):
            found = id_hashes(self.catalog.read(cell, self.ids), self.ids)
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{uuid.uuid4().hex}.npy")
            np.save(draft, found)
            draft.replace(path)
        return found


def id_hashes(table: pa.Table, ids: list[str]) -> NDArray[np.uint64]:
    """64 bits of each row's id: an integer itself, a hash of the text of anything else; equal ones for equal ids."""
    if len(ids) == 1 and pa.types.is_integer(table[ids[0]].type):
        return table[ids[0]].fill_null(0).to_numpy().astype(np.uint64)
    from pandas.util import hash_array

    total = np.zeros(len(table), np.uint64)
    for name in ids:
        texts = np.asarray(table[name].cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False), object)
        total = total * np.uint64(31) + hash_array(texts, categorize=False)
    return total


def _repeated(kept: KeptIds, fresh: list[Cell], threads: int) -> tuple[int, list[dict[str, Any]]]:
    """Rows whose id another row has too, and the first of them, where one of the two lies in a fresh partition."""
    new = np.concatenate([np.empty(0, np.uint64), *(kept.of(cell) for cell in fresh)])
    new.sort()
    suspects = [np.unique(new[1:][new[1:] == new[:-1]])]
    others = sorted(set(kept.catalog.cells) - set(fresh))
    if len(new) and others:
        marks = np.zeros(1 << 22, bool)
        marks[_mark(new)] = True

        def common(cell: Cell) -> NDArray[np.uint64]:
            old = kept.of(cell)
            likely = old[marks.take(_mark(old))]
            place = np.minimum(np.searchsorted(new, likely), len(new) - 1)
            return likely[new[place] == likely]

        with ThreadPoolExecutor(max(1, threads)) as pool:
            suspects += list(pool.map(common, others))
    return _named(kept, np.unique(np.concatenate(suspects)))


def _mark(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A place among 2**22 for each (multiplicative hashing, Knuth, TAOCP 6.4); int64, since NumPy indexes by that."""
    places = hashes * np.uint64(0x9E3779B97F4A7C15)
    places >>= np.uint64(42)
    return places.view(np.int64)


def _named(kept: KeptIds, suspects: NDArray[np.uint64]) -> tuple[int, list[dict[str, Any]]]:
    """Of ids whose 64 bits are those of others: how many rows really have the same id, and the first of them."""
    if not len(suspects):
        return 0, []
    counts: dict[tuple[Any, ...], int] = {}
    for cell in kept.catalog.cells:
        same = np.isin(kept.of(cell), suspects)
        if same.any():
            rows = kept.catalog.read(cell, kept.ids).filter(pa.array(same))
            for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                counts[row] = counts.get(row, 0) + 1
    repeated = {row: count for row, count in counts.items() if count > 1}
    shown = [dict(zip(kept.ids, row, strict=True)) | {"rows": n} for row, n in list(repeated.items())[:SHOWN_ROWS]]
    return sum(repeated.values()), shown
