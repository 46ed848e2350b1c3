"""Who may log in to the embedded server, and its two databases: made the first time, looked at ever after."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg2

ROLES = {"owner": "stellar_owner", "pipeline": "stellar_pipeline", "reader": "stellar_reader", "airflow": "airflow"}
#: Databases and the roles that own them; only who is granted it may connect to them.
DATABASES = {"stellar": ROLES["owner"], "airflow": ROLES["airflow"]}
_VISITORS = [ROLES["pipeline"], ROLES["reader"]]


def bring_about(connection: psycopg2.extensions.connection, passwords: Mapping[str, str]) -> None:
    """Make the roles, their passwords and the databases what they should be, and write nothing where they are.

    Each start of a server comes by here: what is written has to reach the disk before the command goes on, and once
    more when the server stops.

    Parameters
    ----------
    connection : psycopg2 connection
        Of a superuser, in autocommit mode.
    passwords : mapping
        Key of `ROLES` -> password (ASCII).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolpassword, rolcanlogin FROM pg_authid")
        known = {name: verifier if may_login else None for name, verifier, may_login in cursor.fetchall()}
        for role, secret in passwords.items():
            name = ROLES[role]
            if not is_password(secret, known.get(name)):
                verb = "ALTER" if name in known else "CREATE"
                # role names are ours; the password is a parameter
                cursor.execute(f"{verb} ROLE {name} LOGIN PASSWORD %s", (secret,))
        cursor.execute("SELECT datname FROM pg_database")
        made = {name for (name,) in cursor.fetchall()}
        for database, owner in DATABASES.items():
            if database not in made:
                cursor.execute(f"CREATE DATABASE {database} OWNER {owner}")
                cursor.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        cursor.execute(
            "SELECT bool_and(has_database_privilege(one, 'stellar', 'CONNECT')) FROM unnest(%s::name[]) AS one",
            (_VISITORS,),
        )
        if cursor.fetchone() != (True,):
            cursor.execute(f"GRANT CONNECT ON DATABASE stellar TO {', '.join(_VISITORS)}")


def is_password(secret: str, verifier: str | None) -> bool:
    """Whether a password (ASCII) is the one that Postgres keeps as a SCRAM verifier (RFC 5802, section 3)."""
    try:
        mechanism, salted, keys = str(verifier).split("$")
        rounds, salt = salted.split(":")
        kept = base64.b64decode(keys.split(":")[0], validate=True)
        key = hashlib.pbkdf2_hmac("sha256", secret.encode("ascii"), base64.b64decode(salt), int(rounds))
    except ValueError:  # none was set, or one of another kind
        return False
    client = hmac.digest(key, b"Client Key", "sha256")
    return mechanism == "SCRAM-SHA-256" and hmac.compare_digest(hashlib.sha256(client).digest(), kept)
