"""The benchmarks: made skies, the peers, measurements of whole processes. `ops/bench.py` runs them."""
