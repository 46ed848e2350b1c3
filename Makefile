# The Stellar Platform. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install run up test test-scale test-ui bench lint lock clean install-dev install-bench

# PROFILE=real DATA=/path/to/files  ->  which profile, and where the files of the profile `real` lie
ifdef PROFILE
export STELLAR_PROFILE := $(PROFILE)
endif
ifdef DATA
export STELLAR_DATA := $(abspath $(DATA))
endif

# processes that the tests run in
WORKERS ?= 2

VENV := .venv
STELLAR := $(VENV)/bin/stellar

help:  ## this list
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/:.*  ## /\t/' | expand -t 12
	@echo
	@echo "BENCH=PART (python ops/bench.py --help lists them) or full   BENCH_DIR=where made skies are kept (a temporary folder)"
	@echo "PROFILE=simulated|tiny|real   DATA=folder of real files   STELLAR_HOME=where everything is kept (.stellar)"

install:  ## the environment in .venv, from the lock file
	@ops/install.sh

install-dev:
	@ops/install.sh dev

run: install  ## everything once: database, archive, Airflow, the whole flow, a summary; then stops
	@$(STELLAR) run

up: install  ## the platform and its UI on loopback, until Ctrl-C
	@$(STELLAR) up

test: install-dev  ## every test: unit, integration, end to end
	@$(VENV)/bin/python -m pytest -n $(WORKERS) --no-loadscope-reorder tests --ignore=tests/benchmarks --ignore=tests/scale --ignore=tests/ui

test-scale: install-dev  ## the same build on Celery workers and a Dask cluster, with workers killed (needs redis-server)
	@$(VENV)/bin/python -m pytest tests/scale

test-ui: install-dev  ## the pages in a browser, as an operator, an astronomer and an auditor use them (needs chromium)
	@$(VENV)/bin/python -m pytest tests/ui

bench: install-dev install-bench  ## the platform beside its peers, into docs/benchmarks.md (BENCH=full: all parts)
	@$(VENV)/bin/python -m pytest tests/benchmarks -s -q
	@$(VENV)/bin/python ops/bench.py $(BENCH)

install-bench:
	@ops/install.sh bench

lint: install-dev  ## style, types of configuration files, generated pages
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/hadolint Dockerfile Dockerfile.predict
	@$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	@$(VENV)/bin/python ops/dags_page.py --check
	@$(VENV)/bin/python ops/lightcurves_page.py --check
	@$(VENV)/bin/python ops/photometry_page.py --check

lock: install  ## resolve pyproject.toml into the lock files anew
	@ops/lock.sh

clean:  ## remove the environment and caches; homes (.stellar*) stay
	@rm -rf $(VENV) $(VENV)-bench .pytest_cache .mypy_cache .ruff_cache .hypothesis include/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "kept: $$(ls -d .stellar* 2>/dev/null || echo 'no home here')"
