#!/usr/bin/env bash
# Resolve pyproject.toml into requirements.txt (the platform), requirements-dev.txt (with tests and checks),
# requirements-predict.txt (what predictions of an exported model need, of the platform's versions),
# and requirements-bench.txt (the peers that the benchmarks measure, for an environment of their own).
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/python -m uv pip compile --native-tls --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@"
}
compile pyproject.toml --output-file requirements.txt
compile pyproject.toml --extra dev --constraint requirements.txt --output-file requirements-dev.txt
compile --group pyproject.toml:predict --constraint requirements.txt --output-file requirements-predict.txt
compile --group pyproject.toml:bench --constraint requirements-dev.txt --output-file requirements-bench.txt
