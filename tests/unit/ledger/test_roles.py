import base64
import hashlib
import hmac

import pytest

from stellar.ledger.roles import is_password


def verifier(password, salt=b"0123456789abcdef", rounds=4096):
    """As Postgres keeps it, by RFC 5802."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(one).decode() for one in (salt, stored, server))
    return f"SCRAM-SHA-256${rounds}:{salt64}${stored64}:{server64}"


def test_a_password_is_known_by_its_verifier():
    kept = verifier("x1-_secret")
    assert is_password("x1-_secret", kept)
    assert not is_password("x1-_secreT", kept)


def test_the_verifier_of_rfc_7677_is_read():
    # user "user", password "pencil": the example of RFC 7677, section 3
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    message = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    signature = hmac.digest(stored, message.encode(), "sha256")
    client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    kept = base64.b64encode(hashlib.sha256(client).digest()).decode()
    assert is_password("pencil", f"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${kept}:AAAA")


@pytest.mark.parametrize("kept", [None, "", "md5aabbccddeeff00112233445566778899", "SCRAM-SHA-256$x:y$z:z", "a$b$c"])
def test_what_is_no_verifier_holds_no_password(kept):
    assert not is_password("x", kept)
