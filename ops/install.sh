#!/usr/bin/env bash
# Make .venv from the lock file, or find that it is up to date. `install.sh dev` adds what tests and checks need;
# `install.sh bench` makes .venv-bench, the peers that the benchmarks measure, which the platform is no part of.
set -euo pipefail
cd "$(dirname "$0")/.."

UV=0.13.8
VENV=.venv
LOCK=requirements.txt
PRODUCT=stellar
case ${1:-} in
    dev) LOCK=requirements-dev.txt ;;
    bench) LOCK=requirements-bench.txt VENV=.venv-bench PRODUCT= ;;
esac

fail() { echo "error: $*" >&2; exit 2; }

[[ $(uname -s) == Linux ]] || fail "this is $(uname -s); the platform runs on Linux x86-64"
[[ $(uname -m) == x86_64 ]] || fail "this is $(uname -m); the platform runs on Linux x86-64"

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
        if command -v "$candidate" >/dev/null && supported "$candidate"; then command -v "$candidate"; return; fi
    done
    fail "no Python 3.11, 3.12 or 3.13 found (python3 is $(python3 --version 2>&1 || true)); install one, or name it: make install PYTHON=/path/to/python3.11"
}

[[ -z ${PYTHON:-} ]] || supported "$PYTHON" || fail "$PYTHON is $("$PYTHON" --version 2>&1); the platform needs Python 3.11, 3.12 or 3.13"
if [[ -x $VENV/bin/python ]] && ! supported $VENV/bin/python; then
    fail "$VENV holds $($VENV/bin/python --version 2>&1 || echo 'a broken Python'); the platform needs Python 3.11 to 3.13: run make clean"
fi

# now, not in every command where the environment has PYTHONDONTWRITEBYTECODE, nor in the first cross-match
compile() {
    [[ -n $PRODUCT ]] || return 0
    $VENV/bin/python -m compileall -qq include dags plugins || true  # a checkout that cannot be written works too
    $VENV/bin/python -m stellar.sky.kernel >/dev/null
    $VENV/bin/python -m stellar.features.lightcurves >/dev/null  # half a minute, once for a version of the sources
}

want() { cat "$1" pyproject.toml | sha256sum | cut -d' ' -f1; }
# the environment of the tests holds that of the platform
if [[ -x $VENV/bin/${PRODUCT:-python} ]]; then
    for lock in "$LOCK" requirements-dev.txt; do
        if [[ $(cat "$VENV/.stamp-$lock" 2>/dev/null || true) == "$(want "$lock")" ]]; then compile; exit 0; fi
    done
fi

if [[ ! -x $VENV/bin/python ]]; then
    python=$(find_python)  # on its own line, so that its failure ends this script
    "$python" -m venv $VENV
fi
echo "installing $(grep -c '==' "$LOCK") packages into $VENV ($($VENV/bin/python --version))"

# uv installs the lock in seconds where pip takes minutes; both check every hash
by_uv() {
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV" &&
        $VENV/bin/python -m uv pip install --quiet --native-tls --python $VENV/bin/python \
            --no-deps --require-hashes --compile-bytecode -r "$LOCK"
}
by_pip() {
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$LOCK"
}
by_uv || { echo "uv could not; pip installs instead, which takes some minutes"; by_pip; }

# the lock holds setuptools, so the project itself builds without the network
if [[ -n $PRODUCT ]]; then
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    compile
fi
want "$LOCK" >"$VENV/.stamp-$LOCK"
