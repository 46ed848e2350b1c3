"""Which files an import reads: paths and folders in, one `SourceFile` per table file out."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

import pyarrow as pa

from stellar.errors import InputError

KINDS: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq", ".parq"),
    "csv": (".csv", ".tsv", ".tab"),
    "fits": (".fits", ".fit", ".fts"),
    "votable": (".vot", ".votable", ".xml"),
    "ecsv": (".ecsv",),
    "arrow": (".arrow", ".feather", ".ipc"),
}
PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
_KIND_OF = {ending: kind for kind, endings in KINDS.items() for ending in endings}
# the bytes say how a file is packed, its name does not: many a .fits is gzip within
_CODECS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_XZ = b"\xfd7zXZ\x00"
_MAGIC = {b"PAR1": "parquet", b"SIMPLE  =": "fits", b"# %ECSV": "ecsv", b"ARROW1": "arrow"}
# what lies beside tables in the folders of archives and tools, and is no table
_BESIDE = {".md", ".rst", ".html", ".pdf", ".json", ".yaml", ".yml", ".properties", ".png", ".jpg", ".log"}
_BESIDE |= {".md5", ".sha1", ".sha256", ".sha512", ".crc"}
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
# columns that a HATS folder's names give and some files repeat
HATS_HIVE = ("Norder", "Dir", "Npix")


@dataclass(frozen=True)
class SourceFile:
    """One table of one file.

    Parameters
    ----------
    path : pathlib.Path
    kind : str
        One of `KINDS`.
    part : str, optional
        Which table of a file with several: number or name of a FITS extension, number or name of a VOTable's TABLE.
        The first one unless given.
    constants : tuple of (name, text)
        Columns that a partitioned folder's names give (``survey=sdss/``), None for its null.
    hats : bool
        Whether it is a partition of a HATS catalogue, whose columns Norder, Dir and Npix are no data.
    """

    path: Path
    kind: str
    part: str | None = None
    constants: tuple[tuple[str, str | None], ...] = ()
    hats: bool = False

    def __str__(self) -> str:
        return f"{self.path}#{self.part}" if self.part else str(self.path)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        constants = [list(pair) for pair in self.constants]
        return {"path": str(self.path), "kind": self.kind, "part": self.part, "constants": constants, "hats": self.hats}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> SourceFile:
        """The inverse of `to_dict`."""
        constants = tuple((str(name), value) for name, value in plain.get("constants", []))
        return cls(Path(plain["path"]), plain["kind"], plain.get("part"), constants, bool(plain.get("hats", False)))


def find_sources(paths: Sequence[Path]) -> list[SourceFile]:
    """The table files that the paths name, folders expanded, each file once, in an order that depends on names alone.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Files; ``file.fits#2`` or ``file.vot#NAME`` names a table within; folders: a HATS catalogue or collection gives
        the partitions of its main table, any other folder all table files in it.

    Returns
    -------
    list of SourceFile
        In the order given; within a folder by name, numbers by value; HATS partitions by order and pixel.

    Raises
    ------
    InputError
        Naming each file that is missing, unreadable, empty or of no known kind.
    """
    found: dict[tuple[Path, str | None], SourceFile] = {}
    faults: list[str] = []
    for path in paths:
        path, part = _split_part(Path(path))
        try:
            files = list(_folder(path, path, True)) if path.is_dir() else [SourceFile(path, "", part)]
            if not files:
                raise InputError(f"{path}: there is no table file in this folder; known are {_known()}")
        except InputError as fault:
            faults.append(str(fault))
            continue
        for file in files:
            try:
                found.setdefault((file.path.resolve(), file.part), replace(file, kind=kind_of(file.path)))
            except InputError as fault:
                faults.append(str(fault))
    if faults:
        more = f"\n… and {len(faults) - 10} more" if len(faults) > 10 else ""
        raise InputError("\n".join(faults[:10]) + more)
    if not found:
        raise InputError("no file given; name at least one file or folder to import")
    return list(found.values())


def kind_of(path: Path) -> str:
    """The kind of a file, by its first bytes where they tell and by its name's ending else.

    Raises
    ------
    InputError
        When it cannot be opened, is empty, or is no kind of table.
    """
    head = peek(path, 1 << 14)
    if not head.strip():
        raise InputError(f"{path}: the file is empty; fetch it again or leave it out")
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:2048]
    if re.match(rb"(?i)<!doctype html|<html", start):
        raise InputError(f"{path}: an HTML page (an archive's error message?) and no table; fetch the file again")
    if re.search(rb"<(\w+:)?VOTABLE", head) and start.startswith(b"<"):
        return "votable"
    if head.startswith(b"PK\x03\x04") or head[257:262] == b"ustar":
        raise InputError(f"{path}: an archive of files; unpack it and give its files")
    kind = kind_by_name(path)
    if kind is None:
        raise InputError(f"{path}: not a known kind of table (known are {_known()}); convert it, or leave it out")
    if kind in ("parquet", "fits", "arrow", "votable"):
        raise InputError(f"{path}: named as {kind} but its first bytes are not; fetch it again or rename it")
    return kind


def kind_by_name(path: Path) -> str | None:
    """The kind of table that a file's ending names, how ever it is packed; None for another ending."""
    return _KIND_OF.get(_ending(path))


