"""Functions that numba compiles, once, into machine code that runs without it.

`compiled` marks a function. With a signature it is an entry, which Python calls through `stellar.sky.native`; without
one it is taken into the code of those that call it. `object_code` compiles all entries. Nothing here is imported when
they are called: numba takes half a second to import, and as long again to load what it compiled.

Entries allocate nothing (they are compiled without numba's runtime, so numba refuses): what they need comes as
arguments. Nor do they raise.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numba
from numba.core import compiler, types
from numba.core.registry import cpu_target
from numba.core.sigutils import normalize_signature
from numba.core.typing.templates import Signature

#: Modules with entries.
MODULES = ("stellar.sky.bins", "stellar.sky.dense", "stellar.sky.search")

_entries: dict[str, tuple[Callable[..., Any], Signature]] = {}


def compiled(signature: Signature | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Have a function compiled: as an entry of a signature, or for whatever entries call it."""

    def wrap(function: Callable[..., Any]) -> Any:
        if signature is None:
            return numba.njit(nogil=True, error_model="numpy", _nrt=False)(function)
        _entries[function.__name__] = function, signature
        return function

    return wrap


def object_code() -> dict[str, dict[str, Any]]:
    """Compile every entry for this processor.

    Returns
    -------
    dict of dict
        By the function's name: ``symbol``; ``takes``, the types of its arguments as `stellar.sky.native` names them;
        ``returns``, the NumPy type and number of what it returns; ``code``, an object file.
    """
    for name in MODULES:
        import_module(name)
    return {name: _compile(*entry) for name, entry in _entries.items()}


def _compile(function: Callable[..., Any], signature: Signature) -> dict[str, Any]:
    arguments, returned = normalize_signature(signature)
    flags = compiler.Flags()
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    made = compiler.compile_extra(
        cpu_target.typing_context, cpu_target.target_context, function, arguments, returned, flags, {}
    )
    many = returned.count if isinstance(returned, types.UniTuple) else 1
    one = returned.dtype if isinstance(returned, types.UniTuple) else returned
    library = made.library
    return {
        "symbol": made.fndesc.llvm_func_name,
        "takes": [leaf for argument in arguments for leaf in _leaves(argument)],
        "returns": [str(one), many] if one is not types.none else None,
        "code": library.codegen._tm.emit_object(library._final_module),
    }


def _leaves(argument: types.Type) -> list[str]:
    if isinstance(argument, types.BaseTuple):
        return [leaf for one in argument for leaf in _leaves(one)]
    if isinstance(argument, types.Array):
        return [f"{'' if argument.mutable else 'const '}{argument.dtype}[{argument.ndim}]"]
    return [str(argument)]
