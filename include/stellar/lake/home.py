"""The current datasets of a home as catalogues to search, without a database where their histories lie in the lake."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from numpy.typing import ArrayLike

from stellar.errors import InputError
from stellar.settings import Settings, load_settings

from . import ids, search
from .names import full_name
from .read import Catalog

if TYPE_CHECKING:
    import sqlalchemy as sa


#: `stellar.ledger.history.HISTORY`; that module brings SQLAlchemy, which a search can do without.
HISTORY = "history.json"


class Current(NamedTuple):
    """A dataset's current snapshot: its folder, and the column that identifies its rows."""

    folder: Path
    id_column: str | None


class Lake:
    """The current datasets of a home, to be searched. It reads only.

    What is current is asked of the ledger when one is given; else it is read from the histories that promotions leave
    in the lake (a promotion shows in the next search), and where a dataset has none, asked of the ledger once.

    Parameters
    ----------
    settings : Settings
    engine : sqlalchemy.Engine, optional
        On the ledger; the role `reader` is enough. What was current at the start stays so until `refresh`.
    """

    def __init__(self, settings: Settings, engine: sa.Engine | None = None) -> None:
        self.settings = settings
        self._engine = engine
        self._told: dict[str, Current] | None = None
        self._read: dict[str, tuple[tuple[float, int], Current | None]] = {}

    def __repr__(self) -> str:
        return f"Lake({str(self.settings.home)!r})"

    def refresh(self) -> None:
        """Ask again what is current."""
        self._told = None
        self._read = {}

    def datasets(self) -> list[str]:
        """Names of the datasets that have a current snapshot."""
        if self._engine is not None:
            return sorted(self._from_ledger())
        named = {f"{path.parent.name}.{path.name}" for path in self.settings.lake.glob("*/*") if path.is_dir()}
        return sorted(name for name in named if self._current(name) is not None)

    def folder(self, dataset: str) -> Path:
        """Folder of a dataset's current snapshot.

        Parameters
        ----------
        dataset : str
            `layer.subject`; a bare name means one of your own tables (`own.<name>`).

        Raises
        ------
        InputError
            When there is no such dataset, or it has no current snapshot.
        """
        return self._require(dataset).folder

    def catalog(self, dataset: str) -> Catalog:
        """A dataset's current snapshot, to be read."""
        return search.searchable(self.folder(dataset)).catalog

    def cone(
        self, dataset: str, ra: float, dec: float, radius_deg: float, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Rows within an angle (degrees) of a position, nearest first; see `stellar.lake.cone`."""
        return search.cone(self.folder(dataset), ra, dec, radius_deg, columns)

    def box(
        self,
        dataset: str,
        ra_min: float,
        ra_max: float,
        dec_min: float,
        dec_max: float,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Rows between two right ascensions and two declinations; see `stellar.lake.box`."""
        return search.box(self.folder(dataset), ra_min, ra_max, dec_min, dec_max, columns)

    def polygon(self, dataset: str, ra: ArrayLike, dec: ArrayLike, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows in a polygon of great circles; see `stellar.lake.polygon`."""
        return search.polygon(self.folder(dataset), ra, dec, columns)

    def by_id(
        self,
        dataset: str,
        wanted: Iterable[int | str],
        columns: Sequence[str] | None = None,
        *,
        id_column: str | None = None,
    ) -> pa.Table:
        """Rows of given ids, in their order; see `stellar.lake.by_id`."""
        current = self._require(dataset)
        cache = self.settings.cache / "ids"
        return ids.by_id(current.folder, wanted, columns, id_column=id_column or current.id_column, cache=cache)

    def iter_cone(
        self, dataset: str, ra: float, dec: float, radius_deg: float, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """`cone` in parts, for results larger than memory."""
        return search.iter_cone(self.folder(dataset), ra, dec, radius_deg, columns)

    def iter_box(
        self,
        dataset: str,
        ra_min: float,
        ra_max: float,
        dec_min: float,
        dec_max: float,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.Table]:
        """`box` in parts."""
        return search.iter_box(self.folder(dataset), ra_min, ra_max, dec_min, dec_max, columns)

    def iter_polygon(
        self, dataset: str, ra: ArrayLike, dec: ArrayLike, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """`polygon` in parts."""
        return search.iter_polygon(self.folder(dataset), ra, dec, columns)

    def _require(self, dataset: str) -> Current:
        name = full_name(dataset)
        found = self._from_ledger().get(name) if self._engine is not None else self._current(name)
        if found is None:
            near = difflib.get_close_matches(name, self.datasets(), n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "`stellar datasets` lists those that there are"
            raise InputError(f"no current dataset {name!r} in {self.settings.home}; {hint}")
        return found

    def _current(self, name: str) -> Current | None:
        """What a dataset's history says; the ledger's word where none was kept."""
        path = self.settings.lake / name.replace(".", "/", 1) / HISTORY
        try:
            about = path.stat()
        except FileNotFoundError:
            return self._from_ledger().get(name) if path.parent.is_dir() else None
        signature = about.st_mtime, about.st_size
        held = self._read.get(name)
        if held is None or held[0] != signature:
            held = self._read[name] = signature, _from_history(self.settings.lake, path)
        return held[1]

    def _from_ledger(self) -> dict[str, Current]:
        if self._told is None:
            if self._engine is not None:
                self._told = _currents(self.settings.lake, self._engine)
            else:
                from stellar.ledger.connect import ledger_session

                with ledger_session(self.settings, role="reader") as engine:
                    self._told = _currents(self.settings.lake, engine)
        return self._told


_OPEN: dict[str, Lake] = {}


def open_lake(home: Settings | Path | str | None = None, *, engine: sa.Engine | None = None) -> Lake:
    """The lake of a home, to be searched from Python.

    Parameters
    ----------
    home : Settings, path or str, optional
        `STELLAR_HOME` when not given.
    engine : sqlalchemy.Engine, optional
        On the ledger, when one is open; otherwise the lake's own files say what is current.

    Returns
    -------
    Lake
        One and the same for one home, unless an engine is given.
    """
    if isinstance(home, Settings) or engine is not None:
        return Lake(home if isinstance(home, Settings) else _settings(home), engine)
    key = str(home or os.environ.get("STELLAR_HOME", ""))
    if key not in _OPEN:
        _OPEN[key] = Lake(_settings(home))
    return _OPEN[key]


def _settings(home: Path | str | None) -> Settings:
    return load_settings(**({} if home is None else {"home": Path(home)}))


def _from_history(lake: Path, path: Path) -> Current | None:
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        columns = [row["id_column"] for row in tables["lake.dataset"]]
        found = [row["path"] for row in tables["lake.snapshot"] if row["state"] == "current"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged; the next promotion of the dataset writes it anew") from None
    return Current(lake / found[0], columns[0] if columns else None) if found else None


def _currents(lake: Path, engine: sa.Engine) -> dict[str, Current]:
    import sqlalchemy as sa

    query = "SELECT c.dataset, c.path, d.id_column FROM lake.current c LEFT JOIN lake.dataset d ON d.name = c.dataset"
    with engine.connect() as connection:
        rows: list[Any] = list(connection.execute(sa.text(query)))
    return {row.dataset: Current(lake / row.path, row.id_column) for row in rows}
