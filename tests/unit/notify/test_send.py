"""Messages to real receivers: a mail server with STARTTLS and logins, a web hook."""

import email
import email.policy

import pytest

from notices import hook, mail_server, make_certificate
from stellar.notify.message import Message, without_secrets
from stellar.notify.send import SendError, send
from stellar.notify.target import Mail, Webhook, target_of

MESSAGE = Message(
    "0123456789abcdef",
    "failed",
    "sync_gaia failed",
    "Run manual__1 of sync_gaia failed.\n\nTask plan, attempt 1:\ngaia: unit plan: no answer",
    "Resume: trigger again.",
    {"run": "http://127.0.0.1:1/dags/sync_gaia/runs/manual__1"},
    {"dag": "sync_gaia"},
)


def letter(content: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def test_a_letter_says_what_happened_where_and_what_to_do():
    with mail_server() as (letters, port):
        send(Mail("127.0.0.1", port, ("a@x.org", "b@x.org"), "stellar@x.org"), MESSAGE)
    [(sender, to, content, encrypted)] = letters.received
    assert (sender, to, encrypted) == ("stellar@x.org", ["a@x.org", "b@x.org"], False)
    read = letter(content)
    assert read["Subject"] == "[Stellar] sync_gaia failed"
    assert read["Auto-Submitted"] == "auto-generated" and MESSAGE.id in read["Message-ID"]
    for part in (MESSAGE.text, MESSAGE.todo, MESSAGE.links["run"]):
        assert part in read.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize("implicit", [False, True])
def test_passwords_go_over_encrypted_connections(settings_for, tmp_path, implicit):
    made = make_certificate(tmp_path)
    with mail_server("me", "pass word", made, implicit) as (letters, port):
        scheme = "smtps" if implicit else "smtp"
        address = f"{scheme}://me@127.0.0.1:{port}/?to=a@x.org&cafile={made[0]}"
        send(target_of(settings_for(address, "pass word")), MESSAGE)
        with pytest.raises(SendError, match="login was refused") as caught:
            send(target_of(settings_for(address, "wrong word")), MESSAGE)
        assert caught.value.for_good and "wrong word" not in str(caught.value)
        untrusted = f"{scheme}://me@127.0.0.1:{port}/?to=a@x.org"
        with pytest.raises(SendError, match="certificate is not trusted"):
            send(target_of(settings_for(untrusted, "pass word")), MESSAGE)
    # of TLS from the start aiosmtpd's session knows nothing: there, that it came at all says so
    assert [encrypted for *_, encrypted in letters.received] == [not implicit]


def test_encryption_that_is_asked_for_and_not_offered_stops_the_letter():
    with mail_server() as (letters, port), pytest.raises(SendError, match="offers no encryption"):
        send(Mail("127.0.0.1", port, ("a@x.org",), "s@x.org", starttls="required"), MESSAGE)
    assert letters.received == []


def test_no_password_is_sent_in_the_clear_to_another_machine():
    target = Mail("mail.example.org", 25, ("a@x.org",), "s@x.org", "me", "pw")
    assert not target.is_near
    assert Mail("127.0.0.2", 25, (), "").is_near and Mail("localhost", 25, (), "").is_near


def test_a_hook_gets_text_for_chats_and_facts_for_programs():
    with hook() as one:
        send(Webhook(one.url), MESSAGE)
    [got] = one.received
    assert got["text"].startswith("[Stellar] sync_gaia failed\n\nRun manual__1") and MESSAGE.todo in got["text"]
    assert got["links"] == MESSAGE.links and got["facts"] == MESSAGE.facts and got["kind"] == "failed"


@pytest.mark.parametrize(("code", "for_good"), [(500, False), (503, False), (429, False), (404, True), (302, False)])
def test_a_hook_that_refuses_is_told_apart(code, for_good):
    with hook() as one:
        one.answers = [code]
        with pytest.raises(SendError, match=f"answered {code}") as caught:
            send(Webhook(one.url), MESSAGE)
    assert caught.value.for_good is for_good and "s3cr3t" not in str(caught.value)


def test_a_hook_that_is_slow_or_away_is_an_error_in_time():
    with hook() as one:
        one.delay_s = 1.0
        with pytest.raises(SendError, match="no answer: ReadTimeout"):
            send(Webhook(one.url), MESSAGE, timeout_s=0.2)
    with pytest.raises(SendError, match="no answer: ConnectError") as caught:
        send(Webhook(one.url), MESSAGE)
    assert "s3cr3t" not in str(caught.value)


def test_secrets_of_the_home_and_passwords_in_addresses_are_blotted_out(settings_for):
    settings = settings_for("https://hooks.example.org/T0/s3cr3t", "mail-word-77")
    said = "could not open postgresql://owner:hunter2@db/stellar, mail-word-77, https://hooks.example.org/T0/s3cr3t"
    clean = without_secrets(settings, Message("mail-word-77", "failed", said, said, said, {"a": said}, {"b": [said]}))
    shown = f"{clean.subject} {clean.body} {clean.links} {clean.facts}"
    assert clean.id == "mail-word-77"
    assert "postgresql://owner:***@db/stellar, ***, ***" in shown
    assert not [one for one in ("hunter2", "mail-word-77", "s3cr3t") if one in shown]
