"""Functions compiled by numba, and where their machine code is kept between processes.

`compiled` is `numba.njit` with the project's options, an explicit signature (so that no call compiles anything), and a
cache that differs from numba's own in three ways:

- the code is stale when any module with compiled functions changed, not only the function's own file, since functions
  take in others' code;
- a package folder that cannot be written is still read: code compiled at installation serves everyone;
- a cache that cannot be written costs the compilation (seconds), never an error.

The folder is the first of these that can be written or holds the code for this processor: `NUMBA_CACHE_DIR`, the
`__pycache__` beside the module, the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`), a folder of this user's
own in the temporary folder; where there is none, each process compiles for itself. Files are written whole under
another name and then renamed, so processes that compile at once do the same work twice and no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import Cache, CompileResultCacheImpl, UserProvidedCacheLocator
from numba.core.registry import cpu_target

_HERE = Path(__file__).parent


def compiled(signature: Any = None) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for one signature, now or from the cache; without one it is taken into its callers' code."""

    def wrap(function: Callable[..., Any]) -> Any:
        dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)
        if signature is not None:
            with contextlib.suppress(RuntimeError):  # numba's word for "no folder"
                dispatcher._cache = _SkyCache(function)
            dispatcher.compile(signature)
            dispatcher.disable_compile()
        return dispatcher

    return wrap


@lru_cache(maxsize=1)
def _sources() -> bytes:
    """Hash of the modules of `stellar.sky` whose code is compiled."""
    modules = {path.name: path.read_bytes() for path in sorted(_HERE.glob("*.py"))}
    return hashlib.sha256(
        b"\0".join(text for name, text in modules.items() if name == "separation.py" or b"@compiled(" in text)
    ).digest()


def _folders(file: str, subfolder: str) -> Iterator[Path]:
    if chosen := getattr(config, "CACHE_DIR", ""):
        yield Path(chosen) / subfolder
    yield Path(file).parent / "__pycache__"
    with contextlib.suppress(RuntimeError):  # no home folder
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stellar" / subfolder
    with contextlib.suppress(OSError):
        own = Path(tempfile.gettempdir()) / f"stellar-compiled-{os.getuid()}"
        own.mkdir(mode=0o700, exist_ok=True)
        found = own.lstat()
        # machine code of another's making must not be run
        if found.st_uid == os.getuid() and not found.st_mode & 0o022:
            yield own / subfolder


@lru_cache(maxsize=64)
def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


class _Locator(UserProvidedCacheLocator):
    """Chooses the folder as the module's first lines say."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        subfolder = self.get_suitable_cache_subpath(file)
        name = f"{Path(file).stem}.{function.__qualname__}-{self.get_disambiguator()}."
        found = next((f for f in _folders(file, subfolder) if _writable(f) or self._warm(f, name)), None)
        self._cache_path = str(found) if found else ""

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator | None:
        locator = cls(function, file)
        return locator if locator._cache_path else None

    def get_source_stamp(self) -> bytes:
        return hashlib.sha256(_sources() + Path(self._py_file).read_bytes()).digest()

    def _warm(self, folder: Path, name: str) -> bool:
        """Whether a folder holds fresh code of the function for this processor; read as numba writes it."""
        processor = cpu_target.target_context.codegen().magic_tuple()
        for path in folder.glob(f"{name}*.nbi"):
            with contextlib.suppress(OSError, pickle.PickleError, EOFError), path.open("rb") as file:
                if pickle.load(file) != numba.__version__:  # noqa: S301
                    continue
                stamp, overloads = pickle.load(file)  # noqa: S301
                if stamp == self.get_source_stamp() and any(key[1] == processor for key in overloads):
                    return True
        return False


class _Results(CompileResultCacheImpl):
    _locator_classes = (_Locator,)  # type: ignore[assignment]


class _SkyCache(Cache):
    _impl_class = _Results  # type: ignore[assignment]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of a damaged file almost anything may come; it is made again
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # read-only or full; numba would raise
            super().save_overload(sig, data)
