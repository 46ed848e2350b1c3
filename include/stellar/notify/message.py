"""One message: what it says, and that it says no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from stellar.settings import Settings

LONGEST = 6000
SHORTEST_SECRET = 6
_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)[^\s@/]+@", re.IGNORECASE)
_HIDDEN = "***"


@dataclass(frozen=True)
class Message:
    """What the operator reads.

    Parameters
    ----------
    id
        The same for the same event: it is sent once.
    kind
        ``failed``, ``late`` or ``test``.
    title, text, todo
        Plain text: one line, what happened, and the runbook's words.
    links
        Name -> address.
    facts
        The same for programs.
    """

    id: str
    kind: str
    title: str
    text: str
    todo: str = ""
    links: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Message:
        """A message as the outbox holds it."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `from_dict` reads them."""
        return asdict(self)

    @property
    def subject(self) -> str:
        """Title in one line."""
        return " ".join(f"[Stellar] {self.title}".split())[:200]

    @property
    def body(self) -> str:
        """All of it as plain text."""
        links = "\n".join(f"{name}: {address}" for name, address in self.links.items())
        return "\n\n".join(part for part in (self.text[:LONGEST], self.todo, links) if part) + "\n"


def without_secrets(settings: Settings, message: Message) -> Message:
    """The message with this home's secrets, and passwords in addresses, blotted out."""
    clean = _cleaner(settings)
    return Message.from_dict({"id": message.id} | {k: clean(v) for k, v in message.to_dict().items() if k != "id"})


def blotted(settings: Settings, text: str) -> str:
    """A text that others will read, with this home's secrets, and passwords in addresses, blotted out."""
    return str(_cleaner(settings)(text))


def _cleaner(settings: Settings) -> Callable[[Any], Any]:
    hidden = _secrets(settings)

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: clean(one) for name, one in value.items()}
        if isinstance(value, list):
            return [clean(one) for one in value]
        if not isinstance(value, str):
            return value
        for secret in hidden:
            value = value.replace(secret, _HIDDEN)
        return _IN_URL.sub(rf"\1{_HIDDEN}@", value)

    return clean


def _secrets(settings: Settings) -> list[str]:
    """Values that must not be told, the longest first, so that none is left in part."""
    found = set()
    if settings.secrets.is_dir():
        for file in settings.secrets.iterdir():
            if file.is_file():
                found.add(file.read_text(encoding="utf-8", errors="replace").strip())
    for setting in (settings.notify, settings.postgres_url, settings.redis_url):
        if setting is not None:
            found.add(setting.get_secret_value())
    return sorted((one for one in found if len(one) >= SHORTEST_SECRET), key=lambda one: (-len(one), one))
