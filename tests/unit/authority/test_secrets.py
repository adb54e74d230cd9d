"""Keys derived from the authority's secret, and what is sealed under them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mintmark.authority.workflow.secrets import derive, seal, unseal
from mintmark.model.errors import Error, Kind
from tests import pki


def authority(secret: bytes = bytes(32)):
    return SimpleNamespace(secret=secret, entropy=pki.Entropy(1))


def test_each_purpose_has_its_own_key_and_every_server_the_same():
    assert derive(authority(), "a") == derive(authority(), "a")
    assert derive(authority(), "a") != derive(authority(), "b")
    assert derive(authority(), "a") != derive(authority(b"x" * 32), "a")


def test_authority_without_a_secret_derives_nothing():
    with pytest.raises(RuntimeError):
        derive(authority(b""), "a")


def test_what_was_sealed_is_unsealed():
    sealed = seal(authority(), "a", b"secret", "id-1")

    assert b"secret" not in sealed
    assert unseal(authority(), "a", sealed, "id-1") == b"secret"


@pytest.mark.parametrize(
    ("secret", "purpose", "context", "flip"),
    [
        (b"x" * 32, "a", "id-1", None),
        (bytes(32), "b", "id-1", None),
        (bytes(32), "a", "id-2", None),
        (bytes(32), "a", "id-1", 0),
        (bytes(32), "a", "id-1", -1),
    ],
)
def test_nothing_else_unseals_it(secret, purpose, context, flip):
    sealed = bytearray(seal(authority(), "a", b"secret", "id-1"))
    if flip is not None:
        sealed[flip] ^= 1

    with pytest.raises(Error) as refused:
        unseal(authority(secret), purpose, bytes(sealed), context)

    assert refused.value.kind is Kind.CONFIGURATION


def test_what_is_cut_short_is_not_unsealed():
    with pytest.raises(Error):
        unseal(authority(), "a", b"short", "id-1")
