"""PROTOCOL.krl: what sshd would refuse, and lists that it could not load."""

from __future__ import annotations

import hashlib
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from mintmark.model.errors import Error, Kind
from mintmark.wire.ssh import certificate, key, krl
from mintmark.wire.ssh.encoding import mpint, string, uint64
from tests import openssh
from tests.openssh import ED25519, P256, RSA, fields, public, signed

quick = settings(max_examples=100, deadline=None)
CA = public(P256).blob
EMPTY = krl.encode(1, 1_700_000_000, ())
LAST = 2**64 - 1


def section(kind: int, data: bytes) -> bytes:
    return bytes((kind,)) + string(data)


def of_certificates(*parts: bytes, authority: bytes = CA) -> bytes:
    return EMPTY + section(1, string(authority) + string(b"") + b"".join(parts))


def revoked_serials(octets: bytes, serials) -> set[int]:
    """Return those of the serials that a list revokes, for a certificate of the authority."""
    read = krl.parse(octets)
    return {
        one
        for one in serials
        if read.revokes(fields(authority=public(P256), key=public(ED25519), serial=one))
    }


# --- what we make --------------------------------------------------------------------------------


def shown_serials(path) -> set[int]:
    """Return the serials that OpenSSH reads in a list."""
    found: set[int] = set()
    for line in openssh.keygen("-Q", "-l", "-f", path).splitlines():
        if line.startswith("serial: "):
            first, _, last = line.removeprefix("serial: ").partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return found


DICE = random.Random(4)
SHAPES = {
    "nothing": [],
    "one": [7],
    "greatest": [LAST],
    "both ends": [1, LAST],
    "run": list(range(5, 50_005)),
    "run at the end": list(range(LAST - 100, LAST + 1)),
    "two of three": [n for n in range(1, 30_000) if n % 3],
    "every 64th": list(range(64, 64_000, 64)),
    "every 65th": list(range(65, 65_000, 65)),
    "sparse": [DICE.getrandbits(64) | 1 for _ in range(2000)],
    "clusters": [n * 10**9 + k for n in range(1, 200) for k in range(0, 40, 3)],
    "runs and gaps": [n for n in range(1, 5000) if n % 700 > 3],
    "in whatever order": [9, 3, 3, 8, 1, 9],
}


@pytest.mark.parametrize("serials", SHAPES.values(), ids=SHAPES)
def test_openssh_reads_the_serials_that_were_written(serials, tmp_path):
    path = tmp_path / "krl"
    path.write_bytes(krl.encode(1, 0, [(CA, serials)]))

    assert shown_serials(path) == set(serials)


@quick
@given(
    st.sets(st.integers(1, 400) | st.integers(LAST - 70, LAST) | st.integers(1, LAST), max_size=99)
)
def test_list_revokes_the_serials_that_were_written_and_no_neighbors(serials):
    near = {min(one + step, LAST) for one in serials for step in (-1, 0, 1)}

    assert revoked_serials(krl.encode(1, 0, [(CA, serials)]), near) == serials


def test_everything_in_a_list_is_what_openssh_shows(tmp_path):
    path = tmp_path / "krl"
    path.write_bytes(
        krl.encode(
            41,
            1_700_000_000,
            [(CA, [3]), (public(ED25519).blob, [4]), (public(RSA).blob, [])],
            ["bob", "alice", "bob"],
            [public(RSA).sha256, bytes(32)],
            comment="of example.com",
        )
    )

    shown = openssh.keygen("-Q", "-l", "-f", path)

    assert "KRL version 41" in shown
    assert "Generated at 20231114T221320" in shown
    assert "of example.com" in shown
    assert key.fingerprint(CA) in shown
    assert key.fingerprint(public(ED25519).blob) in shown
    assert shown.index("id: alice") < shown.index("id: bob")
    assert shown.count("id: ") == 2
    assert shown.count("hash: SHA256:") == 2


def test_empty_list_is_one_that_openssh_loads(tmp_path):
    path = tmp_path / "krl"
    path.write_bytes(EMPTY)
    (tmp_path / "id-cert.pub").write_text(certificate.line(signed(P256)))

    assert "ok" in openssh.keygen("-Q", "-f", path, tmp_path / "id-cert.pub")


REVOKING = {
    "serial": krl.encode(1, 0, [(CA, [77])]),
    "key id": krl.encode(1, 0, (), ["alice@example.com"]),
    "key": krl.encode(1, 0, (), (), [public(ED25519).sha256]),
    "authority's key": krl.encode(1, 0, (), (), [public(P256).sha256]),
}
SPARING = {
    "nothing": EMPTY,
    "another serial": krl.encode(1, 0, [(CA, [76, 78])]),
    "serial of another authority": krl.encode(1, 0, [(public(RSA).blob, [77])]),
    "another key id": krl.encode(1, 0, (), ["alice"]),
    "another key": krl.encode(1, 0, (), (), [public(RSA).sha256]),
}


