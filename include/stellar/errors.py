"""The platform's own errors: each message names what is wrong and what to do about it."""


class StellarError(Exception):
    """Base of every error that is meant for a person; the command prints it without a traceback."""


class InputError(StellarError):
    """A file, row, field, parameter or configuration that the user can mend."""


class ServiceError(StellarError):
    """A survey's service did not answer, or answered with something that is not its data."""

    def __init__(self, service: str, unit: str, reason: str) -> None:
        super().__init__(f"{service}: unit {unit}: {reason}")
        self.service, self.unit, self.reason = service, unit, reason


class LedgerError(StellarError):
    """The ledger refused a change, or does not know what was asked for."""


class GateFailed(StellarError):
    """A data snapshot or model did not pass its gate."""


class IntegrityError(StellarError):
    """Stored bytes are not what the ledger or a manifest says they are."""
