"""A home from a backup (`stellar.engine.backup`): unpacked, its database made anew, then verified."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from stellar import __version__
from stellar.engine.backup import ABOUT, AIRFLOW, END, FORMAT, LEDGER, Progress
from stellar.engine.context import Context
from stellar.engine.publish import publish_behind
from stellar.engine.verify import verify
from stellar.errors import InputError, StellarError
from stellar.lake.write import file_sha256
from stellar.ledger import dump, refill
from stellar.ledger.connect import airflow_url, ledger_session, lost_ledger, migrations
from stellar.ledger.home import FILE, LAYOUT
from stellar.ledger.migrate import read_migrations
from stellar.settings import Settings, load_settings

if sys.version_info >= (3, 12):
    import tarfile
else:  # 3.11 refuses what leaves the folder from its patch release 4 on, and Debian 12 has an older one
    from backports import tarfile

_PARTS = {"lake", "work", "artifacts", "data_docs", "secrets", "profile", FILE, LEDGER, AIRFLOW, ABOUT, END}
_ZSTD = b"\x28\xb5\x2f\xfd"


def restore(settings: Settings, file: Path, *, rows: bool = True, progress: Progress | None = None) -> dict[str, Any]:
    """Make a home of a backup, in an empty `settings.home`; when that fails the folder is empty again.

    Passwords and keys are made anew where the backup holds none.

    Parameters
    ----------
    settings : Settings
        `home` is missing or empty; `postgres_url`, where set, names a database that is.
    file : Path
    rows : bool
        Whether the check at the end reads every row, not only sizes and hashes.
    progress : callable, optional
        Called as (what, done, of how many).

    Returns
    -------
    dict
        What the backup says of itself, and ``home`` and ``faults`` (as `verify` gives them).

    Raises
    ------
    InputError
        When the home or the database is not empty, the file is no whole backup, or a newer program wrote it.
    """
    if settings.home.is_dir() and any(settings.home.iterdir()):
        raise InputError(f"home {settings.home} is not empty; set STELLAR_HOME to a folder that is new or empty")
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    tell = progress or (lambda what, done, total: None)
    was_there = settings.home.is_dir()
    try:
        about = _unpack(settings, file, tell)
        # with the backup's profile
        own = load_settings(home=settings.home, postgres_url=settings.postgres_url, lake_url=settings.lake_url)
        _fill_databases(own, about)
        with ledger_session(own) as engine:
            ctx = Context(own, engine)
            faults = verify(ctx, rows=rows, progress=lambda dataset, done, total: tell("verifying", done, total))
            _publish(ctx)
    except BaseException:
        for part in settings.home.iterdir() if settings.home.is_dir() else []:
            shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink()
        if not was_there and settings.home.is_dir():
            settings.home.rmdir()
        raise
    return {**about, "home": str(settings.home), "faults": faults}


def _publish(ctx: Context) -> None:
    """Copy the scores into their tables; a whole home is not given up for those (`stellar datasets publish`)."""
    try:
        publish_behind(ctx)
    except (StellarError, sa.exc.SQLAlchemyError):
        logging.getLogger(__name__).warning("scores were not copied to Postgres", exc_info=True)


def _unpack(settings: Settings, file: Path, tell: Progress) -> dict[str, Any]:
    """Unpack into the home; returns what the backup says of itself."""
    home = settings.home
    about: dict[str, Any] | None = None
    done, whole = 0, False
    try:
        with _source(file) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
            for entry in tar:
                if about is None:
                    about = _accepted(settings, file, tar, entry)
                    home.mkdir(parents=True, exist_ok=True)
                    continue
                if entry.name.split("/")[0] not in _PARTS:
                    raise InputError(f"{file}: {entry.name} has no place in a home; this is no backup of stellar's")
                tar.extract(entry, home, filter="data")
                done, whole = done + entry.size, whole or entry.name == END
                tell("unpacking", done, about["bytes"])
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{file} cannot be unpacked, it is damaged or no backup: {error}") from error
    if about is None or not whole:
        raise InputError(f"{file} is not whole: its end is missing; copy it again")
    (home / END).unlink()
    if file_sha256(home / LEDGER) != about["ledger_sha256"]:
        raise InputError(f"{file} is damaged: the ledger in it is not what was written; copy it again")
    return about


def _accepted(settings: Settings, file: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> dict[str, Any]:
    data = tar.extractfile(entry) if entry.name == ABOUT else None
    if data is None:
        raise InputError(f"{file}: no {ABOUT} at its beginning; this is no backup of stellar's")
    about: dict[str, Any] = json.loads(data.read())
    if about["format"] > FORMAT or about["layout"] > LAYOUT:
        raise InputError(
            f"{file} was written by version {about['program']} of the platform (format {about['format']}, layout "
            f"{about['layout']}); this is version {__version__}, which knows format {FORMAT} and layout {LAYOUT}. "
            f"Restore it with version {about['program']} or newer"
        )
    if about["lake"] != settings.lake_url:
        raise InputError(
            f"{file} is of a lake {'at ' + about['lake'] if about['lake'] else 'in its home'}: "
            + (f"set STELLAR_LAKE={about['lake']}" if about["lake"] else "unset STELLAR_LAKE")
        )
    return about


@contextmanager
def _source(file: Path) -> Iterator[IO[bytes]]:
    with file.open("rb") as stream:
        compressed = stream.read(len(_ZSTD)) == _ZSTD
    if compressed:
        import pyarrow as pa

        with pa.input_stream(str(file), compression="zstd") as unpacked:
            yield unpacked
    else:
        with file.open("rb") as stream:
            yield stream


def _fill_databases(settings: Settings, about: dict[str, Any]) -> None:
    if settings.secrets.is_dir():
        settings.secrets.chmod(0o700)
    with lost_ledger(settings) as owner:
        with owner.connect() as connection:
            if connection.scalar(sa.text("SELECT to_regnamespace('lake') IS NOT NULL")):
                raise InputError(
                    f"the database {owner.url.database} of STELLAR_POSTGRES_URL holds a ledger already; name an empty "
                    "one"
                )
        dump.load(owner.url, settings.home / LEDGER)
        with owner.begin() as connection:
            refill.grant_again(connection, read_migrations(migrations(settings)))
        if (settings.home / AIRFLOW).exists() and settings.postgres_url is None:
            dump.load(airflow_url(settings), settings.home / AIRFLOW)
    for name in (LEDGER, AIRFLOW):
        (settings.home / name).unlink(missing_ok=True)
