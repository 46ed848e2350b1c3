"""The default gate of users' own tables: a few numbers over all rows, counted in bounded memory.

Their results have the form of Great Expectations' own, so that `stellar gates` shows them alike; the library itself,
which would load the rows once more and takes seconds to import, is not needed to compare a count with zero.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
import uuid
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
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
# So many ids are looked at together, one of so many is looked at to tell where they lie, up to so few are searched for
# one by one, and up to so many repeated ones are counted by their values.
_TOGETHER, _SAMPLE, _FEW, _MANY = 4 << 20, 1 << 10, 1 << 14, 1 << 18


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
    kept = KeptIds(catalog, ids, hashes, cache)
    if ids and not _are_bits(catalog.schema, ids):
        import_module("pandas.util")  # now: threads that import it at once can wait for each other for ever
    with ThreadPoolExecutor(max(1, threads)) as pool:
        counted = list(pool.map(kept.count, fresh))
    nulls, outside = (sum(one[k] for one in counted) for k in range(2))
    before = f"the last current snapshot has {previous_rows} rows" if previous_rows else ""
    rules = [
        number_rule("rows", catalog.rows, min_rows, None, before),
        number_rule("misplaced_rows", outside, 0, 0, "rows outside their partition's cell"),
    ]
    failing: list[list[dict[str, Any]]] = [[], []]
    if ids:
        twice, examples = _repeated(kept, fresh, set(checked) - {*hashes.values()}, threads)
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


@dataclass(frozen=True)
class KeptIds:
    """64 bits of each row's id, ascending, by partition: kept in files, each under the hash of the partition's file."""

    catalog: Catalog
    ids: list[str]
    hashes: Mapping[str, str]
    cache: Path

    def count(self, cell: Cell) -> tuple[int, int]:
        """Null ids of a partition, and rows outside its cell; its ids are kept on the way."""
        table = self.catalog.read(cell, [INDEX_COLUMN, *self.ids])
        outside = int((~cell.contains(table[INDEX_COLUMN].to_numpy())).sum())
        if self.ids:
            self._keep(table, self._path(self.hashes[str(cell)]))
        return sum(table[name].null_count for name in self.ids), outside

    def of(self, cell: Cell, low: int = 0, high: int | None = None) -> NDArray[np.uint64]:
        """Those of one partition's ids that are at least `low` and less than `high`."""
        kept = self._opened(cell, low, high)
        return np.array(kept[_between(kept, low, high)])

    def sample(self, cell: Cell) -> NDArray[np.uint64]:
        """Some of one partition's ids, ascending: one of so many."""
        return np.array(self._opened(cell)[::_SAMPLE])

    def of_file(self, sha256: str, low: int = 0, high: int | None = None) -> NDArray[np.uint64]:
        """Those that are kept of a file that need not be there any more; none where nothing is."""
        kept = _open(self._path(sha256), low, high)
        return np.empty(0, np.uint64) if kept is None else np.array(kept[_between(kept, low, high)])

    def _opened(self, cell: Cell, low: int = 0, high: int | None = None) -> NDArray[np.uint64]:
        path = self._path(self.hashes[str(cell)])
        kept = _open(path, low, high)
        return self._keep(self.catalog.read(cell, self.ids), path) if kept is None else kept

    def _path(self, sha256: str) -> Path:
        # by a digest of the columns' names, which may be of any length and hold any character
        names = hashlib.sha256(json.dumps(self.ids).encode()).hexdigest()[:8]
        return self.cache / sha256[:2] / f"{sha256}.{names}.u64"

    def _keep(self, table: pa.Table, path: Path) -> NDArray[np.uint64]:
        found = np.sort(id_hashes(table, self.ids))
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
        found.tofile(draft)
        draft.replace(path)
        return found


def _open(path: Path, low: int = 0, high: int | None = None) -> NDArray[np.uint64] | None:
    """A file of ascending numbers, mapped; nothing of it where none can be in a range; None where it is missing."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if not size or size % 8:
                return None
            first, last = (int.from_bytes(os.pread(file.fileno(), 8, place), sys.byteorder) for place in (0, size - 8))
            if last < low or (high is not None and first >= high):
                return np.empty(0, np.uint64)
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint64)
    except FileNotFoundError:
        return None


def _between(found: NDArray[np.uint64], low: int, high: int | None) -> slice:
    """Place of those of some ascending numbers that are at least `low` and less than `high`."""
    first = int(np.searchsorted(found, np.uint64(low))) if low else 0
    return slice(first, len(found) if high is None else int(np.searchsorted(found, np.uint64(high))))


def id_hashes(table: pa.Table, ids: list[str]) -> NDArray[np.uint64]:
    """64 bits of each row's id: an integer itself, a hash of the text of anything else; equal ones for equal ids."""
    if _are_bits(table.schema, ids):
        return table[ids[0]].fill_null(0).to_numpy().astype(np.uint64)
    from pandas.util import hash_array

    total = np.zeros(len(table), np.uint64)
    for name in ids:
        texts = np.asarray(table[name].cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False), object)
        total = total * np.uint64(31) + hash_array(texts, categorize=False)
    return total


