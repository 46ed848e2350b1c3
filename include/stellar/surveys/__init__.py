"""Surveys: one module each, `plan(scope, done)` -> work units and `fetch(unit)` -> Arrow table with provenance."""
