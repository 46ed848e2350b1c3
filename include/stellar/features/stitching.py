"""Sectors and quarters of one star on one scale: a factor (fluxes) or an offset (magnitudes) for each segment.

Instruments and apertures differ between segments, stars do not. So a segment is moved as a whole and never bent: within
it relative fluxes, and differences of magnitudes, stay what they were. Where two segments overlap in time, they are
moved so that they agree there; where none overlaps, the robust middles of the segments are made equal, and then
variation that is slower than a segment is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stellar.errors import InputError

Kind = Literal["flux", "mag"]
#: What was done with a segment: nothing, moved to agree with one that overlaps, moved by its middle, or left out.
REFERENCE, OVERLAP, MEDIAN, REFUSED = "reference", "overlap", "median", "refused"
LEAST_BINS = 3  # with points of both segments, for an overlap to be believed
CADENCES_PER_BIN = 5.0


@dataclass(frozen=True)
class Segment:
    """One segment's points in any order, without gaps as NaN: days, flux or magnitude, and its error, float64[n]."""

    label: str
    time: np.ndarray
    value: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Stitched:
    """All points in order of time.

    Attributes
    ----------
    time, value, error : float64[n]
        Fluxes are on the scale of the reference, magnitudes on its zero point.
    segment : int64[n]
        Which of the given segments each point is of.
    how : tuple of str
        For each given segment `REFERENCE`, `OVERLAP`, `MEDIAN` or `REFUSED` (a flux without a positive middle).
    moved : float64[segments]
        By what each was multiplied (fluxes), or what was added to it (magnitudes); NaN where refused.
    """

    time: np.ndarray
    value: np.ndarray
    error: np.ndarray
    segment: np.ndarray
    how: tuple[str, ...]
    moved: np.ndarray


def stitch(segments: Sequence[Segment], kind: Kind) -> Stitched:
    """Segments of one star on the scale of the one with the most points.

    Raises
    ------
    InputError
        When there is no segment, or arrays of one differ in length.
    """
    if not segments:
        raise InputError("there is no segment to stitch")
    for one in segments:
        if not len(one.time) == len(one.value) == len(one.error):
            raise InputError(f"segment {one.label}: arrays of different length")
    middles = np.array([np.median(one.value) if len(one.value) else np.nan for one in segments])
    usable = np.isfinite(middles) & ((middles > 0) if kind == "flux" else True)
    # a step is what takes a segment to another: the difference of magnitudes, or of ln flux
    how, steps = [REFUSED] * len(segments), np.full(len(segments), np.nan)
    sizes = np.array([len(one.time) for one in segments])
    links = _links(segments, usable, kind)
    levels = np.log(np.where(usable, middles, 1.0)) if kind == "flux" else middles
    level: float | None = None
    todo = set(np.flatnonzero(usable).tolist())
    while todo:
        root = max(todo, key=lambda i: (sizes[i], -i))
        group = _group(root, links, todo)
        todo -= set(group)
        own = _middle(group, levels, sizes)
        shift = 0.0 if level is None else level - own
        for i, (step, is_linked) in group.items():
            steps[i] = step + shift
            how[i] = OVERLAP if is_linked else REFERENCE if level is None else MEDIAN
        level = own if level is None else level
    moved = np.exp(steps) if kind == "flux" else steps
    return _put_together(segments, moved, tuple(how), kind)


def _middle(group: Mapping[int, tuple[float, bool]], levels: np.ndarray, sizes: np.ndarray) -> float:
    """Level of segments that agree: the middle of their own levels, weighted by their points."""
    own = np.array([levels[i] + step for i, (step, _) in group.items()])
    order = np.argsort(own, kind="stable")
    share = np.cumsum(sizes[list(group)][order])
    return float(own[order][np.searchsorted(share, share[-1] / 2)])


