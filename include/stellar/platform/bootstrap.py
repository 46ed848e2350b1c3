"""First start of a home: its folders, its profile, its generated secrets."""

from __future__ import annotations

import base64
import secrets

from stellar.errors import InputError
from stellar.profile import list_profiles
from stellar.secret_files import write_once
from stellar.settings import Settings

USERS = ("admin", "operator", "viewer")


def prepare_home(settings: Settings) -> None:
    """Make the home's folders and hold it to one profile.

    Raises
    ------
    InputError
        The profile is unknown, the home holds another one, or the home cannot be written.
    """
    known = list_profiles()
    if settings.profile not in known:
        raise InputError(f"no profile {settings.profile!r}; profiles are {', '.join(known)} (config/profiles/*.yaml)")
    try:
        for folder in (settings.home, settings.run, settings.logs, settings.secrets):
            folder.mkdir(parents=True, exist_ok=True)
        settings.secrets.chmod(0o700)
    except OSError as error:
        raise InputError(
            f"home {settings.home} cannot be written: {error}; set STELLAR_HOME to another folder"
        ) from error
    held = write_once(settings.home / "profile", settings.profile + "\n").strip()
    if held != settings.profile:
        raise InputError(
            f"home {settings.home} holds profile {held!r}, not {settings.profile!r}; "
            f"set STELLAR_HOME to another folder, or STELLAR_PROFILE={held}"
        )


def secret(settings: Settings, name: str) -> str:
    """Read a generated secret, making it first if it is not there yet.

    Secrets are URL-safe (Airflow expands `$` in values, and some go into URLs) and readable by their owner only.
    """
    file = settings.secrets / name
    try:
        return file.read_text()
    except FileNotFoundError:
        return write_once(file, secrets.token_urlsafe(24))


def fernet_key(settings: Settings) -> str:
    """Key that Airflow encrypts connections with: 32 random bytes in URL-safe base64."""
    file = settings.secrets / "airflow_fernet"
    try:
        return file.read_text()
    except FileNotFoundError:
        return write_once(file, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def password(settings: Settings, user: str) -> str:
    """Password of one of the three Airflow users."""
    return secret(settings, f"airflow_user_{user}")


def passwords_to_show(settings: Settings) -> dict[str, str] | None:
    """Passwords of the users, the first time it is asked for them in a home; None later."""
    try:
        (settings.home / "passwords-shown").touch(exist_ok=False)
    except FileExistsError:
        return None
    return {user: password(settings, user) for user in USERS}