def peek(path: Path, size: int) -> bytes:
    """The first bytes of a file, unpacked."""
    with unpacked(path, size) as stream:
        return read_exactly(stream, size, path)


def unpacked(path: Path, buffer_bytes: int = 1 << 20) -> BinaryIO:
    """A file opened for reading, so many bytes at a time, through its decompressor where its first bytes name one.

    Raises
    ------
    InputError
        When it is missing or may not be read.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            magic = stream.read(6)
        if magic == _XZ:
            return cast(BinaryIO, lzma.open(path, "rb"))
        codec = next((codec for mark, codec in _CODECS.items() if magic.startswith(mark)), None)
        if codec is None:
            return path.open("rb", buffering=buffer_bytes)
        return cast(BinaryIO, pa.input_stream(str(path), compression=codec, buffer_size=buffer_bytes))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder where a file is expected; give the folder itself") from None
    except OSError as fault:
        raise InputError(f"{path}: cannot be opened: {fault.strerror or fault}; check its permissions") from None


def read_exactly(stream: BinaryIO, size: int, path: Path) -> bytes:
    """The next `size` bytes of a stream, fewer only where it ends.

    Raises
    ------
    InputError
        When the stream is damaged or cut.
    """
    parts, missing = [], size
    try:
        while missing > 0 and (part := stream.read(missing)):
            parts.append(part)
            missing -= len(part)
    except (OSError, EOFError, lzma.LZMAError) as fault:
        raise InputError(f"{path}: damaged or cut: {fault}; fetch the file again") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _known() -> str:
    return ", ".join(ending for endings in KINDS.values() for ending in endings) + f" (text and FITS also {PACKED[0]})"


def _ending(path: Path) -> str:
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def _split_part(path: Path) -> tuple[Path, str | None]:
    """``file.fits#2`` is table 2 of file.fits, unless a file has that very name."""
    name, mark, part = path.name.rpartition("#")
    if not mark or not name or not part or path.exists():
        return path, None
    return path.with_name(name), part


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key of a name: its numbers by value, so that part-10 follows part-9."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts)] + [(-2, path.name)]