@pytest.mark.parametrize(
    ("octets", "revokes"),
    [pytest.param(one, True, id=name) for name, one in REVOKING.items()]
    + [pytest.param(one, False, id=name) for name, one in SPARING.items()],
)
def test_certificate_is_revoked_for_us_as_for_openssh(octets, revokes, tmp_path):
    blob = signed(P256)
    (tmp_path / "krl").write_bytes(octets)
    (tmp_path / "id-cert.pub").write_text(certificate.line(blob))

    printed = openssh.keygen("-Q", "-f", tmp_path / "krl", tmp_path / "id-cert.pub", fails=revokes)

    assert ("REVOKED" in printed) is revokes
    assert krl.parse(octets).revokes(certificate.parse(blob).fields) is revokes


def test_key_is_revoked_by_its_digest_whatever_its_type(tmp_path):
    every = openssh.every_key()
    octets = krl.encode(1, 0, (), (), [one.sha256 for one in every])
    (tmp_path / "krl").write_bytes(octets)

    for one in every:
        assert krl.parse(octets).revokes(one)
        assert not krl.parse(EMPTY).revokes(one)
        (tmp_path / "id.pub").write_text(key.line(one))
        openssh.keygen("-Q", "-f", tmp_path / "krl", tmp_path / "id.pub", fails=True)


def test_list_that_openssh_made_revokes_for_us(tmp_path):
    (tmp_path / "ca.pub").write_text(key.line(public(P256)))
    (tmp_path / "key.pub").write_text(key.line(public(ED25519)))
    (tmp_path / "spec").write_text(
        "serial: 5\nserial: 10-40\n"
        + "".join(f"serial: {one}\n" for one in range(1001, 1999, 2))
        + "id: mallory\nkey: "
        + key.line(public(RSA))
        + "\nsha1: "
        + key.line(openssh.public(openssh.P384))
        + "\nsha256: "
        + key.line(openssh.public(openssh.P521))
        + "\n"
    )
    openssh.keygen(
        *("-k", "-f", tmp_path / "krl", "-s", tmp_path / "ca.pub", "-z", "9"), tmp_path / "spec"
    )

    octets = (tmp_path / "krl").read_bytes()
    read = krl.parse(octets)

    assert read.number == 9
    assert revoked_serials(octets, range(2001)) == {5, *range(10, 41), *range(1001, 1999, 2)}
    assert read.revokes(fields(key_id="mallory"))
    for revoked in (openssh.RSA, openssh.P384, openssh.P521):
        assert read.revokes(public(revoked))
    assert not read.revokes(public(ED25519))


def test_serial_zero_is_never_revoked():
    """OpenSSH takes it for a certificate without a serial."""
    octets = of_certificates(section(0x21, uint64(0) + uint64(LAST)))

    assert revoked_serials(octets, [0, 1, LAST]) == {1, LAST}


def test_list_of_any_authority_names_serials_of_all():
    octets = of_certificates(section(0x20, uint64(5)), authority=b"")

    assert krl.parse(octets).revokes(fields(serial=5, authority=public(RSA)))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"serials": [(CA, [0])]}, id="serial 0"),
        pytest.param({"serials": [(CA, [-1])]}, id="negative serial"),
        pytest.param({"serials": [(CA, [5, 2**64])]}, id="serial overflow"),
        pytest.param({"serials": (), "key_ids": [""]}, id="empty key id"),
        pytest.param({"serials": (), "key_ids": ["a\0b"]}, id="NUL in a key id"),
        pytest.param({"serials": (), "key_ids": ["\ud800"]}, id="key id that is not Unicode"),
        pytest.param({"serials": (), "key_sha256s": [b"a" * 31]}, id="short digest"),
    ],
)
def test_what_openssh_could_not_load_is_not_written(arguments):
    with pytest.raises(Error) as refused:
        krl.encode(1, 0, **arguments)

    assert refused.value.kind is Kind.MALFORMED


def test_order_and_repetition_make_no_difference():
    one = krl.encode(1, 0, [(CA, [3, 1, 2, 2])], ["b", "a"], [b"b" * 32, b"a" * 32])
    other = krl.encode(1, 0, [(CA, [1, 2, 3])], ["a", "b", "a"], [b"a" * 32, b"b" * 32])

    assert one == other


@pytest.mark.parametrize(
    ("serials", "octets"),
    [
        pytest.param(list(range(1, 100_001)), 200, id="a run is one range"),
        pytest.param(list(range(1, 100_001, 2)), 13_000, id="every other one is a bit"),
        pytest.param([n << 32 for n in range(1, 10_001)], 80_200, id="sparse ones are listed"),
    ],
)
def test_serials_take_little(serials, octets):
    assert len(krl.encode(1, 0, [(CA, serials)])) < octets


