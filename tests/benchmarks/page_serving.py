"""Sections of the page on what the pages in the browser wait for."""

from statistics import median

from benchmarks.figures import rows, times

LINEAGE_WAYS = {
    "ours": "`stellar.ledger.lineage_graph.subgraph`: the walk and every node's facts",
    "page": "what the page Lineage asks for: the same, found by name and written as JSON",
    "networkx, in memory": "networkx `ancestors`, the whole ledger's edges already in memory, no facts",
    "networkx, edges loaded first": "networkx, with loading the edges from the ledger",
    "one query a node": "the parents of each node asked for in turn",
}


def density(part: dict) -> list[str]:
    """The map of the page Sky."""
    lines = [[name, f"{median(took):,.0f} ms", f"{max(took):,.0f} ms"] for name, took in part["ms"].items()]
    return [
        f"Measured {part['date']}; {part['rows']:,} rows over the whole sky in {part['partitions']:,} partitions, in "
        "one process, files in the page cache; times end with the answer as JSON, "
        f"{part['bytes'] / 2**20:.1f} MiB for order 6. Each partition is counted once in its life; the counts of all "
        f"and of one mean take {part['cache_bytes'] / 2**20:.0f} MiB of the home's cache.",
        rows(["answer", "median", "slowest"], lines),
    ]


def pages(part: dict) -> list[str]:
    """The section on the page Catalogue."""
    names = {"cone": "cone of 0.1 degrees", "id": "one id"}
    lines = [
        [names[kind], *(f"{part[kind][key]:,.0f} ms" for key in ("first_ms", "p50_ms", "p95_ms"))] for kind in names
    ]
    return [
        f"Measured {part['date']}; {part['rows']:,} rows, all columns, from the question to its answer, in a process"
        f" that was started before ({part['start_s']:.1f} s) and has been up for {part['up_s']:.0f} s. It warms up"
        " with a question about another dataset; of this one nobody asked before. The index of ids is made aside"
        " after the start: until it is there, questions for an id read the whole column.",
        rows(["question", "first", "median of the others", "95th percentile"], lines),
    ]


def lineage(part: dict) -> list[str]:
    """The section on the lineage of a score."""
    lines = [
        [label, f"{part['ms'][name]:,.1f} ms",
         f"{part['spread_ms'][name][0]:,.1f} to {part['spread_ms'][name][1]:,.1f} ms",
         times(part["ms"][name] / part["ms"]["ours"])]
        for name, label in LINEAGE_WAYS.items()
    ]  # fmt: skip
    return [
        f"Measured {part['date']}; a score with {part['ancestors']:,} ancestors over {part['edges']:,} edges, in a "
        f"ledger of {part['ledger_edges']:,} edges made by SQL. All ways find the same ancestors; medians, the fastest "
        "and the slowest of nine rounds in turns (the last way once).",
        rows(["ancestors of a score", "median", "from, to", "of ours"], lines),
    ]