def _folder(folder: Path, root: Path, asked: bool) -> Iterator[SourceFile]:
    """Files of a folder within `root`, their kinds yet to be told; `asked`: the user means this very folder."""
    collection = folder / "collection.properties"
    if collection.is_file():
        primary = _properties(collection).get("hats_primary_table_url")
        if not primary:
            raise InputError(f"{collection}: lacks hats_primary_table_url; give the catalogue's own folder")
        if not (folder / primary).is_dir():
            raise InputError(f"{collection}: there is no folder {primary} beside it; copy the whole collection")
        yield from _folder(folder / primary, folder / primary, True)
        return
    about = next((p for p in (folder / "hats.properties", folder / "properties") if p.is_file()), None)
    if about is not None and (folder / "dataset").is_dir():
        yield from _hats(folder, _properties(about), asked)
        return
    try:
        entries = sorted(folder.iterdir(), key=_natural)
    except OSError as fault:
        raise InputError(f"{folder}: cannot be listed: {fault.strerror}; check its permissions") from None
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith((".", "_")):
            yield from _folder(entry, root, False)
        elif entry.is_file() and not _is_beside(entry):
            yield _in_folders(entry, root)


def _is_beside(file: Path) -> bool:
    """Whether a file of a folder is no table by its name; any other that cannot be read is an error."""
    # data_thumbnail is a sample of rows that HATS keeps beside them
    named = file.name.startswith((".", "_")) or file.name == "data_thumbnail.parquet"
    return named or _ending(file) in _BESIDE or file.stem.upper() in ("README", "LICENSE", "MANIFEST")


def _in_folders(path: Path, root: Path) -> SourceFile:
    """A file with the columns that the names of its folders give, as Hive and Spark write them."""
    pairs = [part.partition("=") for part in path.relative_to(root).parts[:-1] if "=" in part]
    constants = tuple(
        (unquote(name), None if value == _HIVE_NULL else unquote(value))
        for name, _, value in pairs
        if name and name not in HATS_HIVE
    )
    hats = any(name in HATS_HIVE for name, _, _ in pairs)
    return SourceFile(path, "", None, constants, hats)


def _properties(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: cannot be read: {fault}; copy the catalogue again") from None
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _hats(folder: Path, about: dict[str, str], asked: bool) -> Iterator[SourceFile]:
    """Partitions of a HATS catalogue by order and pixel; a margin is refused where asked for and passed over else."""
    product = about.get("dataproduct_type", "object")
    if product not in ("object", "source"):
        if asked:
            raise InputError(
                f"{folder}: a HATS {product} table and no catalogue; give the catalogue's folder "
                f"({about.get('hats_primary_table_url', 'see its hats.properties')})"
            )
        return
    found: dict[tuple[int, int], list[Path]] = {}
    for path in (folder / "dataset").glob("Norder=*/Dir=*/Npix=*"):
        order, pixel = path.parts[-3].partition("=")[2], path.name.partition("=")[2].partition(".")[0]
        if order.isdigit() and pixel.isdigit():
            files = sorted(path.glob("*.parquet"), key=_natural) if path.is_dir() else [path]
            found[int(order), int(pixel)] = [file for file in files if not file.name.startswith((".", "_"))]
    lacking = _listed(folder / "partition_info.csv") - {cell for cell, files in found.items() if files}
    if lacking:
        order, pixel = min(lacking)
        raise InputError(f"{folder}: partition Norder={order}, Npix={pixel} is listed but has no file; copy it again")
    for cell in sorted(found):
        for file in found[cell]:
            yield SourceFile(file, "", hats=True)


def _listed(path: Path) -> set[tuple[int, int]]:
    """The cells that partition_info.csv names; none where there is no such file."""
    if not path.is_file():
        return set()
    header, *lines = path.read_text().splitlines() or [""]
    names = [name.strip() for name in header.split(",")]
    if not {"Norder", "Npix"} <= set(names):
        return set()
    at = names.index("Norder"), names.index("Npix")
    try:
        return {(int(fields[at[0]]), int(fields[at[1]])) for line in lines if (fields := line.split(","))[0]}
    except (ValueError, IndexError):
        raise InputError(f"{path}: a line is no partition; copy the catalogue again") from None
