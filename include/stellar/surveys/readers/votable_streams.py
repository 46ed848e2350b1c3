"""VOTables whose data are elsewhere: refused, for a file must not make its reader open addresses."""

from __future__ import annotations

from xml.parsers import expat  # never builds a tree

from stellar.errors import InputError
from stellar.surveys.readers.members import Member


def elsewhere(address: str) -> str:
    """Why a STREAM with an address is refused."""
    return f"its data are elsewhere ({address}); import a file that holds them"


def refuse_streams(member: Member) -> None:
    """Refuse a VOTable with a STREAM that names an address: astropy would open it, files of this machine too.

    A document that is not well-formed is left to its reader to refuse, which sees no more of it than was seen here.

    Raises
    ------
    InputError
        For that, and for a document in an encoding that cannot be read, which cannot be looked through.
    """

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition(":")[2] == "STREAM":
            for name, value in attributes.items():
                if name.rpartition(":")[2] == "href":
                    raise InputError(f"{member.name}: {elsewhere(value)}")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    try:
        parser.Parse(member.data, True)
    except expat.ExpatError:
        return
    except (ValueError, LookupError) as fault:  # an encoding of several bytes, or one that is not known
        raise InputError(f"{member.name}: not a readable VOTable: {fault}") from None