def stitch_points(
    time: np.ndarray,
    value: np.ndarray,
    error: np.ndarray,
    segment: np.ndarray,
    kind: Kind,
    good: np.ndarray | None = None,
) -> Stitched:
    """`stitch` for points that say which segment they are of.

    Parameters
    ----------
    segment : int64[n]
        The segments are taken in the order of these numbers.
    good : bool[n], optional
        Points to use; those that are not finite or have no positive error never are.
    """
    usable = np.isfinite(time) & np.isfinite(value) & np.isfinite(error) & (error > 0)
    usable &= True if good is None else good
    parts = []
    for number in np.unique(segment):
        at = usable & (segment == number)
        parts.append(Segment(str(number), time[at], value[at], error[at]))
    return stitch(parts, kind)


def _links(segments: Sequence[Segment], usable: np.ndarray, kind: Kind) -> dict[tuple[int, int], tuple[int, float]]:
    """Pairs that overlap: how many bins have points of both, and the step that takes the second to the first."""
    found = {}
    for i in np.flatnonzero(usable).tolist():
        for j in np.flatnonzero(usable).tolist():
            if i < j and (link := _overlap(segments[i], segments[j], kind)) is not None:
                found[i, j] = link
                found[j, i] = link[0], -link[1]
    return found


def _overlap(one: Segment, other: Segment, kind: Kind) -> tuple[int, float] | None:
    """Bins in which both have points, and the median over them of what takes the second's level to the first's."""
    begin, end = max(one.time.min(), other.time.min()), min(one.time.max(), other.time.max())
    if not end > begin:
        return None
    width = CADENCES_PER_BIN * max(_cadence(one.time), _cadence(other.time))
    a, b = (_binned(part, begin, end, width, kind) for part in (one, other))
    shared = sorted(set(a) & set(b))
    if len(shared) < LEAST_BINS:
        return None
    return len(shared), float(np.median([a[bin_] - b[bin_] for bin_ in shared]))


def _cadence(time: np.ndarray) -> float:
    return float(np.median(np.diff(np.sort(time)))) if len(time) > 1 else 0.0


def _binned(part: Segment, begin: float, end: float, width: float, kind: Kind) -> dict[int, float]:
    """Median of magnitude, or ln of the median flux, by number of the bin; flux bins below zero are left out."""
    inside = (part.time >= begin) & (part.time <= end)
    time, value = part.time[inside], part.value[inside]
    if not len(time):
        return {}
    number = ((time - begin) / width).astype(np.int64) if width > 0 else np.zeros(len(time), np.int64)
    order = np.argsort(number, kind="stable")
    numbers, starts = np.unique(number[order], return_index=True)
    levels = [float(np.median(group)) for group in np.split(value[order], starts[1:])]
    if kind == "mag":
        return dict(zip(numbers.tolist(), levels, strict=True))
    return {n: float(np.log(level)) for n, level in zip(numbers.tolist(), levels, strict=True) if level > 0}


def _group(root: int, links: dict[tuple[int, int], tuple[int, float]], todo: set[int]) -> dict[int, tuple[float, bool]]:
    """Segments that overlap with the root, or with one that does: step to the root, and whether there was a link.

    The overlap with the most bins is followed first (Prim's spanning tree).
    """
    reached: dict[int, tuple[float, bool]] = {root: (0.0, False)}
    while True:
        ways = [(n, -i, -j, step) for (i, j), (n, step) in links.items() if i in reached and j in todo - set(reached)]
        if not ways:
            return reached
        _, i, j, step = max(ways)
        reached[-j] = reached[-i][0] + step, True


def _put_together(segments: Sequence[Segment], moved: np.ndarray, how: tuple[str, ...], kind: Kind) -> Stitched:
    kept = [i for i, one in enumerate(how) if one != REFUSED]
    parts = [(segments[i], moved[i]) for i in kept]
    time = np.concatenate([one.time for one, _ in parts]) if parts else np.empty(0)
    if kind == "flux":
        value = np.concatenate([one.value * by for one, by in parts]) if parts else np.empty(0)
        error = np.concatenate([one.error * by for one, by in parts]) if parts else np.empty(0)
    else:
        value = np.concatenate([one.value + by for one, by in parts]) if parts else np.empty(0)
        error = np.concatenate([one.error for one, _ in parts]) if parts else np.empty(0)
    segment = np.repeat(np.array(kept, np.int64), [len(one.time) for one, _ in parts])
    order = np.argsort(time, kind="stable")
    return Stitched(time[order], value[order], error[order], segment[order], how, moved)
