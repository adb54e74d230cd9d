"""Files of keys: whole or not at all, and for one reader only."""

import os
import stat

import pytest

from mintmark.authority.signer import files
from mintmark.authority.signer.files import read_secret, write_public, write_secret
from mintmark.model.errors import Error, Kind


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_modes_do_not_depend_on_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_secret(tmp_path / "key.pem", b"secret")
        write_public(tmp_path / "cert.pem", b"public")
    finally:
        os.umask(before)

    assert mode(tmp_path / "key.pem") == 0o600
    assert mode(tmp_path / "cert.pem") == 0o644


def test_secret_is_never_open_to_others_while_it_is_written(tmp_path, monkeypatch):
    seen = []
    genuine = os.fsync

    def fsync(descriptor):
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        genuine(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    write_secret(tmp_path / "key.pem", b"secret")

    assert seen[0] == 0o600


def test_file_is_replaced_whole(tmp_path):
    path = tmp_path / "key.pem"
    write_secret(path, b"old")
    write_secret(path, b"new")

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "key.pem"
    write_secret(path, b"old")

    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(Error, match="No space left on device") as caught:
        write_secret(path, b"new")

    assert caught.value.kind is Kind.CONFIGURATION
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"untouched")
    path = tmp_path / "key.pem"
    path.symlink_to(elsewhere)
    write_secret(path, b"secret")

    assert elsewhere.read_bytes() == b"untouched"
    assert not path.is_symlink()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o644, 0o777], ids=oct)
def test_secret_that_others_can_reach_is_refused(tmp_path, bits):
    path = tmp_path / "key.pem"
    write_secret(path, b"secret")
    path.chmod(bits)

    with pytest.raises(Error, match=f"mode {bits:04o}") as caught:
        read_secret(path)

    assert caught.value.hint == f"chmod 600 '{path}'"


def test_secret_of_its_owner_alone_is_read(tmp_path):
    path = tmp_path / "key.pem"
    write_secret(path, b"secret")
    path.chmod(0o400)

    assert read_secret(path) == b"secret"


def test_a_credential_of_the_service_manager_may_show_the_groups_bit(tmp_path, monkeypatch):
    """systemd 254 and newer: mode 0440 and an access control list."""
    path = tmp_path / "passphrase"
    write_secret(path, b"secret")
    path.chmod(0o440)
    with pytest.raises(Error, match="0440"):
        read_secret(path)

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert read_secret(path) == b"secret"
    path.chmod(0o444)
    with pytest.raises(Error, match="0444"):
        read_secret(path)


def test_missing_secret_is_named(tmp_path):
    with pytest.raises(Error, match=r"nothing\.pem' cannot be read: No such file") as caught:
        read_secret(tmp_path / "nothing.pem")

    assert caught.value.kind is Kind.CONFIGURATION


def test_pipe_in_the_place_of_a_secret_blocks_nobody(tmp_path):
    path = tmp_path / "key.pem"
    os.mkfifo(path, 0o600)

    with pytest.raises(Error, match="not a regular file"):
        read_secret(path)


def test_directory_in_the_place_of_a_secret_is_refused(tmp_path):
    with pytest.raises(Error, match=r"cannot be read|not a regular file"):
        read_secret(tmp_path)


def test_oversized_secret_is_refused(tmp_path):
    path = tmp_path / "key.pem"
    write_secret(path, bytes(files.MAX_KEY_FILE_BYTES + 1))

    with pytest.raises(Error, match="larger than 65536 octets"):
        read_secret(path)


def test_write_into_a_missing_directory_is_named(tmp_path):
    with pytest.raises(Error, match="cannot be written: No such file"):
        write_public(tmp_path / "no" / "cert.pem", b"")
