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
from stellar.surveys.readers.members import Member, members

# bytes of one file of spectra or of a light curve; what is larger is something else: DESI's have 500 spectra each, and
# matrices of resolution that are most of a file
LARGEST = 1 << 30
# Files of light curves whose features are made together, and bytes of their curated rows at most
TOGETHER, TOGETHER_BYTES = 32, 64 << 20
MOST_AT_ONCE = 4  # times so many, side by side; a curve's periodogram may take 800 MB
AHEAD_BYTES = 512 << 20  # curated rows whose features are not made yet, but for one file
Progress = Callable[[str, int, int], None]


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


class _Made(NamedTuple):
    """Rows of features, and what is to be told of their file: where, and why it or a part was left out."""

    rows: pa.Table | None
    told: list[tuple[str, str]]
    source: int = 0  # number of the input


class _Begun(NamedTuple):
    """A file whose features are still to be made."""

    file: CuratedFile
    where: str
    told: list[tuple[str, str]]
    source: int = 0


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
        ahead: deque[tuple[Future[list[_Made]], int]] = deque()
        pool = ThreadPoolExecutor(cores)
        try:
            for some in self._grouped(self._read(sources)):
                ahead.append((pool.submit(self._finished, some), sum(map(_size, some))))
                while len(ahead) > cores or (len(ahead) > 1 and sum(size for _, size in ahead) > AHEAD_BYTES):
                    yield from self._taken(ahead.popleft()[0], tell, len(sources))
            while ahead:
                yield from self._taken(ahead.popleft()[0], tell, len(sources))
        finally:
            pool.shutdown(cancel_futures=True)
        tell("predict", len(sources), len(sources))

    def _taken(self, some: Future[list[_Made]], tell: Progress, total: int) -> Iterator[pa.Table]:
        for rows, told, source in some.result():
            tell("predict", source, total)
            self.refused.extend(told)
            if rows is not None:
                yield rows

    def _read(self, sources: Sequence[Path | pa.Table]) -> Iterator[_Made | _Begun]:
        for number, source in enumerate(sources):
            if isinstance(source, pa.Table):
                yield _Made(source, [], number)
                continue
            try:
                for one in self._of(source):
                    yield one._replace(source=number)
            except Exception as fault:  # of a damaged or hostile file anything may come, and the others are done
                yield _Made(None, [_refusal(text_of(source), fault)], number)

    def _of(self, path: Path) -> Iterator[_Made | _Begun]:
        is_of_curated = self.bundle.meaning.features.startswith("curated.")
        tables = tables_of_features(path, self.bundle, is_of_curated=is_of_curated)
        if tables is not None:
            yield from (_Made(table, []) for table in tables)
        elif not self.known:
            read = ", ".join(sorted(self.bundle.reads))
            raise InputError(f"it is no table (.parquet, .csv) that has the columns which the model reads: {read}")
        else:
            yield from self._members(path)

    def _members(self, path: Path) -> Iterator[_Made | _Begun]:
        if path.stat().st_size > LARGEST and path.suffix.lower() not in (".tar", ".zip", ".gz", ".tgz"):
            raise InputError(f"it has more than {LARGEST >> 20} MiB; files of spectra and light curves have not")
        is_empty = True
        unread: list[tuple[str, str]] = []

        def refuse(inside: str, why: str) -> None:
            unread.append((f"{text_of(path)}: {text_of(inside)}", why))

        try:
            for member in members(path, limit=LARGEST, refuse=refuse):
                is_empty = False
                if unread:
                    yield _Made(None, [*unread])
                    unread.clear()
                where = f"{text_of(path)}: {text_of(member.inside)}" if member.inside else text_of(path)
                yield self._begun(member, where)
        except Exception:
            yield _Made(None, unread)
            raise
        if is_empty and not unread:
            raise InputError("there is no file in it")
        if unread:
            yield _Made(None, unread)

    def _begun(self, member: Member, where: str) -> _Made | _Begun:
        told: list[tuple[str, str]] = []
        features = self.bundle.meaning.features
        try:
            file = curated_file(member, self.family, features, self.known, lambda why: told.append((where, why)))
        except Exception as fault:  # as above
            return _Made(None, [*told, _refusal(where, fault)])
        if features == f"curated.{file.config.dataset}":
            return self._made(file.table, where, told)
        return _Begun(file, where, told)

    def _grouped(self, files: Iterator[_Made | _Begun]) -> Iterator[list[_Made] | list[_Begun]]:
        """Files in their order, those together whose features are made together."""
        most = TOGETHER if self.family == "lightcurves" else 1
        group: list[_Begun] = []
        for one in files:
            is_alike = isinstance(one, _Begun) and (not group or one.file.config is group[0].file.config)
            is_full = len(group) == most or sum(map(_size, group)) > TOGETHER_BYTES
            if group and (is_full or not is_alike):
                yield group
                group = []
            if isinstance(one, _Begun):
                group.append(one)
            else:
                yield [one]
        if group:
            yield group

    def _finished(self, some: list[_Made] | list[_Begun]) -> list[_Made]:
        begun = [one for one in some if isinstance(one, _Begun)]
        made: list[pa.Table | None] = [None] * len(begun)
        if len(begun) > 1:
            with suppress(Exception):  # one of them spoils it: each is tried alone
                made = curves_together([one.file for one in begun])
        done = [one for one in some if isinstance(one, _Made)]
        return done + [
            self._featured(one, rows)._replace(source=one.source) for one, rows in zip(begun, made, strict=True)
        ]

    def _featured(self, one: _Begun, rows: pa.Table | None) -> _Made:
        where, told = one.where, one.told
        try:
            if rows is None:
                rows = features_of_rows(one.file, self.family, lambda why: told.append((where, why)))
        except Exception as fault:  # as above
            return _Made(None, [*told, _refusal(where, fault)])
        return self._made(rows, where, told)

    def _made(self, rows: pa.Table, where: str, told: list[tuple[str, str]]) -> _Made:
        if lacking := sorted({*self.bundle.reads} - {*rows.column_names}):
            # fluxes and magnitudes do not give all the same features
            why = f"its features have no {', '.join(lacking)}, which the model was trained with"
            return _Made(None, [*told, (where, why)])
        return _Made(rows.append_column("file", pa.array([where] * len(rows), pa.string())), told)


def _size(one: _Made | _Begun) -> int:
    """Bytes that are held until its features are made."""
    return one.file.table.nbytes if isinstance(one, _Begun) else 0


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
