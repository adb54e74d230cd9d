"""PROTOCOL.certkeys: certificates against OpenSSH and the reference, and forged ones."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_public_identity,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSH_USER, SSHCertificateType
from mintmark.wire.ssh import certificate, key
from mintmark.wire.ssh.certificate import FOREVER, MAX_PRINCIPALS
from mintmark.wire.ssh.encoding import base64_text, mpint, string, uint32, uint64
from tests import openssh
from tests.openssh import ED25519, P256, RSA, SUBJECTS, fields, public, signed

ONE_OF_EACH = [pytest.param(one, id=one.type) for one in openssh.every_key()]
TBS = certificate.encode_tbs(fields())


def forged(**parts: bytes) -> bytes:
    """Return a certificate with octets of the test's choice, truly signed over them."""
    ordinary = {
        "type": string(b"ssh-ed25519-cert-v01@openssh.com"),
        "nonce": string(b"n" * 32),
        "key": string(ED25519.public_key().public_bytes_raw()),
        "serial": uint64(77),
        "kind": uint32(1),
        "key_id": string(b"alice"),
        "principals": string(string(b"alice")),
        "valid_after": uint64(1),
        "valid_before": uint64(2),
        "critical_options": string(b""),
        "extensions": string(b""),
        "reserved": string(b""),
        "authority": string(public(P256).blob),
    }
    assert parts.keys() <= ordinary.keys()
    tbs = b"".join((ordinary | parts).values())
    signature = key.signature("ecdsa-sha2-nistp256", openssh.raw_signature(P256, tbs))
    return tbs + string(signature)


def refusal(octets: bytes) -> Error:
    with pytest.raises(Error) as refused:
        certificate.parse(octets)
    return refused.value


# --- what we make --------------------------------------------------------------------------------


@pytest.mark.parametrize("authority", openssh.AUTHORITIES.values(), ids=openssh.AUTHORITIES)
@pytest.mark.parametrize("subject", ONE_OF_EACH)
def test_certificate_of_each_type_reads_back_and_verifies(authority, subject):
    blob = signed(authority, key=structs.replace(subject, comment=""))

    parsed = certificate.parse(blob)

    certificate.verify(parsed)
    assert parsed.fields == fields(
        authority=public(authority), key=structs.replace(subject, comment="")
    )
    assert parsed.blob == blob
    assert certificate.parse_line(certificate.line(blob, "alice's")) == parsed


@pytest.mark.parametrize("authority", openssh.AUTHORITIES.values(), ids=openssh.AUTHORITIES)
@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
def test_certificate_is_what_the_reference_reads(authority, subject):
    blob = signed(authority, key=public(subject), extensions=SSH_USER.extensions)

    read = load_ssh_public_identity(certificate.line(blob).encode())

    read.verify_cert_signature()
    assert read.public_key() == subject.public_key()
    assert read.signature_key() == authority.public_key()
    assert (read.serial, read.key_id, read.type.name) == (77, b"alice@example.com", "USER")
    assert read.valid_principals == [b"alice", b"root"]
    assert (read.valid_after, read.valid_before) == (1_700_000_000, 1_700_057_600)
    assert read.critical_options == {b"source-address": b"10.0.0.0/8"}
    assert read.extensions == {name.encode(): b"" for name, _ in SSH_USER.extensions}


