"""Machine code of the cross-match: found or made once, loaded through LLVM, called with NumPy arrays.

What `stellar.sky.compiled` compiles is kept in one file per processor and version: the name holds a hash of the
sources, of numba's and LLVM's versions and of the processor, so code that is stale is not found; a damaged file, known
by the hash in it, is made again. `make install` makes it (``python -m stellar.sky.kernel``); a process that finds none
compiles for itself, which takes some seconds, and leaves it to the next.

The folder is the first of these that holds the code or can be written: `NUMBA_CACHE_DIR`, the `__pycache__` beside this
module, the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`), a folder of this user's own in the temporary
folder. Where none can be written, each process compiles for itself. A file is written whole under another name and then
renamed, so processes that compile at once do the same work twice and no harm.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

_HERE = Path(__file__).parent
#: Modules whose text decides what the code is: those with compiled functions, and what they take from others.
SOURCES = ("bins", "compiled", "dense", "grid", "search", "separation")
# numba's calling convention (numba.core.callconv.CPUCallConv): status, 0 for success and -2 for None
_FINE = (0, -2)
_lock = threading.Lock()

#: What `stellar.sky.compiled.object_code` gives.
Functions = dict[str, dict[str, Any]]


class Entry(NamedTuple):
    """A compiled function, the types that it takes, and what it returns."""

    pointer: int
    takes: tuple[str, ...]
    returns: tuple[str, int] | None


class Code(NamedTuple):
    """What `load` finds or makes: the entries by name, where their code is kept (None: nowhere), and if it was found.

    `engine` owns the memory that the code lies in.
    """

    entries: dict[str, Entry]
    path: Path | None
    found: bool
    engine: Any


def call(name: str, *arguments: Any) -> Any:
    """Call an entry; the interpreter's lock is let go meanwhile.

    Parameters
    ----------
    name : str
    *arguments
        As its signature has them: contiguous arrays, floats, integers, and tuples of them. That an array is long
        enough is not checked: the code reads and writes where it must not, if it is not.

    Raises
    ------
    TypeError
        When an argument is of another type than the signature's.
    """
    entry = load().entries[name]
    kinds: list[str] = []
    leaves: list[int | float] = []
    _flatten(arguments, kinds, leaves)
    if len(kinds) != len(entry.takes) or any(map(_differ, kinds, entry.takes)):
        raise TypeError(f"{name} takes {', '.join(entry.takes)}; not {', '.join(kinds)}")
    out = np.empty(entry.returns[1], entry.returns[0]) if entry.returns else np.empty(1)
    failure = ctypes.c_void_p()
    types = tuple(ctypes.c_double if isinstance(leaf, float) else ctypes.c_int64 for leaf in leaves)
    status = _prototype(types)(entry.pointer)(out.ctypes.data, ctypes.byref(failure), *leaves)
    if status not in _FINE:
        raise RuntimeError(f"the compiled {name} ended with status {status}")
    if entry.returns is None:
        return None
    return out[0].item() if len(out) == 1 else tuple(out.tolist())


@cache
def _prototype(types: tuple[type, ...]) -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *types)


def _differ(kind: str, wanted: str) -> bool:
    return kind not in (wanted, wanted.removeprefix("const "))  # what is only read may be writable


def _flatten(argument: Any, kinds: list[str], leaves: list[int | float]) -> None:
    """Arguments as numba's calling convention has them: the members of structures and tuples one after another."""
    if isinstance(argument, tuple):
        for one in argument:
            _flatten(one, kinds, leaves)
    elif isinstance(argument, np.ndarray) and argument.flags.c_contiguous:
        array: NDArray[Any] = argument
        kinds.append(f"{'' if array.flags.writeable else 'const '}{array.dtype}[{array.ndim}]")
        # owner and parent (none: the caller keeps the array), elements, bytes of one, data, shape, strides
        leaves += [0, 0, array.size, array.itemsize, array.ctypes.data, *array.shape, *array.strides]
    elif isinstance(argument, float):
        kinds.append("float64")
        leaves.append(float(argument))
    elif isinstance(argument, (int, np.integer)):
        kinds.append("int64")
        leaves.append(int(argument))
    else:
        kinds.append(f"strided {argument.dtype}" if isinstance(argument, np.ndarray) else type(argument).__name__)


def load() -> Code:
    """The machine code, made where there is none."""
    with _lock:  # a second thread would compile too, and importing numba in two threads at once can stand still
        return _load()


@cache
def _load() -> Code:
    def make() -> Functions:
        from stellar.sky.compiled import object_code

        return object_code()

    return found_or_made(_HERE, SOURCES, make)


def found_or_made(package: Path, sources: Sequence[str], make: Callable[[], Functions]) -> Code:
    """Code of a package: from the first folder that holds it, else made and kept in the first that can be written."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name = f"{package.name}-{_stamp(package, sources)}.native"
    folders = [*_folders(package)]
    for folder in folders:
        with contextlib.suppress(OSError, ValueError, KeyError):
            return _linked(_read(folder / name), folder / name, found=True)
    functions = make()
    for folder in folders:
        with contextlib.suppress(OSError):
            _write(folder / name, functions)
            return _linked(functions, folder / name, found=False)
    return _linked(functions, None, found=False)


def _linked(functions: Functions, path: Path | None, *, found: bool) -> Code:
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    for function in functions.values():
        engine.add_object_file(llvm.ObjectFileRef.from_data(function["code"]))
    engine.finalize_object()
    entries = {
        name: Entry(engine.get_function_address(one["symbol"]), tuple(one["takes"]), one["returns"])
        for name, one in functions.items()
    }
    if not all(entry.pointer for entry in entries.values()):
        raise ValueError(f"{path}: names a function that its code does not have")
    return Code(entries, path, found, engine)


def _stamp(package: Path, sources: Sequence[str]) -> str:
    """Hash of all that decides what the machine code is."""
    digest = hashlib.sha256(
        json.dumps(
            [
                metadata.version("numba"),
                llvm.llvm_version_info,
                llvm.get_default_triple(),
                llvm.get_host_cpu_name(),
                llvm.get_host_cpu_features().flatten(),
            ]
        ).encode()
    )
    for name in sources:
        digest.update((package / f"{name}.py").read_bytes())
    return digest.hexdigest()[:32]


def _folders(package: Path) -> Iterator[Path]:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
    yield package / "__pycache__"
    with contextlib.suppress(RuntimeError):  # no home folder
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stellar"
    with contextlib.suppress(OSError):
        own = Path(tempfile.gettempdir()) / f"stellar-compiled-{os.getuid()}"
        own.mkdir(mode=0o700, exist_ok=True)
        kept = own.lstat()
        # machine code of another's making must not be run
        if kept.st_uid == os.getuid() and not kept.st_mode & 0o022:
            yield own


def _read(path: Path) -> Functions:
    """What `_write` wrote; ValueError when it is damaged."""
    digest, _, rest = path.read_bytes().partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise ValueError(f"{path} is damaged")
    head, _, code = rest.partition(b"\n")
    functions: Functions = json.loads(head)
    at = 0
    for function in functions.values():
        function["code"] = code[at : at + function.pop("bytes")]
        at += len(function["code"])
    return functions


def _write(path: Path, functions: Functions) -> None:
    """A line with the hash of the rest, a line of JSON, and the object files."""
    code = b"".join(function["code"] for function in functions.values())
    said = {
        name: {what: said for what, said in one.items() if what != "code"} | {"bytes": len(one["code"])}
        for name, one in functions.items()
    }
    rest = json.dumps(said).encode() + b"\n" + code
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        fresh.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
