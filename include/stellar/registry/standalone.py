"""Predictions of an exported folder, without a home, a database or the rest of the platform.

It needs what `requirements-predict.txt` lists. Files of spectra and light curves take the readers and features of the
whole platform: import the folder into a home for these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from stellar.errors import InputError, IntegrityError
from stellar.registry.bundle import Bundle
from stellar.registry.feature_tables import Predictions, predictions, tables_of_features, text_of
from stellar.registry.manifest import BUNDLE, FORMAT, KIND, MANIFEST, read_json
from stellar.registry.store import address_of, list_files

Progress = Callable[[str, int, int], None]


def is_export(given: str) -> bool:
    """Whether a model's name is the path of an exported folder.

    Raises
    ------
    InputError
        For a folder that holds no export.
    """
    with contextlib.suppress(OSError):
        if (Path(given) / MANIFEST).is_file():
            return True
    if "/" in given:
        raise InputError(f"{given}: no folder that `stellar models export` wrote: it has no {MANIFEST}")
    return False


def open_export(folder: Path) -> tuple[Bundle, str]:
    """The bundle of an exported folder and its version's key, after its files were held against their hashes.

    Raises
    ------
    InputError
        When it is no export of a format that is read here.
    IntegrityError
        When the bundle is not what the manifest says.
    """
    manifest = read_json(folder / MANIFEST)
    if (manifest.get("format"), manifest.get("kind")) != (FORMAT, KIND):
        said = f"format {manifest.get('format')!r} of {manifest.get('kind')!r}"
        raise InputError(f"{folder / MANIFEST}: {said} is not read; export it again")
    try:
        address = address_of(list_files(folder / BUNDLE))
    except InputError as fault:
        raise IntegrityError(str(fault)) from None
    if address != manifest.get("artifact_sha256"):
        raise IntegrityError(f"{folder / BUNDLE}: its files are not what {MANIFEST} says; get the folder again")
    return Bundle.load(folder / BUNDLE), str(manifest.get("version"))


def predict(
    folder: Path,
    inputs: Sequence[str],
    progress: Progress | None = None,
    *,
    keep: Callable[[pa.Table], None] | None = None,
) -> Predictions:
    """Predict for every row of some tables of features.

    Parameters
    ----------
    inputs : sequence of str
        Parquet and CSV files with the model's columns.
    progress : callable, optional
        Called as (what, inputs done, inputs).
    keep : callable, optional
        Called with each batch of predictions, which the result's table then does not hold.

    Returns
    -------
    Predictions
        As `stellar.flow.predict` gives them.

    Raises
    ------
    InputError
        When nothing of the inputs can be used; with the reasons.
    """
    bundle, key = open_export(folder)
    made = Predictions(f"{bundle.meaning.model} ({key[:16]})")
    rows = _rows(bundle, inputs, made.refused, progress or (lambda what, done, total: None))
    for part in predictions(bundle, rows, key, lambda where, why: made.refused.append((where, why))):
        made.add(part, keep)
    made.check()
    return made


def _rows(bundle: Bundle, inputs: Sequence[str], refused: list[tuple[str, str]], tell: Progress) -> Iterator[pa.Table]:
    for done, given in enumerate(inputs):
        tell("predict", done, len(inputs))
        try:
            tables = tables_of_features(Path(given), bundle, is_of_curated=False)
            if tables is None:
                raise InputError(
                    "no table of features (.parquet, .csv); a home that imported the model (`stellar models import`) "
                    "reads spectra, light curves, folders and datasets too"
                )
            yield from tables
        except (InputError, OSError, pa.ArrowException) as fault:
            refused.append((text_of(given), str(fault).removeprefix(f"{given}: ")))
    tell("predict", len(inputs), len(inputs))
