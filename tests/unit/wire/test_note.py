from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.wire import note

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
NAME = "mintmark/0123456789abcdef"
HEAD = note.TreeHead(NAME, 42, bytes(range(32)))
SIGNED = note.sign(note.encode(HEAD), NAME, KEY)

# The example of Go's sumdb/note package, which the C2SP specification describes.
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1"
    "FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def go_key():
    from base64 import b64decode

    return Ed25519PublicKey.from_public_bytes(b64decode(GO_VERIFIER.split("+", 2)[2])[1:])


def test_a_note_of_another_implementation_verifies():
    text = note.verify(GO_NOTE, "PeterNeumann", go_key())
    assert text.endswith("what your problem is.\n")
    assert note.key_id("PeterNeumann", go_key()).hex() == GO_VERIFIER.split("+")[1]


def test_a_checkpoint_is_three_lines():
    root = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert note.encode(HEAD) == f"{NAME}\n42\n{root}\n"


def test_what_was_signed_verifies_and_parses():
    assert note.parse(note.verify(SIGNED, NAME, PUBLIC)) == HEAD


def test_other_signatures_are_passed_over():
    other = Ed25519PrivateKey.generate()
    cosigned = SIGNED + note.sign(note.encode(HEAD), "witness.example", other).split("\n\n")[1]
    assert note.parse(note.verify(cosigned, NAME, PUBLIC)) == HEAD
    assert note.parse(note.verify(cosigned, "witness.example", other.public_key())) == HEAD


@pytest.mark.parametrize(
    "tampered",
    [
        pytest.param(SIGNED.replace("42", "43"), id="another size"),
        pytest.param(SIGNED.replace("AAEC", "AAED"), id="another root"),
        pytest.param(SIGNED.replace("\n\n", "\n"), id="no signature"),
        pytest.param(SIGNED[:-1], id="no last newline"),
        pytest.param(SIGNED[:-6] + "AAAA=\n", id="another signature"),
        pytest.param(SIGNED.replace("— ", "- "), id="a hyphen for the dash"),
        pytest.param(SIGNED + "junk\n", id="a line that is no signature"),
        pytest.param(SIGNED + "— x AAAA\n", id="a signature that is too short"),
        pytest.param(SIGNED.replace("\n", "\r\n"), id="carriage returns"),
        pytest.param(SIGNED.replace("42", "4\x002"), id="a null"),
        pytest.param("\ud800" + SIGNED, id="not UTF-8"),
        pytest.param("", id="nothing"),
        pytest.param("x" * 70_000 + "\n", id="too long"),
    ],
)
def test_a_tampered_note_is_refused(tampered):
    with pytest.raises(ValueError, match=r"not|no|has|at least|more"):
        note.verify(tampered, NAME, PUBLIC)


def test_a_key_of_the_same_name_does_not_help():
    with pytest.raises(ValueError, match="not signed by"):
        note.verify(SIGNED, NAME, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n01\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "a\n-1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "a\n٣\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "a\n1" + "0" * 30 + "\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        "a\n1\nAAEC\n",
        "a\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
        "a\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n",
        "a\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\nx\n",
        "a\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text):
    with pytest.raises(ValueError, match=r"not|no|has|at least|more"):
        note.parse(text)


def test_extensions_are_kept():
    head = note.TreeHead(NAME, 0, bytes(32), ("one", "two"))
    assert note.parse(note.encode(head)) == head


def test_lines_and_names_that_would_confuse_are_refused():
    with pytest.raises(ValueError, match="line"):
        note.encode(note.TreeHead("two\nlines", 1, bytes(32)))
    for name in ("", "a b", "a+b"):
        with pytest.raises(ValueError, match="name"):
            note.sign("text\n", name, KEY)
    for text in ("text", "te\x01xt\n"):
        with pytest.raises(ValueError, match="text"):
            note.sign(text, NAME, KEY)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_arbitrary_text_never_crashes(text):
    for read in (lambda: note.parse(text), lambda: note.verify(text, NAME, PUBLIC)):
        with contextlib.suppress(ValueError):
            read()
