import os
import stat

import pytest

from stellar.errors import InputError
from stellar.ledger import server
from stellar.settings import load_settings


def test_the_socket_lies_in_the_home_where_its_path_fits(tmp_path):
    settings = load_settings(home=tmp_path / "h")
    assert server.socket_folder(settings) == settings.run / "pg"


def test_a_long_home_gets_a_short_socket_folder_of_its_own(tmp_path):
    one, other = (load_settings(home=tmp_path / ("long" * 30) / name) for name in ("a", "b"))
    folders = {server.socket_folder(settings) for settings in (one, other)}
    assert len(folders) == 2
    assert all(len(str(folder)) + len("/.s.PGSQL.5432") <= server.SOCKET_PATH_LIMIT for folder in folders)


def test_a_password_is_made_once_and_is_ours_alone(tmp_path):
    settings = load_settings(home=tmp_path)
    first = server.password(settings, "reader")
    assert first == server.password(settings, "reader")
    assert first != server.password(settings, "pipeline")
    assert first.replace("-", "").replace("_", "").isalnum()
    mode = (settings.secrets / "postgres-reader").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_password_that_was_killed_in_the_making_is_made_again(tmp_path, monkeypatch):
    settings = load_settings(home=tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            server.password(settings, "reader")
    assert list(settings.secrets.iterdir()) == []
    assert len(server.password(settings, "reader")) == 32
    assert [file.name for file in settings.secrets.iterdir()] == ["postgres-reader"]


def test_a_closed_folder_is_named_with_what_to_do(tmp_path):
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    home = closed / "home"
    home.mkdir(parents=True)
    closed.chmod(0o700)
    nobody = server.Account("somebody", os.getuid() + 4242, os.getgid() + 4242)
    open_above = [folder for folder in tmp_path.parents if not folder.stat().st_mode & stat.S_IXOTH]
    with pytest.raises(InputError) as refused:
        server.check_reachable(home, nobody)
    first = str(open_above[-1]) if open_above else str(closed)
    assert f"chmod o+x {first}" in str(refused.value)
    assert "somebody" in str(refused.value)


def test_an_own_home_may_be_closed(tmp_path):
    tmp_path.chmod(0o700)
    server.check_reachable(tmp_path, None)


def test_somebody_elses_socket_folder_is_refused(tmp_path):
    mine = tmp_path / "pg"
    mine.mkdir()
    (tmp_path / "link").symlink_to(mine)
    with pytest.raises(InputError, match="somebody else"):
        server.private_folder(tmp_path / "link", None)
    server.private_folder(mine, None)
    assert stat.S_IMODE(mine.stat().st_mode) == 0o700
