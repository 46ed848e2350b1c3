"""`python -m stellar`: the same as the `stellar` command."""

from stellar.cli import run

run()
