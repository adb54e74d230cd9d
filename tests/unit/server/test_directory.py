"""An authority's directory: complete, or as it was before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mintmark.model.errors import Error, Kind
from mintmark.server.directory import Directory, State
from mintmark.server.settings import Settings
from mintmark.server.settings import of as settings_of


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "ca")


def make_ready(staging: Directory) -> None:
    staging.intermediate.path.mkdir()
    staging.intermediate.certificate.write_text("certificate")
    staging.settings_file.write_text("")


def content(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): file.read_text()
        for file in path.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


def test_directory_that_is_not_there_is_absent(directory):
    assert directory.state() is State.ABSENT


def test_change_appears_as_a_whole(directory):
    with directory.lock(), directory.change() as staging:
        make_ready(staging)
        assert directory.state() is State.ABSENT

    assert directory.state() is State.READY
    assert content(directory.path) == {"intermediate/cert.pem": "certificate", "mintmark.yaml": ""}


def test_failed_change_leaves_nothing(directory):
    def fail() -> None:
        with directory.lock(), directory.change() as staging:
            make_ready(staging)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert content(directory.path) == {}


def test_change_that_was_killed_before_its_end_is_undone(directory):
    staging = Directory(directory.path / ".new")
    staging.path.mkdir(parents=True)
    make_ready(staging)

    directory.recover()

    assert content(directory.path) == {}
    assert directory.state() is State.ABSENT


def test_change_that_was_killed_while_moving_is_finished(directory):
    staging = Directory(directory.path / ".new")
    staging.path.mkdir(parents=True)
    make_ready(staging)
    (staging.path / ".complete").touch()
    (staging.path / "intermediate").rename(directory.path / "intermediate")  # moved already
    assert directory.state() is State.ABSENT

    directory.recover()

    assert directory.state() is State.READY
    assert content(directory.path) == {"intermediate/cert.pem": "certificate", "mintmark.yaml": ""}


def test_recovery_without_a_change_does_nothing(directory):
    directory.path.mkdir()

    directory.recover()

    assert content(directory.path) == {}


def test_change_replaces_files_and_keeps_others(directory):
    with directory.lock(), directory.change() as staging:
        make_ready(staging)
    with directory.lock(), directory.change() as staging:
        staging.intermediate.path.mkdir()
        staging.intermediate.certificate.write_text("another")

    assert content(directory.path) == {"intermediate/cert.pem": "another", "mintmark.yaml": ""}


def test_only_its_owner_can_enter_a_new_directory(directory):
    with directory.lock(), directory.change() as staging:
        make_ready(staging)

    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert directory.intermediate.path.stat().st_mode & 0o777 == 0o700


def test_two_cannot_change_it_at_once(directory):
    with directory.lock():
        with pytest.raises(Error) as caught, directory.lock():
            pass
        assert caught.value.kind is Kind.UNAVAILABLE


def test_lock_is_free_again_afterwards(directory):
    with directory.lock():
        pass
    with directory.lock():
        pass


def test_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()

    with (
        pytest.raises(Error, match="cannot write to directory"),
        Directory(tmp_path / "file" / "ca").lock(),
    ):
        pass


def test_directory_with_foreign_files_is_not_taken(directory):
    directory.path.mkdir()
    (directory.path / "thesis.txt").touch()

    with pytest.raises(Error, match=r"is not empty: it holds 'thesis\.txt'"):
        directory.require_empty(set())


def test_prepared_files_are_not_foreign(directory):
    directory.path.mkdir()
    for name in ("mintmark.yaml", "passphrase", "lost+found", "database-password"):
        (directory.path / name).touch()

    directory.require_empty({"database-password"})


def test_absent_authority_says_how_to_make_one(directory):
    with pytest.raises(Error) as caught:
        directory.require_ready()

    assert "mintmark up" in caught.value.hint


def test_pending_authority_says_how_to_complete_it(directory):
    directory.intermediate.path.mkdir(parents=True)
    directory.intermediate.csr.touch()

    assert directory.state() is State.PENDING
    with pytest.raises(Error) as caught:
        directory.require_ready()
    assert "--resume --chain FILE" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:mintmark.db", "sqlite:{}/mintmark.db"),
        ("sqlite:/var/lib/m.db", "sqlite:/var/lib/m.db"),
        ("postgresql://ca@db/ca", "postgresql://ca@db/ca"),
    ],
)
def test_relative_database_lies_in_the_directory(directory, url, expected):
    settings = settings_of({"storage": {"url": url}})

    assert directory.storage_url(settings) == expected.format(directory.path)


def test_database_password_comes_from_its_file(directory):
    directory.path.mkdir()
    file = directory.path / "password"
    file.write_text("secret\n")
    file.chmod(0o600)
    settings = settings_of({"storage": {"password_file": "password"}})

    assert directory.storage_password(settings) == "secret"
    assert directory.storage_password(Settings()) is None


def test_database_password_that_others_can_read_is_refused(directory):
    directory.path.mkdir()
    file = directory.path / "password"
    file.write_text("secret")
    file.chmod(0o644)
    settings = settings_of({"storage": {"password_file": "password"}})

    with pytest.raises(Error) as caught:
        directory.storage_password(settings)
    assert "secret'" not in caught.value.detail
    assert f"chmod 600 '{file}'" in caught.value.hint


def test_file_without_a_certificate_is_refused(directory):
    directory.server.path.mkdir(parents=True)
    directory.server.certificate.write_text("nothing")

    with pytest.raises(Error, match="holds no certificate"):
        directory.server.certificate_der()
    with pytest.raises(Error, match="cannot read certificate file"):
        directory.admin.certificate_der()


def test_empty_chain_file_is_an_empty_chain(directory):
    directory.intermediate.path.mkdir(parents=True)
    assert directory.intermediate.chain_der() == ()
    directory.intermediate.chain.touch()

    assert directory.intermediate.chain_der() == ()


def test_lock_file_is_not_inherited_by_children(directory):
    with directory.lock():
        open_files = [(int(one.name), one) for one in Path("/proc/self/fd").iterdir()]
        held = [
            number
            for number, link in open_files
            if link.exists() and link.readlink().name == ".lock"
        ]

        assert held
        assert not any(os.get_inheritable(number) for number in held)