def _repeated(
    kept: KeptIds, fresh: list[Cell], gone: Collection[str], threads: int
) -> tuple[int, list[dict[str, Any]]]:
    """Rows whose id another row has too, and the first of them, where one of the two lies in a fresh partition.

    `gone` are the files of the checked snapshot that are not in this one.
    """
    others = sorted(set(kept.catalog.cells) - set(fresh))

    def suspects(span: tuple[int, int | None]) -> list[NDArray[np.uint64]]:
        new = np.concatenate([np.empty(0, np.uint64), *(kept.of(cell, *span) for cell in fresh)])
        new.sort(kind="stable")  # those of each partition are in order: they are merged, in a fifth of the time
        twice = np.unique(new[1:][new[1:] == new[:-1]])
        known = _known(kept, gone if others else (), *span)
        if len(known):
            new = new[~_has(known, new)]
        return [twice, *(_common(kept, others, new) if others and len(new) else [])]

    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = [one for some in pool.map(suspects, _spans(kept, fresh)) for one in some]
    return _named(kept, np.unique(np.concatenate(found)))


def _spans(kept: KeptIds, fresh: list[Cell]) -> list[tuple[int, int | None]]:
    """Ranges of ids that hold about as many of the fresh ones as are looked at together."""
    sample = np.sort(np.concatenate([np.empty(0, np.uint64), *(kept.sample(cell) for cell in fresh)]))
    bounds = [0, *dict.fromkeys(sample[_TOGETHER // _SAMPLE :: _TOGETHER // _SAMPLE].tolist())]
    return [*zip(bounds, [*bounds[1:], None], strict=True)]


def _known(kept: KeptIds, gone: Collection[str], low: int, high: int | None) -> NDArray[np.uint64]:
    """Ids that no partition that was carried over has: those of the partitions that it was checked with before.

    Only of ids that are their own 64 bits: of others, a carried partition may have one with the same.
    """
    if not _are_bits(kept.catalog.schema, kept.ids):
        return np.empty(0, np.uint64)
    return np.sort(
        np.concatenate([np.empty(0, np.uint64), *(kept.of_file(sha256, low, high) for sha256 in sorted(gone))])
    )


def _common(kept: KeptIds, cells: list[Cell], new: NDArray[np.uint64]) -> Iterator[NDArray[np.uint64]]:
    """Those of some ascending ids that partitions have as well."""
    low, high = int(new[0]), int(new[-1]) + 1
    marks = np.zeros(1 << 22 if len(new) > _FEW else 0, bool)
    marks[_mark(new) if len(marks) else []] = True
    for cell in cells:
        old = kept.of(cell, low, high if high < 1 << 64 else None)
        if not len(old):
            continue
        if len(marks):
            likely = old[marks.take(_mark(old))]
            yield likely[_has(new, likely)]
        else:
            yield new[_has(old, new)]


def _has(ascending: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of some numbers are among others."""
    place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.asarray(ascending[place] == wanted)


def _as_values(table: pa.Table) -> pa.Table:
    """Times as text: what Python holds of them is less than they may say."""
    columns = [one.cast(pa.string()) if pa.types.is_temporal(one.type) else one for one in table.columns]
    return pa.table(columns, names=table.column_names)


def _are_bits(schema: pa.Schema, ids: list[str]) -> bool:
    """Whether an id is its own 64 bits."""
    return len(ids) == 1 and pa.types.is_integer(schema.field(ids[0]).type)


def _mark(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A place among 2**22 for each (multiplicative hashing, Knuth, TAOCP 6.4); int64, since NumPy indexes by that."""
    places = hashes * np.uint64(0x9E3779B97F4A7C15)
    places >>= np.uint64(42)
    return places.view(np.int64)


def _named(kept: KeptIds, suspects: NDArray[np.uint64]) -> tuple[int, list[dict[str, Any]]]:
    """Of ids whose 64 bits are those of others: how many rows really have the same id, and the first of them."""
    if not len(suspects):
        return 0, []
    some = suspects[:_MANY]
    rows = 0
    counts: dict[tuple[Any, ...], int] = {}
    for cell in kept.catalog.cells:
        hashes = kept.of(cell)
        rows += int(_has(suspects, hashes).sum())
        if _has(some, hashes).any():
            table = kept.catalog.read(cell, kept.ids)
            table = _as_values(table.filter(pa.array(_has(some, id_hashes(table, kept.ids)))))
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                counts[row] = counts.get(row, 0) + 1
    repeated = {row: count for row, count in counts.items() if count > 1}
    shown = [dict(zip(kept.ids, row, strict=True)) | {"rows": n} for row, n in list(repeated.items())[:SHOWN_ROWS]]
    # of so many, those that share only the 64 bits do not matter, and all of them would not fit into memory
    return sum(repeated.values()) if len(some) == len(suspects) else rows, shown