def test_hundred_thousand_serials_are_written_in_no_time():
    serials = [DICE.getrandbits(64) | 1 for _ in range(100_000)]

    start = time.process_time()
    octets = krl.encode(1, 0, [(CA, serials)])

    assert time.process_time() - start < 2  # 0.2 s where it was written
    assert len(octets) < 8 * len(serials) + 500


# --- what strangers make -------------------------------------------------------------------------


def extension(critical: bytes) -> bytes:
    return string(b"new@example.com") + critical + string(b"")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSHKRL\n", id="short magic"),
        pytest.param(b"ssh-ed25519 AAAA", id="list of keys"),
        pytest.param(EMPTY.replace(b"\n\0\0\0\0\1", b"\n\0\0\0\0\2", 1), id="version 2"),
        pytest.param(EMPTY[:-1], id="cut short"),
        pytest.param(EMPTY + b"\1", id="section cut short"),
        pytest.param(EMPTY + section(9, b""), id="unknown section"),
        pytest.param(EMPTY + section(4, b""), id="signature"),
        pytest.param(EMPTY + section(2, b""), id="no keys"),
        pytest.param(EMPTY + section(5, b""), id="no digests"),
        pytest.param(EMPTY + section(5, string(b"a" * 20)), id="digest of SHA-1"),
        pytest.param(EMPTY + section(3, string(b"a" * 32)), id="digest of SHA-256"),
        pytest.param(
            EMPTY + section(5, string(b"b" * 32) + string(b"a" * 32)), id="digests not in order"
        ),
        pytest.param(EMPTY + section(5, string(b"a" * 32) * 2), id="digest twice"),
        pytest.param(EMPTY + section(255, extension(b"\1")), id="critical extension"),
        pytest.param(EMPTY + section(255, b""), id="extension without a name"),
        pytest.param(EMPTY + section(1, b""), id="no authority"),
        pytest.param(of_certificates(section(0x20, b"a" * 9)), id="list with half a serial"),
        pytest.param(of_certificates(section(0x21, uint64(2) + uint64(1))), id="range backwards"),
        pytest.param(of_certificates(section(0x21, uint64(2))), id="range without an end"),
        pytest.param(of_certificates(section(0x21, uint64(1) * 3)), id="range of three"),
        pytest.param(
            of_certificates(section(0x22, uint64(1) + mpint(1 << krl.MAX_BITMAP))), id="long bitmap"
        ),
        pytest.param(of_certificates(section(0x22, uint64(LAST) + mpint(2))), id="bitmap overflow"),
        pytest.param(of_certificates(section(0x22, uint64(1) + string(b"\x80"))), id="negative"),
        pytest.param(of_certificates(section(0x22, uint64(1) + mpint(1) + b"\0")), id="behind it"),
        pytest.param(of_certificates(section(0x23, string(b"\xff"))), id="key id not UTF-8"),
        pytest.param(of_certificates(section(0x39, extension(b"\1"))), id="critical inside"),
        pytest.param(of_certificates(section(0x24, b"")), id="unknown part"),
    ],
)
def test_lists_that_are_none_are_refused(octets):
    with pytest.raises(Error) as refused:
        krl.parse(octets)

    assert refused.value.kind is Kind.MALFORMED


def test_extensions_that_are_not_critical_are_passed_over():
    octets = of_certificates(section(0x39, extension(b"\0")), section(0x20, uint64(5)))

    assert revoked_serials(octets + section(255, extension(b"\0")), [4, 5]) == {5}


def test_list_cut_short_anywhere_is_refused_or_names_less():
    whole = krl.encode(1, 0, [(CA, [*range(1, 9), *range(20, 900, 2)])], ["a"], [b"a" * 32])
    full = krl.parse(whole)
    for end in range(len(whole)):
        try:
            read = krl.parse(whole[:end])
        except Error:
            continue
        # Nothing in the format tells that a whole section is missing.
        assert len(read.certificates) <= len(full.certificates)
        assert read != full


def test_list_beyond_the_limit_is_not_read(monkeypatch):
    monkeypatch.setattr(krl, "MAX_BYTES", len(EMPTY) - 1)

    with pytest.raises(Error) as refused:
        krl.parse(EMPTY)

    assert refused.value.kind is Kind.TOO_LARGE


def test_comment_of_a_key_makes_no_difference():
    read = krl.parse(krl.encode(1, 0, (), (), [hashlib.sha256(CA).digest()]))

    assert read.revokes(structs.replace(public(P256), comment="mallory's"))
