"""Predictions for a user's own files: spectra and light curves of any known dialect, tables of features, datasets.

A file goes the way that the lake's rows go, reader, curation, features, so that a model sees of it what it saw of its
training examples. One that cannot be used is told with the reason, and the others are done.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.flow.user_files import CuratedFile, Dialect, curated_file, curves_together, dialects, features_of_rows
from stellar.lake.sql import connect
from stellar.registry.bundle import Bundle
from stellar.registry.feature_tables import Predictions, predictions, tables_of_features, text_of, with_id
from stellar.registry.store import ArtifactStore
from stellar.registry.versions import Resolved, resolve
from stellar.surveys.readers.members import members

# bytes of one file of spectra or of a light curve; what is larger is something else: DESI's have 500 spectra each, and
# matrices of resolution that are most of a file
LARGEST = 1 << 30
# Files of light curves whose features are made together, and bytes of their curated rows at most
TOGETHER, TOGETHER_BYTES = 32, 64 << 20
MOST_AT_ONCE = 4  # times so many, side by side; a curve's periodogram may take 800 MB
AHEAD_BYTES = 512 << 20  # curated rows whose features are not made yet, but for one file
Progress = Callable[[str, int, int], None]
_Featured = tuple[list[pa.Table], list[tuple[str, str]]]  # rows; where, and why it or a part was left out


def predict(
    ctx: Context,
    model: str,
    inputs: Sequence[str],
    progress: Progress | None = None,
    *,
    out: Path | None = None,
    keep: Callable[[pa.Table], None] | None = None,
) -> Predictions:
    """Predict for every object of some inputs.

    Parameters
    ----------
    model : str
        ``MODEL``, ``MODEL@ALIAS``, ``MODEL@NUMBER`` or ``MODEL@KEY``.
    inputs : sequence of str
        Files, folders of files, tar or zip archives of them, tables of features, datasets' names.
    progress : callable, optional
        Called as (what, inputs done, inputs).
    out : Path, optional
        A file that is no input, though a folder of the inputs may hold it: where the predictions go.
    keep : callable, optional
        Called with each batch of predictions, which the result's table then does not hold.

    Returns
    -------
    Predictions
        Its table begins with `id`: the id column of a table or dataset; the name without ending of a file of one
        spectrum or curve, the survey's own id where a file holds several. It ends with `file`: where the row's object
        was found.

    Raises
    ------
    InputError
        When the model is not there, or nothing of the inputs can be used; with the reasons.
    """
    found: Resolved = resolve(ctx.engine, model)
    version = found.version
    bundle = Bundle.load(ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256))
    made = Predictions(version, found.warning)
    family, features = version.config["family"], version.config["features"]
    reader = _Reader(bundle, family, dialects(family, features), made.refused)
    sources = [one for given in inputs for one in _listed(ctx, given, bundle, out)]
    rows = reader.rows(sources, progress or (lambda what, done, total: None))
    for part in predictions(bundle, rows, version.key, lambda where, why: made.refused.append((where, why))):
        made.add(part, keep)
    made.check()
    return made


class _Part(NamedTuple):
    """Rows of an input that can be predicted, or the file of it that they are still to be made of."""

    source: int  # number of the input
    where: str
    rows: pa.Table | None = None
    file: CuratedFile | None = None

    @property
    def size(self) -> int:
        """Bytes that wait for their features."""
        return self.file.table.nbytes if self.file else 0


@dataclass(frozen=True)
class _Reader:
    """Feature rows of files, in their order; what cannot be used goes to `refused`, with the reason."""

    bundle: Bundle
    family: str
    known: Sequence[Dialect]
    refused: list[tuple[str, str]]

    def rows(self, sources: Sequence[Path | pa.Table], tell: Progress) -> Iterator[pa.Table]:
        """Rows of each source in turn, with `id` and `file`; some are made ahead, side by side."""
        cores = min(len(os.sched_getaffinity(0)), MOST_AT_ONCE)
        ahead: deque[tuple[list[_Part], Future[_Featured]]] = deque()

        def first() -> list[pa.Table]:
            group, future = ahead.popleft()
            rows, told = future.result()
            self.refused.extend(told)
            tell("predict", group[0].source, len(sources))
            return rows

        pool = ThreadPoolExecutor(cores)
        try:
            for group in self._grouped(self._read(sources)):
                ahead.append((group, pool.submit(self._featured, group)))
                while len(ahead) > cores or (len(ahead) > 1 and sum(_size(one) for one, _ in ahead) > AHEAD_BYTES):
                    yield from first()
            while ahead:
                yield from first()
        finally:
            pool.shutdown(cancel_futures=True)
        tell("predict", len(sources), len(sources))

    def _read(self, sources: Sequence[Path | pa.Table]) -> Iterator[_Part]:
        for number, source in enumerate(sources):
            if isinstance(source, pa.Table):
                yield _Part(number, "", source)
                continue
            try:
                yield from self._of(number, source)
            except Exception as fault:  # of a damaged or hostile file anything may come, and the others are done
                self.refused.append(_refusal(text_of(source), fault))

    def _of(self, number: int, path: Path) -> Iterator[_Part]:
        is_of_curated = self.bundle.meaning.features.startswith("curated.")
        tables = tables_of_features(path, self.bundle, is_of_curated=is_of_curated)
        if tables is not None:
            yield from (_Part(number, text_of(path), table) for table in tables)
        elif not self.known:
            read = ", ".join(sorted(self.bundle.reads))
            raise InputError(f"it is no table (.parquet, .csv) that has the columns which the model reads: {read}")
        else:
            yield from self._members(number, path)

    def _members(self, number: int, path: Path) -> Iterator[_Part]:
        if path.stat().st_size > LARGEST and path.suffix.lower() not in (".tar", ".zip", ".gz", ".tgz"):
            raise InputError(f"it has more than {LARGEST >> 20} MiB; files of spectra and light curves have not")
        is_empty = True

        def unread(inside: str, why: str) -> None:
            nonlocal is_empty
            is_empty = False
            self.refused.append((f"{text_of(path)}: {text_of(inside)}", why))

        for member in members(path, limit=LARGEST, refuse=unread):
            is_empty = False
            where = f"{text_of(path)}: {text_of(member.inside)}" if member.inside else text_of(path)
            try:
                file = curated_file(
                    member,
                    self.family,
                    self.bundle.meaning.features,
                    self.known,
                    lambda why, where=where: self.refused.append((where, why)),
                )
            except Exception as fault:  # as above
                self.refused.append(_refusal(where, fault))
            else:
                yield _Part(number, where, file=file)
        if is_empty:
            raise InputError("there is no file in it")

    def _grouped(self, parts: Iterator[_Part]) -> Iterator[list[_Part]]:
        """Parts in their order, those together whose features are made together."""
        most = TOGETHER if self.family == "lightcurves" else 1
        group: list[_Part] = []
        for part in parts:
            is_alike = group and part.file and group[0].file and part.file.config is group[0].file.config
            if group and (not is_alike or len(group) == most or _size(group) > TOGETHER_BYTES):
                yield group
                group = []
            group.append(part)
        if group:
            yield group

    def _featured(self, group: list[_Part]) -> _Featured:
        """Rows of a group's parts, and what is to be told of its files."""
        found: list[pa.Table] = []
        told: list[tuple[str, str]] = []
        for part, rows in zip(group, self._together(group), strict=True):
            try:
                if rows is None and part.file:
                    rows = features_of_rows(
                        part.file, self.family, lambda why, where=part.where: told.append((where, why))
                    )
                found.append(self._as_trained(rows, part))
            except Exception as fault:  # as above
                told.append(_refusal(part.where, fault))
        return found, told

    def _together(self, group: list[_Part]) -> list[pa.Table | None]:
        files = [part.file for part in group if part.file]
        if len(files) > 1 and not files[0].is_asked_for:
            with suppress(Exception):  # one of them spoils it: each is tried alone
                return curves_together(files)
        return [part.rows for part in group]

    def _as_trained(self, rows: pa.Table, part: _Part) -> pa.Table:
        """Rows with their `file`, that have what the model was trained with: fluxes and magnitudes do not all."""
        if not part.file:
            return rows
        if lacking := sorted({*self.bundle.reads} - {*rows.column_names}):
            raise InputError(f"its features have no {', '.join(lacking)}, which the model was trained with")
        return rows.append_column("file", pa.array([part.where] * len(rows), pa.string()))


def _size(group: Sequence[_Part]) -> int:
    return sum(part.size for part in group)


def _refusal(where: str, fault: Exception) -> tuple[str, str]:
    text = str(fault) if isinstance(fault, InputError) else f"cannot be read: {type(fault).__name__}: {fault}"
    return where, text.removeprefix(f"{where}: ")


def _listed(ctx: Context, given: str, bundle: Bundle, out: Path | None) -> list[Path | pa.Table]:
    """The files of an input, or a dataset's rows."""
    path = Path(given)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as fault:
        raise InputError(f"{given[:80]}: {fault.strerror}") from None
    if is_folder:
        files = sorted(
            one for one in path.rglob("*") if one.is_file() and not (out and out.exists() and one.samefile(out))
        )
        if not files:
            raise InputError(f"{given}: there is no file in this folder")
        return [*files]
    if is_file:
        return [path]
    with connect(ctx.settings, ctx.engine) as lake:
        if given in lake.catalogs:
            needed = {"id", bundle.meaning.example, *bundle.reads}
            return [with_id(lake.catalogs[given].read_all(sorted(needed)), given, bundle)]
        datasets = ", ".join(name for name in lake.catalogs if name.startswith("features."))
    raise InputError(f"{given}: neither a file, a folder nor a dataset; feature datasets: {datasets or 'none yet'}")
