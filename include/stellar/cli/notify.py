"""`stellar notify`: where messages for the operator go, whether they arrive, and sending those that wait."""

from __future__ import annotations

import platform
import uuid
from typing import Annotated

import typer

from stellar.errors import InputError

app = typer.Typer()


@app.command()
def command(
    test: Annotated[bool, typer.Option("--test", help="Send a trial message now; exit 1 if it is not taken")] = False,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="Send what waits in the outbox, trying for some minutes")
    ] = False,
) -> None:
    """Where the operator is told of failed and late runs (STELLAR_NOTIFY), and how many messages wait to be sent.

    The address is smtp://USER@HOST:PORT/?to=ADDRESS (password in the home's secrets/notify_password, mode 0600, or
    &password_file=PATH; &starttls=required; &cafile=PATH), smtps://…, https://HOOK, or file:PATH of a file (mode 0600)
    that holds one of these.
    """
    from stellar.notify import outbox
    from stellar.notify.message import Message
    from stellar.notify.send import send
    from stellar.notify.target import target_of
    from stellar.settings import load_settings

    settings = load_settings()
    target = target_of(settings)
    if deliver:
        sent, left = outbox.deliver(settings, say=typer.echo)
        typer.echo(f"{sent} messages sent, {left} left")
        return
    if target is None:
        if test:
            raise InputError("messages are off: set STELLAR_NOTIFY, see `stellar notify --help`")
        typer.echo("off: set STELLAR_NOTIFY, see `stellar notify --help`")
        return
    if test:
        said = f"A trial message of the Stellar Platform in {settings.home} on {platform.node()}. All is well."
        send(target, Message(uuid.uuid4().hex[:16], "test", "trial message", said))
        typer.echo(f"sent to {target}")
        return
    typer.echo(f"to {target}; {len(outbox.waiting(settings))} messages wait in {outbox.folder(settings)}")
