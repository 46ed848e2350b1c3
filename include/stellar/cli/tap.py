"""`stellar tap`: the datasets by IVOA's Table Access Protocol."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def command(
    port: Annotated[int, typer.Option(help="Port on loopback; the kernel names a free one unless given")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen at; whoever reaches it may read all datasets")
    ] = "127.0.0.1",
) -> None:
    """Serve the published datasets to TOPCAT, STILTS, pyvo and astroquery until Ctrl-C; reads only."""
    from stellar.serving.tap.serve import serve
    from stellar.settings import load_settings

    serve(load_settings(), host, port, typer.echo)
