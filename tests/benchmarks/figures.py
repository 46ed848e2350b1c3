"""What the page of benchmarks reads from a record, and how it writes tables and verdicts."""

from collections.abc import Iterable
from statistics import median

NOT_WORK = {"start", "ledger", "workers"}  # our process start and ledger; the start of the peers' Dask workers


def work(record: dict) -> float:
    """Seconds of a command's own phases; of the whole process where it does not time itself."""
    if not record["phases"]:
        return median(record["wall"])
    return median(sum(took for name, took in run.items() if name not in NOT_WORK) for run in record["phases"])


def wall(record: dict) -> float:
    """Seconds of the whole process."""
    return median(record["wall"])


def apart(record: dict) -> float:
    """Seconds of the whole process without the start of the interpreter and without our ledger."""
    both = (run["start"] + run["ledger"] for run in record["phases"])
    return median(whole - less for whole, less in zip(record["wall"], both, strict=True))


def phase(record: dict, *names: str) -> float:
    """Seconds of some phases together."""
    return median(sum(run.get(name, 0.0) for name in names) for run in record["phases"])


def rows(header: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    header = list(header)
    text = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*text, *("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)])


def mib(*records: dict) -> str:
    """Largest peak of some commands."""
    return f"{max(record['peak_bytes'] for record in records) / 2**20:,.0f} MiB"


def times(ratio: float) -> str:
    """A ratio."""
    return f"{ratio:.1f} x"


def faster(part: dict, name: str, than: str = "astropy") -> float:
    """Median over the rounds of how many times faster a tool is than another of the same round."""
    return median(theirs / ours for ours, theirs in zip(part["ms"][name], part["ms"][than], strict=True))


def state(met: bool, text: str) -> str:
    """A line on something that was asked for."""
    return f"- {'met' if met else '**missed**'}: {text}"
