"""One attempt to send one message."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate

import httpx

from stellar.errors import ServiceError
from stellar.notify.message import Message
from stellar.notify.target import Mail, Target, Webhook

TIMEOUT_S = 10.0
# a hook that answers so will not answer otherwise in a minute
_FOR_GOOD = {400, 401, 403, 404, 405, 410, 413}


class SendError(ServiceError):
    """A message was not taken. `for_good`: trying again soon is of no use."""

    def __init__(self, target: Target, message: Message, reason: str, *, for_good: bool = False) -> None:
        super().__init__(f"notifications to {target}", message.id, reason)
        self.for_good = for_good


def send(target: Target, message: Message, timeout_s: float = TIMEOUT_S) -> None:
    """Hand a message over.

    Raises
    ------
    SendError
        When it was not taken; neither address of a hook nor password are in it.
    """
    if isinstance(target, Webhook):
        _post(target, message, timeout_s)
    else:
        _mail(target, message, timeout_s)


def _post(target: Webhook, message: Message, timeout_s: float) -> None:
    """`text` is what chat services show; the rest is for programs."""
    body = message.to_dict() | {"text": f"{message.subject}\n\n{message.body}"}
    try:
        # the code is all that matters: what else a hook sends, however slowly, is not waited for
        with (
            httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=False) as client,
            client.stream("POST", target.url, json=body) as answer,
        ):
            code = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SendError(target, message, f"no answer: {type(error).__name__}") from None
    if not httpx.codes.is_success(code):
        raise SendError(target, message, f"answered {code}", for_good=code in _FOR_GOOD)


def _mail(target: Mail, message: Message, timeout_s: float) -> None:
    letter = EmailMessage()
    letter["Subject"], letter["From"], letter["To"] = message.subject, target.sender, ", ".join(target.to)
    letter["Date"], letter["Message-ID"] = formatdate(localtime=True), f"<{message.id}@stellar>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.body)
    try:
        with _connected(target, message, timeout_s) as server:
            if target.user:
                server.login(target.user, target.password or "")
            refused = server.send_message(letter)
    except smtplib.SMTPAuthenticationError as error:
        raise SendError(target, message, f"the login was refused ({error.smtp_code})", for_good=True) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise SendError(target, message, f"refused for {', '.join(error.recipients)}", for_good=True) from None
    except ssl.SSLCertVerificationError as error:
        raise SendError(target, message, f"its certificate is not trusted: {error.verify_message}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise SendError(target, message, f"{type(error).__name__}: {error}") from None
    if refused:
        raise SendError(target, message, f"refused for {', '.join(refused)}", for_good=True)


def _connected(target: Mail, message: Message, timeout_s: float) -> smtplib.SMTP:
    """A connection, encrypted where it has to be."""
    trusted = ssl.create_default_context(cafile=target.cafile)
    if target.implicit_tls:
        return smtplib.SMTP_SSL(target.host, target.port, timeout=timeout_s, context=trusted)
    server = smtplib.SMTP(target.host, target.port, timeout=timeout_s)
    try:
        server.ehlo()
        needed = target.starttls == "required" or (target.user is not None and not target.is_near)
        if target.starttls != "never" and (server.has_extn("starttls") or needed):
            if not server.has_extn("starttls"):
                raise SendError(target, message, "the server offers no encryption, so no password is sent to it")
            server.starttls(context=trusted)
            server.ehlo()
    except BaseException:
        server.close()
        raise
    return server
