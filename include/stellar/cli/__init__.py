"""The `stellar` command: one module of this package per sub-command, imported only when it is called.

A command is a row of `COMMANDS`: its name, the line that `--help` shows, and optionally the module when it is not
`stellar.cli.<name>`. The module has `app`, a `typer.Typer`: one function makes a plain command, several (or a callback)
make a group.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from contextlib import suppress
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from stellar import __version__
from stellar.errors import InputError, StellarError

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


class Entry(NamedTuple):
    """One line of `stellar --help`."""

    help: str
    module: str | None = None


COMMANDS: dict[str, Entry] = {
    "run": Entry("Run the whole flow once: syncs to scores, summary, stop."),
    "up": Entry("Start the platform and keep it: database, archive, Airflow and its UI, TAP service."),
    "doctor": Entry("What is installed, running, reachable and healthy, and what to do about what is not."),
    "sync": Entry("Bring what is new from the surveys."),
    "import": Entry("Make a dataset of tables on disk.", "stellar.cli.import_"),
    "crossmatch": Entry("Match two catalogues; the pairs become a dataset."),
    "plan": Entry("What would be rebuilt, partition by partition, and why."),
    "datasets": Entry("Datasets with their current snapshot, state, rows, bytes and folder."),
    "verify": Entry("Check stored files: hashes, rows, margins, against the ledger."),
    "export": Entry("Copy a dataset out of the lake, as a plain HATS catalogue."),
    "backup": Entry("Write the home into one file."),
    "restore": Entry("Make a home of a backup."),
    "ledger": Entry("The ledger: make it again from the lake."),
    "sql": Entry("Ask a question in SQL over the current datasets and the ledger."),
    "tap": Entry("Serve the datasets to TOPCAT, STILTS, pyvo and astroquery (IVOA TAP)."),
    "lineage": Entry("Where a row, dataset or model came from, and what came of it."),
    "gates": Entry("Gate results and failing rows."),
    "quarantine": Entry("Refused rows: list, rows, release, discard, reopen."),
    "models": Entry("Model versions: list, show, promote, rollback, card, export, import."),
    "train": Entry("Train one model, or all."),
    "predict": Entry("Predict for a file of objects."),
    "score": Entry("Score the catalogue with the current models."),
    "notify": Entry("Where the operator is told of failed and late runs; send a trial message."),
    "archive": Entry("The embedded archive: build, serve."),
}


def module_of(name: str) -> str:
    """Module that holds a command."""
    return COMMANDS[name].module or f"{__name__}.{name}"


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called, so that `stellar --help` needs none of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if importlib.util.find_spec(module_of(name))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Name and help of a command: enough to list it."""
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name].help) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, with its options, at the time it is called."""
        name, light, rest = super().resolve_command(ctx, args)
        if light is None:
            return name, light, rest
        sub_app = importlib.import_module(module_of(light.name)).app
        sub_app._add_completion = False  # completion belongs to `stellar`, not to each of its commands
        command = typer.main.get_command(sub_app)
        command.name, command.help = light.name, command.help or light.help
        return name, command, rest


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(help="The Stellar Platform: from public sky surveys to scored, queryable, traceable star catalogues.")
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None: ...


def main(argv: list[str] | None = None) -> None:
    """Run the command; errors that are meant for a person are printed without a traceback."""
    try:
        app(args=argv, prog_name="stellar")
    except StellarError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, InputError) else EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # `stellar sql … | head`
        sys.stderr.close()
        sys.exit(EXIT_FAILED)


def run() -> None:
    """The `stellar` command as a process: `main`, and out at once.

    Python's own way out takes the imported libraries apart object by object, up to half a second after a cross-match.
    """
    # imports make some 100,000 objects that stay: looking through them again and again takes a tenth of the start
    gc.set_threshold(50_000)
    # Arrow takes memory in small pages: zeroing huge ones, used in part, took up to a quarter of a short command
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
    # Pydantic would look through every installed package for plugins, which nothing here has
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = 0
    try:
        main()
    except SystemExit as told:
        code = told.code if isinstance(told.code, int) else int(told.code is not None)
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
