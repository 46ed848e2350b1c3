"""Settings of a home that tells somebody."""

import pytest

from stellar.settings import load_settings


@pytest.fixture
def settings_for(tmp_path):
    """Settings with messages to an address; a password for mail goes where it is looked for."""

    def make(address: str | None, password: str | None = None):
        settings = load_settings(home=tmp_path / "home", notify=address)
        settings.secrets.mkdir(parents=True, exist_ok=True)
        if password is not None:
            file = settings.secrets / "notify_password"
            file.write_text(password + "\n")
            file.chmod(0o600)
        return settings

    return make