@pytest.mark.parametrize("authority", openssh.AUTHORITIES.values(), ids=openssh.AUTHORITIES)
@pytest.mark.parametrize("subject", ONE_OF_EACH)
def test_certificate_is_what_openssh_reads(authority, subject, tmp_path):
    path = tmp_path / "id-cert.pub"
    blob = signed(
        authority,
        key=subject,
        serial=2**64 - 1,
        critical_options=(("force-command", "/usr/bin/backup --all"),),
        extensions=SSH_USER.extensions,
    )
    path.write_text(certificate.line(blob) + "\n")

    printed = openssh.keygen("-Lf", path)

    assert f"Type: {certificate.type_name(subject)} user certificate" in printed
    assert key.fingerprint(public(authority).blob) in printed
    assert 'Key ID: "alice@example.com"' in printed
    assert "Serial: 18446744073709551615" in printed
    assert "from 2023-11-14T22:13:20 to 2023-11-15T14:13:20" in printed
    assert re.search(r"Principals:\s+alice\s+root\s+Critical", printed)
    assert "force-command /usr/bin/backup --all" in printed
    assert "permit-user-rc" in printed
    assert "UNKNOWN" not in printed


def test_host_certificate_is_one_to_openssh(tmp_path):
    path = tmp_path / "host-cert.pub"
    blob = signed(
        ED25519,
        type=SSHCertificateType.HOST,
        principals=("web.internal",),
        valid_before=FOREVER,
        critical_options=(),
        extensions=(),
    )
    path.write_text(certificate.line(blob) + "\n")

    printed = openssh.keygen("-Lf", path)

    assert "host certificate" in printed
    assert "web.internal" in printed
    assert printed.count("(none)") == 2


@pytest.mark.parametrize("subject", ONE_OF_EACH)
def test_certificate_that_ssh_keygen_signed_is_read(subject, tmp_path):
    (tmp_path / "ca").write_bytes(
        P256.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    )
    (tmp_path / "ca").chmod(0o600)
    (tmp_path / "id.pub").write_text(key.line(subject) + "\n")
    openssh.keygen(
        *(
            "-q",
            "-s",
            tmp_path / "ca",
            "-I",
            "bob",
            "-n",
            "bob,deploy",
            "-z",
            "9",
            "-V",
            "20200101:20200102",
        ),
        *("-O", "clear", "-O", "permit-pty", "-O", "force-command=ls", tmp_path / "id.pub"),
    )

    parsed = certificate.parse_line((tmp_path / "id-cert.pub").read_text())

    certificate.verify(parsed)
    read = parsed.fields
    assert read.key.blob == subject.blob
    assert (read.serial, read.key_id, read.principals) == (9, "bob", ("bob", "deploy"))
    assert (read.valid_after, read.valid_before) == (1_577_836_800, 1_577_923_200)
    assert read.critical_options == (("force-command", "ls"),)
    assert read.extensions == (("permit-pty", ""),)
    assert read.authority.blob == public(P256).blob
    assert certificate.encode_tbs(read) == parsed.tbs


