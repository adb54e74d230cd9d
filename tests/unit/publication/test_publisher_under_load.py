"""A turn of the publisher ends, however fast new records come."""

import pytest

from mintmark.model.audit import Checkpoint
from mintmark.publication import publisher
from mintmark.publication.publisher import PublicationSettings, Publisher


class Busy:
    """An authority whose log has something new whenever one looks."""

    store = None

    @staticmethod
    def clock():
        return 0.0


def checkpoint(records):
    return Checkpoint(1, records, b"", (), ((1, records),), "", 0)


@pytest.mark.parametrize(
    ("sizes", "signed"), [((3, 3, 3), 1), ((10_000, 10_000, 1, 1), 3), ((10_000, None), 2)]
)
def test_turn_signs_until_a_checkpoint_is_not_full(monkeypatch, run, sizes, signed):
    made = []

    async def sign(*_):
        made.append(sizes[len(made)])
        return checkpoint(made[-1]) if made[-1] else None

    monkeypatch.setattr(publisher, "sign_checkpoint", sign)
    run(Publisher(Busy(), None, PublicationSettings(60))._sign_checkpoints())
    assert len(made) == signed
