"""RFC 7516 and 7518 §4.8: private keys under a password, against the reference and forgers."""

from __future__ import annotations

import json
import os
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe as reference
from joserfc.jwk import OctKey
from joserfc.registry import HeaderParameter

from mintmark.model.errors import Error, Kind
from mintmark.wire import jose, jwe

PASSWORD = b"correct horse battery"
KEY = jose.new_jwk()
QUICK = jwe.MIN_ITERATIONS
COMPACT = jwe.encrypt_key(KEY, PASSWORD, os.urandom, iterations=QUICK)
REGISTRY = reference.JWERegistry(
    header_registry={"p2s": HeaderParameter("salt", "str"), "p2c": HeaderParameter("n", "int")},
    algorithms=[jwe.ALGORITHM, jwe.ENCRYPTION],
)


def with_header(**changes: object) -> str:
    """Return the encrypted key with another header; its tag no longer fits."""
    protected, _, rest = COMPACT.partition(".")
    header = json.loads(jose.decode(protected, "header")) | changes
    return f"{jose.encode(json.dumps(header).encode())}.{rest}"


def refusal(compact: str, password: bytes = PASSWORD) -> Error:
    with pytest.raises(Error) as refused:
        jwe.decrypt_key(compact, password)
    assert "correct" not in refused.value.detail
    return refused.value


def test_key_reads_back_with_its_password_alone():
    assert jwe.decrypt_key(COMPACT, PASSWORD) == KEY
    assert jwe.decrypt_key(COMPACT + "\n", PASSWORD) == KEY
    for password in (b"", b"wrong", PASSWORD[:-1], PASSWORD + b" "):
        assert refusal(COMPACT, password).kind is Kind.UNAUTHENTICATED


def test_header_is_that_of_the_step_protocol():
    whole = jwe.encrypt_key(KEY, PASSWORD, os.urandom)
    header = json.loads(jose.decode(whole.partition(".")[0], "header"))

    assert {name: header[name] for name in ("alg", "enc", "cty", "p2c")} == {
        "alg": "PBES2-HS256+A128KW",
        "enc": "A256GCM",
        "cty": "jwk+json",
        "p2c": 600_000,
    }
    assert len(jose.decode(header["p2s"], "p2s")) == 16
    assert len(header) == 5


def test_reference_opens_what_we_made_and_we_what_it_made():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a password it says that it is a short key
        key = OctKey.import_key(PASSWORD)
        assert reference.decrypt_compact(COMPACT, key, registry=REGISTRY).plaintext == KEY
        header = {"alg": jwe.ALGORITHM, "enc": jwe.ENCRYPTION, "p2c": 5000}
        made = reference.encrypt_compact(header, KEY, key, registry=REGISTRY)

    assert jwe.decrypt_key(made, PASSWORD) == KEY


def test_same_key_and_password_are_encrypted_anew_each_time():
    again = jwe.encrypt_key(KEY, PASSWORD, os.urandom, iterations=QUICK)

    assert not set(again.split(".")) & set(COMPACT.split("."))


def test_randomness_is_what_was_given():
    made = {
        jwe.encrypt_key(KEY, PASSWORD, lambda size: b"r" * size, iterations=QUICK) for _ in "ab"
    }

    assert len(made) == 1


def test_nothing_is_encrypted_under_an_empty_password():
    with pytest.raises(Error):
        jwe.encrypt_key(KEY, b"", os.urandom)


@pytest.mark.parametrize("iterations", [0, 1, 999, 1_000_001, 2**31, True, 1000.0])
def test_number_of_iterations_out_of_bounds_is_not_written(iterations):
    with pytest.raises(Error):
        jwe.encrypt_key(KEY, PASSWORD, os.urandom, iterations=iterations)


@pytest.mark.parametrize(
    "iterations",
    [0, -1, 1, 999, 1_000_001, 2**31 - 1, 2**63, 10**19, True, 1e6, "1000", None, [1000]],
)
def test_number_of_iterations_that_keeps_us_busy_or_protects_nothing_is_refused(iterations):
    """CVE-2023-6681, CVE-2022-36083: a stranger's p2c is work for us."""
    start = time.process_time()

    refused = refusal(with_header(p2c=iterations))

    assert refused.kind is Kind.MALFORMED
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"alg": "dir"}, id="no key wrapping"),
        pytest.param({"alg": "none"}, id="none"),
        pytest.param({"alg": "PBES2-HS512+A256KW"}, id="another PBES2"),
        pytest.param({"alg": ["PBES2-HS256+A128KW"]}, id="algorithm no text"),
        pytest.param({"enc": "A128CBC-HS256"}, id="another encryption"),
        pytest.param({"enc": None}, id="no encryption"),
        pytest.param({"zip": "DEF"}, id="compressed"),
        pytest.param({"crit": ["exp"]}, id="critical"),
        pytest.param({"p2s": "AAAA"}, id="short salt"),
        pytest.param({"p2s": "A" * 88}, id="long salt"),
        pytest.param({"p2s": 7}, id="salt no text"),
        pytest.param({"p2s": "!!!!!!!!!!!!"}, id="salt no base64url"),
        pytest.param({"alg": "\x1b[2J\n"}, id="control characters"),
    ],
)
def test_other_forms_are_refused(changes):
    refused = refusal(with_header(**changes))

    assert refused.kind is Kind.MALFORMED
    assert refused.detail.isprintable()


def test_parameter_twice_is_refused():
    rest = COMPACT.partition(".")[2]
    header = b'{"alg":"none",' + jose.decode(COMPACT.partition(".")[0], "header")[1:]

    assert "twice" in refusal(f"{jose.encode(header)}.{rest}").detail


@pytest.mark.parametrize("part", range(5))
def test_altered_part_is_noticed(part):
    parts = COMPACT.split(".")
    octets = bytearray(jose.decode(parts[part], "part"))
    for place in (0, len(octets) // 2, -1):
        altered = octets.copy()
        altered[place] ^= 1
        refusal(".".join([*parts[:part], jose.encode(bytes(altered)), *parts[part + 1 :]]))


def test_header_is_authenticated():
    assert refusal(with_header(kid="mallory")).kind is Kind.UNAUTHENTICATED


def test_jwe_cut_short_anywhere_is_refused():
    for end in range(len(COMPACT)):
        refusal(COMPACT[:end])


@pytest.mark.parametrize(
    "text",
    ["", ".", "....", "a.b.c.d.e", "." * 70_000, "\ud800....", COMPACT + ".", COMPACT + "=", "{}"],
)
def test_text_that_is_no_compact_jwe_is_refused(text):
    refusal(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,20}(\.[A-Za-z0-9_-]{0,20}){4}"))
def test_noise_is_refused_and_nothing_else(text):
    refusal(text)