def test_options_are_written_in_order_of_their_names():
    wild = (("permit-pty", ""), ("a@b", "v"), ("Z", ""), ("permit-X11-forwarding", ""))

    parsed = certificate.parse(signed(P256, extensions=wild))

    assert parsed.fields.extensions == tuple(sorted(wild))


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
names = texts.filter(bool)
numbers = st.integers(0, FOREVER)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(SSHCertificateType),
    st.sampled_from(openssh.every_key()),
    numbers,
    texts,
    st.lists(names, min_size=1, max_size=5),
    st.lists(numbers, min_size=2, max_size=2, unique=True).map(sorted),
    st.tuples(*[st.dictionaries(names, texts, max_size=4)] * 2),
    st.binary(max_size=40),
)
def test_whatever_a_certificate_can_say_reads_back(
    type_, subject, serial, key_id, principals, times, options, nonce
):
    said = fields(
        type=type_,
        key=structs.replace(subject, comment=""),
        serial=serial,
        key_id=key_id,
        principals=tuple(principals),
        valid_after=times[0],
        valid_before=times[1],
        critical_options=tuple(sorted(options[0].items(), key=lambda pair: pair[0].encode())),
        extensions=tuple(sorted(options[1].items(), key=lambda pair: pair[0].encode())),
        nonce=nonce,
    )
    tbs = certificate.encode_tbs(said)

    parsed = certificate.parse(tbs + string(string(b"none") + string(b"")))

    assert parsed.fields == said
    assert parsed.tbs == tbs


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"principals": ()}, id="no principals"),
        pytest.param({"principals": ("alice", "")}, id="empty principal"),
        pytest.param({"principals": ("a",) * (MAX_PRINCIPALS + 1)}, id="too many principals"),
        pytest.param({"principals": ("a\0b",)}, id="NUL in a principal"),
        pytest.param({"principals": ("a\ud800",)}, id="principal that is not Unicode"),
        pytest.param({"key_id": "a\0b"}, id="NUL in the key id"),
        pytest.param({"serial": 2**64}, id="serial overflow"),
        pytest.param({"serial": -1}, id="negative serial"),
        pytest.param({"valid_after": -1}, id="before 1970"),
        pytest.param({"valid_before": 2**64}, id="time overflow"),
        pytest.param({"valid_after": 5, "valid_before": 5}, id="never valid"),
        pytest.param({"extensions": (("a", ""), ("a", "b"))}, id="extension twice"),
        pytest.param({"critical_options": (("", "x"),)}, id="option without a name"),
        pytest.param({"critical_options": (("force-command", "a\0b"),)}, id="NUL in an option"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(changes):
    with pytest.raises(Error) as refused:
        certificate.encode_tbs(fields(**changes))

    assert refused.value.kind is Kind.MALFORMED


# --- what strangers make -------------------------------------------------------------------------


def test_forgeries_below_differ_from_a_good_one_in_one_field():
    certificate.verify(certificate.parse(forged()))


def listed(*items: bytes) -> bytes:
    return string(b"".join(items))


def option(name: bytes, value: bytes = b"") -> bytes:
    return string(name) + string(value)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"type": string(b"ssh-ed25519")}, id="type of a key"),
        pytest.param({"type": string(b"ssh-dss-cert-v01@openssh.com")}, id="DSA"),
        pytest.param({"type": string(b"ssh-ed25519-cert-v00@openssh.com")}, id="old version"),
        pytest.param({"type": string(b"rsa-sha2-512-cert-v01@openssh.com")}, id="algorithm"),
        pytest.param({"key": string(b"a" * 31)}, id="short key"),
        pytest.param({"kind": uint32(0)}, id="neither user nor host"),
        pytest.param({"kind": uint32(3)}, id="both user and host"),
        pytest.param({"key_id": string(b"a\0b")}, id="NUL in the key id"),
        pytest.param({"key_id": string(b"\xff")}, id="key id not UTF-8"),
        pytest.param({"principals": listed(string(b"a"), b"\0")}, id="octets behind principals"),
        pytest.param({"principals": listed(string(b"a"), b"\0\0\0\5b")}, id="principal cut short"),
        pytest.param({"principals": listed(string(b"a\0b"))}, id="NUL in a principal"),
        pytest.param({"principals": listed(string(b"\xff"))}, id="principal not UTF-8"),
        pytest.param({"principals": listed(*[string(b"a")] * 257)}, id="257 principals"),
        pytest.param({"valid_before": uint64(1)}, id="never valid"),
        pytest.param({"valid_after": uint64(FOREVER)}, id="ends before it begins"),
        pytest.param(
            {"critical_options": listed(option(b"b"), option(b"a"))}, id="options not in order"
        ),
        pytest.param({"extensions": listed(option(b"a"), option(b"a"))}, id="extension twice"),
        pytest.param({"extensions": listed(option(b""))}, id="extension without a name"),
        pytest.param({"extensions": listed(option(b"a"), b"\0")}, id="octets behind extensions"),
        pytest.param({"extensions": listed(string(b"a"))}, id="extension without data"),
        pytest.param({"extensions": listed(option(b"a", b"x"))}, id="value not a string"),
        pytest.param({"extensions": listed(option(b"a", string(b"")))}, id="empty value"),
        pytest.param(
            {"critical_options": listed(option(b"a", string(b"x") + string(b"y")))},
            id="two values",
        ),
        pytest.param({"authority": string(b"")}, id="no authority"),
        pytest.param({"authority": string(forged())}, id="certificate as authority"),
        pytest.param(
            {"authority": string(string(b"ssh-rsa") + mpint(65537) + mpint(2**1023 + 1))},
            id="weak authority",
        ),
        pytest.param({"authority": string(public(P256).blob + b"\0")}, id="octets behind a key"),
    ],
)
def test_signed_certificate_with_an_odd_field_is_refused(parts):
    assert refusal(forged(**parts)).kind in {Kind.MALFORMED, Kind.BAD_PUBLIC_KEY}


