"""Where messages go, as the setting says it."""

import pytest

from stellar.errors import InputError
from stellar.notify.target import Mail, Webhook, target_of


def test_off_unless_set(settings_for):
    for address in (None, "", "off"):
        assert target_of(settings_for(address)) is None


def test_mail_with_user_password_and_several_readers(settings_for):
    settings = settings_for("smtp://op%40obs.org@mail.obs.org:2525/?to=a@x.org,b@x.org", "pass word")
    found = target_of(settings)
    assert found == Mail("mail.obs.org", 2525, ("a@x.org", "b@x.org"), "op@obs.org", "op@obs.org", "pass word")
    assert not found.is_near
    assert "pass word" not in f"{found!r} {found}"


def test_ports_that_are_not_given_are_the_usual_ones(settings_for):
    assert target_of(settings_for("smtp://m/?to=a@b")).port == 587
    found = target_of(settings_for("smtps://m/?to=a@b&from=c@d&starttls=never"))
    assert (found.port, found.implicit_tls, found.sender) == (465, True, "c@d")


def test_a_hook_s_address_is_not_shown(settings_for):
    found = target_of(settings_for("https://hooks.example.org/T0/s3cr3t"))
    assert isinstance(found, Webhook)
    assert "s3cr3t" not in f"{found!r} {found}" and str(found) == "https://hooks.example.org/…"


def test_an_address_in_a_file_that_only_its_owner_reads(settings_for, tmp_path):
    file = tmp_path / "hook"
    file.write_text("https://hooks.example.org/T0/s3cr3t\n")
    file.chmod(0o644)
    with pytest.raises(InputError, match=f"chmod 600 {file}"):
        target_of(settings_for(f"file:{file}"))
    file.chmod(0o600)
    assert target_of(settings_for(f"file:{file}")) == Webhook("https://hooks.example.org/T0/s3cr3t")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://host/", "no address that messages can go to"),
        ("smtp://host:port/?to=a@b", "no address"),
        ("smtp://host/", "name whom to write to"),
        ("smtp://host/?to=nobody", "name whom to write to"),
        ("smtp://host/?to=a@b&colour=red", "colour is no option"),
        ("smtp://host/?to=a@b&starttls=maybe", "starttls is"),
        ("smtp://me:geheim99@host/?to=a@b", "has a password in it"),
        ("https://me:geheim99@host/", "has a password in it"),
        ("smtp://me@host/?to=a@b", "notify_password .* cannot be read"),
        ("file:/no/such/file", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_without_its_secrets(settings_for, address, said):
    with pytest.raises(InputError, match=said) as caught:
        target_of(settings_for(address))
    assert "geheim99" not in str(caught.value)
