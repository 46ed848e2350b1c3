"""List columns of a frame as arrays, and the spectra that three of them hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.errors import InputError

SEQUENCES = ("flux", "ivar", "mask")


@dataclass(frozen=True)
class Spectra:
    """Continuum-normalised spectra on one grid.

    Parameters
    ----------
    flux, ivar : float64[n, p]
        1 and 0 where the bin must not be used.
    """

    flux: np.ndarray
    ivar: np.ndarray

    def __len__(self) -> int:
        return len(self.flux)

    def take(self, rows: np.ndarray | slice) -> Spectra:
        return Spectra(self.flux[rows], self.ivar[rows])

    @property
    def good(self) -> np.ndarray:
        return self.ivar > 0

    def noise(self) -> np.ndarray:
        """Median variance of the good bins of each spectrum, float64[n]; NaN without a good bin."""
        variance = np.where(self.good, 1 / np.where(self.good, self.ivar, 1.0), np.nan)
        found = np.full(len(variance), np.nan)
        some = self.good.any(axis=1)
        found[some] = np.nanmedian(variance[some], axis=1)
        return found


def spectra_of(X: pa.Table, bins: int | None = None) -> Spectra:
    """The list columns `flux`, `ivar`, `mask` of a frame.

    Raises
    ------
    InputError
        When a column lacks, a row is null, or the lengths are not all the same (`bins`, where given).
    """
    flux, ivar, mask = (list_matrix(X, name, np.float64) for name in SEQUENCES)
    if not flux.shape == ivar.shape == mask.shape:
        raise InputError(
            f"columns flux, ivar and mask have {flux.shape[1]}, {ivar.shape[1]} and {mask.shape[1]} bins; "
            "all three must be on one grid"
        )
    if bins is not None and X.num_rows and flux.shape[1] != bins:
        raise InputError(f"spectra have {flux.shape[1]} bins, the model learnt {bins}: another grid")
    good = (mask == 0) & np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
    return Spectra(np.where(good, flux, 1.0), np.where(good, ivar, 0.0))


def list_array(X: pa.Table, name: str) -> pa.ListArray:
    """List column as one array.

    Raises
    ------
    InputError
        When the column is missing or holds no lists.
    """
    if name not in X.column_names:
        raise InputError(f"the frame lacks list column {name}; it has {', '.join(X.column_names)}")
    column = X.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # an empty column stays chunked
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise InputError(f"column {name} is {column.type}; a sequence model reads a list of values per row")
    return column


def list_matrix(X: pa.Table, name: str, dtype: type = np.float32) -> np.ndarray:
    """List column whose rows all have one length, as a matrix [n, length]; nulls among numbers become NaN.

    Raises
    ------
    InputError
        When a row is null, or longer or shorter than the first.
    """
    column = list_array(X, name)
    if column.null_count:
        row = int(column.is_null().to_numpy(zero_copy_only=False).argmax())
        raise InputError(f"column {name}: row {row} is null; a spectrum without data has its bins masked")
    lengths = np.diff(column.offsets.to_numpy())
    if len(set(lengths.tolist())) > 1:
        row = int((lengths != lengths[0]).argmax())
        raise InputError(
            f"column {name}: row 0 has {lengths[0]} bins and row {row} {lengths[row]}; spectra must all be on one grid"
        )
    flat = column.flatten()
    if pa.types.is_boolean(flat.type):
        flat = flat.fill_null(True) if flat.null_count else flat  # what is not known to be good is masked
    width = int(lengths[0]) if len(lengths) else 0
    return flat.to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(len(column), width)