def test_reserved_field_is_ignored():
    certificate.verify(certificate.parse(forged(reserved=string(b"whatever"))))


def test_certificate_without_principals_is_read_and_says_so():
    assert certificate.parse(forged(principals=string(b""))).fields.principals == ()


def test_certificate_as_subject_key_is_refused():
    """A certificate for a certificate: its inner fields would shift what is read."""
    inner = forged()
    assert refusal(forged(key=string(inner))).kind is Kind.BAD_PUBLIC_KEY
    assert refusal(string(b"ssh-ed25519-cert-v01@openssh.com") + string(b"n") + inner)


def test_certificate_cut_short_anywhere_is_refused():
    whole = signed(RSA)
    for end in range(len(whole)):
        refusal(whole[:end])
    assert "behind its end" in refusal(whole + b"\0").detail


def test_certificate_beyond_the_limit_is_not_read():
    assert refusal(forged() + bytes(certificate.MAX_BYTES)).kind is Kind.TOO_LARGE


@pytest.mark.parametrize("authority", openssh.AUTHORITIES.values(), ids=openssh.AUTHORITIES)
def test_altered_bit_is_noticed(authority):
    whole = signed(authority)
    for place in range(0, len(whole), 7):
        altered = bytearray(whole)
        altered[place] ^= 1
        with pytest.raises(Error):
            certificate.verify(certificate.parse(bytes(altered)))


def test_signature_of_another_key_does_not_verify():
    tbs = certificate.encode_tbs(fields(authority=public(P256)))
    blob = certificate.encode(tbs, public(ED25519).blob, ED25519.sign(tbs))

    with pytest.raises(Error):
        certificate.verify(certificate.parse(blob))


def test_certificate_signed_by_sha_1_does_not_verify():
    tbs = certificate.encode_tbs(fields(authority=public(RSA)))
    value = openssh.raw_signature(RSA, tbs)

    with pytest.raises(Error, match="not accepted"):
        certificate.verify(certificate.parse(tbs + string(string(b"ssh-rsa") + string(value))))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(key.line(public(ED25519)), id="key"),
        pytest.param(f"ssh-ed25519 {base64_text(forged())}", id="type of the key"),
        pytest.param(f"{certificate.line(forged())}\n{certificate.line(forged())}", id="two"),
        pytest.param(certificate.line(forged())[:-4], id="cut short"),
    ],
)
def test_lines_that_are_no_certificate_are_refused(text):
    with pytest.raises(Error):
        certificate.parse_line(text)


def test_authority_that_signs_nothing_here_is_refused():
    with pytest.raises(Error) as refused:
        certificate.encode(TBS, openssh.sk_key(key.SK_ED25519).blob, b"a" * 64)

    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


def test_signature_behind_octets_that_were_read_is_the_only_thing_there():
    blob = forged()
    parsed = certificate.parse(blob)

    assert certificate.signature_at(blob, len(parsed.tbs)) == parsed.signature
    for wrong in (blob[:-1], blob + b"\0", parsed.tbs, parsed.tbs + b"\0" * 3):
        with pytest.raises(Error) as refused:
            certificate.signature_at(wrong, len(parsed.tbs))
        assert refused.value.kind is Kind.MALFORMED
