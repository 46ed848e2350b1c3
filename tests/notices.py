"""Real receivers of messages: a mail server with encryption and logins, and a web hook that may be slow or broken."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Hook:
    """A web hook on loopback: keeps what it is sent, and answers as `answers` says, the last one from then on."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[dict] = []
        self.answers: list[int] = [204]
        self.delay_s = 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(hook.delay_s)
                answer = hook.answers.pop(0) if len(hook.answers) > 1 else hook.answers[0]
                if answer < 300:
                    hook.received.append(json.loads(body))
                with contextlib.suppress(OSError):  # who asked may be gone
                    self.send_response(answer)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks/s3cr3t-hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def hook(port: int = 0) -> Iterator[Hook]:
    """A running hook."""
    one = Hook(port)
    try:
        yield one
    finally:
        one.close()


class Letters:
    """aiosmtpd's handler: letters as they came, and whether the connection was encrypted."""

    def __init__(self) -> None:
        self.received: list[tuple[str, list[str], bytes, bool]] = []

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802  aiosmtpd's name
        self.received.append((envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return "250 taken"


@contextlib.contextmanager
def mail_server(
    user: str = "", password: str = "", certificate: tuple[Path, Path] | None = None, implicit: bool = False
) -> Iterator[tuple[Letters, int]]:
    """A running mail server on 127.0.0.1: what it took, and its port; with a certificate it offers STARTTLS."""

    def login(server, session, envelope, mechanism, data) -> AuthResult:
        said = (data.login.decode(), data.password.decode())
        return AuthResult(success=said == (user, password), handled=False)

    options: dict = {}
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*map(str, certificate))
        options["ssl_context" if implicit else "tls_context"] = context
    if user:
        options |= {
            "authenticator": login,
            "auth_required": True,
            "auth_require_tls": certificate is not None and not implicit,
        }
    letters = Letters()
    with socket.create_server(("127.0.0.1", 0)) as free:  # the controller looks for itself at the port it is given
        port = free.getsockname()[1]
    controller = Controller(letters, hostname="127.0.0.1", port=port, ready_timeout=20, **options)
    controller.start()
    try:
        yield letters, port
    finally:
        controller.stop()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret
