"""Which file says what must hold of a dataset: `config/gates/<dataset>.yaml`, else `<layer>.yaml`, else `default.yaml`.

Apart from `stellar.quality.suites`, which reads them: the gate that counts (`stellar.quality.numbers`) needs no more
than to know that a table has no suite of its own.
"""

from __future__ import annotations

from pathlib import Path

from stellar.errors import InputError
from stellar.settings import CONFIG

GATES = CONFIG / "gates"


def suite_file(dataset: str) -> Path:
    """The file of a dataset's suite: its own, its layer's, or the default one.

    Raises
    ------
    InputError
        When the name is not `layer.subject`, or there is no such file.
    """
    layer, dot, subject = dataset.partition(".")
    if not (layer.isidentifier() and dot and subject.isidentifier()):
        raise InputError(f"{dataset!r} is not a dataset's name; expected layer.subject, for example curated.gaia")
    for name in (dataset, layer, "default"):
        path = GATES / f"{name}.yaml"
        if path.exists():
            return path
    raise InputError(f"{GATES / 'default.yaml'}: missing; reinstall the package")


def counts_alone(dataset: str) -> bool:
    """Whether a dataset's gate is that of users' own tables, which counts instead of loading the rows."""
    return dataset.startswith("own.") and suite_file(dataset).stem == "own"
