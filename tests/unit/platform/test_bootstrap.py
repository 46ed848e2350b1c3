import base64
import threading

import pytest

from stellar.errors import InputError
from stellar.platform import bootstrap
from stellar.settings import load_settings


def test_a_home_holds_one_profile(tmp_path):
    bootstrap.prepare_home(load_settings(home=tmp_path, profile="tiny"))
    bootstrap.prepare_home(load_settings(home=tmp_path, profile="tiny"))
    with pytest.raises(InputError, match="holds profile 'tiny', not 'real'"):
        bootstrap.prepare_home(load_settings(home=tmp_path, profile="real"))


def test_an_unknown_profile_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(InputError, match="no profile 'tinny'; profiles are real, simulated, tiny"):
        bootstrap.prepare_home(load_settings(home=tmp_path / "new", profile="tinny"))
    assert not (tmp_path / "new").exists()


def test_a_home_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        bootstrap.prepare_home(load_settings(home=tmp_path / "file" / "home", profile="tiny"))


def test_secrets_are_private_url_safe_and_stay(tmp_path):
    settings = load_settings(home=tmp_path, profile="tiny")
    bootstrap.prepare_home(settings)
    value = bootstrap.secret(settings, "api")
    assert value == bootstrap.secret(settings, "api") != bootstrap.secret(settings, "jwt")
    assert value.replace("-", "").replace("_", "").isalnum()
    assert {file.stat().st_mode & 0o777 for file in settings.secrets.iterdir()} == {0o600}
    assert settings.secrets.stat().st_mode & 0o777 == 0o700
    assert len(base64.urlsafe_b64decode(bootstrap.fernet_key(settings))) == 32


def test_two_that_make_a_secret_at_once_get_the_same(tmp_path):
    settings = load_settings(home=tmp_path, profile="tiny")
    bootstrap.prepare_home(settings)
    found, barrier = [], threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        found.append(bootstrap.secret(settings, "shared"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert [file.name for file in settings.secrets.iterdir()] == ["shared"]


def test_passwords_are_shown_once(tmp_path):
    settings = load_settings(home=tmp_path, profile="tiny")
    bootstrap.prepare_home(settings)
    shown = bootstrap.passwords_to_show(settings)
    assert shown is not None and set(shown) == {"admin", "operator", "viewer"} and len(set(shown.values())) == 3
    assert bootstrap.passwords_to_show(settings) is None
