"""Files of a certificate: whole, and never over somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from mintmark.cli.delivery import Delivery, deliver, require_room
from mintmark.model.errors import Error

DELIVERY = Delivery("certificate\n", "chain\n", "anchors\n", b"key\n")


def test_new_directory_appears_with_all_files():
    written = deliver(Path("a/b/web"), DELIVERY)

    assert [path.name for path in written] == [
        "privkey.pem",
        "cert.pem",
        "chain.pem",
        "fullchain.pem",
        "ca.pem",
    ]
    assert Path("a/b/web/fullchain.pem").read_text() == "certificate\nchain\n"
    assert [one.name for one in Path("a/b").iterdir()] == ["web"]


def test_existing_directory_keeps_its_other_files_and_its_key():
    deliver(Path("web"), DELIVERY)
    Path("web/notes.txt").write_text("mine")
    deliver(Path("web"), Delivery("new\n", "chain\n", "anchors\n"))

    assert Path("web/privkey.pem").read_text() == "key\n"
    assert Path("web/cert.pem").read_text() == "new\n"
    assert Path("web/notes.txt").read_text() == "mine"


def test_failed_delivery_leaves_nothing_behind(monkeypatch):
    from mintmark.cli import delivery

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(delivery, "write_public", full)
    with pytest.raises(Error, match="No space left on device"):
        deliver(Path("web"), DELIVERY)

    assert list(Path().iterdir()) == []


def test_directory_that_cannot_be_made_is_named():
    Path("file").touch()

    with pytest.raises(Error, match="cannot write directory 'file/web'"):
        deliver(Path("file/web"), DELIVERY)


def test_there_is_room_where_nothing_is():
    require_room(Path("web"), frozenset({"a"}), force=False)
    Path("web").mkdir()
    require_room(Path("web"), frozenset({"a"}), force=False)
