"""`STELLAR_NOTIFY`: where messages go, read and checked; the secrets in it never leave it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from stellar.errors import InputError
from stellar.secret_files import PRIVATE
from stellar.settings import Settings

HOW = (
    "give smtp://USER@HOST:PORT/?to=ADDRESS, smtps://…, https://HOOK, or file:PATH of a file (mode 0600) that holds "
    "such an address"
)
_SMTP_OPTIONS = {"to", "from", "password_file", "cafile", "starttls"}
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Webhook:
    """An address that takes a message as JSON by POST. The address may be a secret itself."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        return f"{urlsplit(self.url).scheme}://{urlsplit(self.url).hostname}/…"


@dataclass(frozen=True)
class Mail:
    """A mail server and whom it is to tell.

    Parameters
    ----------
    starttls
        ``auto`` (where the server offers it; needed when a password is sent to another machine), ``required`` or
        ``never``.
    cafile
        Certificates of an authority of one's own; the system's when None.
    """

    host: str
    port: int
    to: tuple[str, ...]
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    implicit_tls: bool = False
    starttls: str = "auto"
    cafile: Path | None = None

    def __str__(self) -> str:
        return f"{', '.join(self.to)} by {self.host}:{self.port}"

    @property
    def is_near(self) -> bool:
        """Whether the server is this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


Target = Webhook | Mail


def target_of(settings: Settings) -> Target | None:
    """Where messages go; None when that is off.

    Raises
    ------
    InputError
        When the setting, or a file that it names, is not what it should be. Secrets are not in the message.
    """
    given = settings.notify.get_secret_value().strip() if settings.notify is not None else ""
    if given.startswith("file:"):
        given = _secret(Path(given.removeprefix("file:")).expanduser(), "STELLAR_NOTIFY")
    if not given or given == "off":
        return None
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        raise InputError(f"STELLAR_NOTIFY is no address; {HOW}") from None
    if not parts.hostname or parts.scheme not in ("http", "https", "smtp", "smtps"):
        raise InputError(f"STELLAR_NOTIFY is no address that messages can go to; {HOW}")
    if parts.password:
        raise InputError(
            "STELLAR_NOTIFY has a password in it, which other processes of this machine may see; put it into "
            f"{settings.secrets / 'notify_password'} (mode 0600), or name a file with password_file="
        )
    if parts.scheme in ("http", "https"):
        return Webhook(given)
    options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if unknown := sorted(set(options) - _SMTP_OPTIONS):
        raise InputError(f"STELLAR_NOTIFY: {', '.join(unknown)} is no option of mail; {sorted(_SMTP_OPTIONS)} are")
    to = tuple(one.strip() for one in options.get("to", "").split(",") if one.strip())
    if not to or not all(_is_address(one) for one in to):
        raise InputError("STELLAR_NOTIFY: name whom to write to: smtp://USER@HOST:PORT/?to=ADDRESS[,ADDRESS]")
    if (starttls := options.get("starttls", "auto")) not in ("auto", "required", "never"):
        raise InputError("STELLAR_NOTIFY: starttls is auto, required or never")
    user = unquote(parts.username) if parts.username else None
    sender = options.get("from") or (user if user and _is_address(user) else f"stellar@{parts.hostname}")
    return Mail(
        parts.hostname,
        port or _PORTS[parts.scheme],
        to,
        sender,
        user,
        _password(settings, options) if user else None,
        parts.scheme == "smtps",
        starttls,
        Path(options["cafile"]).expanduser() if "cafile" in options else None,
    )


def _is_address(text: str) -> bool:
    name, at, host = text.partition("@")
    return bool(name and at and host) and not set(text) & set(" \r\n,<>")


def _password(settings: Settings, options: dict[str, str]) -> str:
    named = options.get("password_file")
    return _secret(Path(named).expanduser() if named else settings.secrets / "notify_password", "the mail password")


def _secret(file: Path, what: str) -> str:
    """Content of a file that only its owner may read."""
    try:
        if file.stat().st_mode & 0o777 & ~PRIVATE:
            raise InputError(f"{file} ({what}) can be read by others: chmod 600 {file}")
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} ({what}) cannot be read: {error}; write it there, mode 0600") from None
