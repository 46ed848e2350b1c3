"""Measure the platform beside its peers and write docs/benchmarks.md: `python ops/bench.py [PART …]`.

Parts: table (the default: 2 M x 1 M rows), big (20 M x 10 M), scaling (1 M to 50 M), increment, cones, density,
quality, lightcurves, spectra, photometry, lineage, pages; `full` is all of them. Each part's figures are kept in
docs/benchmarks.json, so that any can be measured again alone.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import machine, page  # noqa: E402
from benchmarks.measure import CommandFailedError  # noqa: E402
from benchmarks.parts import PARTS, Bench  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--ours", action="store_true", help="measure only our commands; keep the peers' figures")
    side.add_argument("--peers", action="store_true", help="measure only the peers; keep our figures")
    parser.add_argument("--page", action="store_true", help="only write the page anew from the figures")
    args = parser.parse_args()
    if unknown := set(args.parts) - {*PARTS, "full"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    parts = list(PARTS) if "full" in args.parts else args.parts or ["table"]
    docs = ROOT / "docs"
    figures_file = docs / "benchmarks.json"
    figures = json.loads(figures_file.read_text()) if figures_file.exists() else {}
    bench = Bench(
        folder=Path(os.environ.get("BENCH_DIR") or Path(tempfile.gettempdir()) / "stellar-bench"),
        real=Path(os.environ.get("STELLAR_DATA") or ROOT.parent / "shared" / "real"),
        docs=docs,
        say=lambda line: print(line, flush=True),
        ours=not args.peers,
        peers=not args.ours,
    )
    bench.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in [] if args.page else parts:
        print(f"== {name}", flush=True)
        try:
            found = PARTS[name](bench, figures.get(name, {}))
        except CommandFailedError as error:
            failed.append(name)
            print(f"error: {error}", file=sys.stderr, flush=True)
            continue
        if found:
            figures[name] = found | {"machine": machine.describe()}
            figures_file.write_text(json.dumps(figures, indent=1) + "\n")
    (docs / "benchmarks.md").write_text(page.render(figures))
    print("\n".join(page.requirements(figures)))
    print(f"written: {docs / 'benchmarks.md'}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
