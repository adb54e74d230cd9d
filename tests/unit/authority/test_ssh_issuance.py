"""SSH certificates: nothing is signed that was not approved, linted, parsed back and verified."""

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import SSHCertificate as ForeignCertificate
from cryptography.hazmat.primitives.serialization import (
    SSHCertificateType as ForeignType,
)
from cryptography.hazmat.primitives.serialization import (
    load_ssh_public_identity,
    load_ssh_public_key,
)
from msgspec import structs

from mintmark.authority.issuance import ssh as ssh_module
from mintmark.authority.issuance import ssh_lints
from mintmark.authority.issuance.approval import SSHApproval
from mintmark.authority.issuance.ssh import (
    SSHDraft,
    draft_ssh,
    issue_ssh,
    new_nonce,
    new_ssh_serial,
)
from mintmark.authority.issuance.ssh_keys import SSHIssuingKey
from mintmark.authority.signer.draft import Draft
from mintmark.authority.signer.file import FileSigner
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.ssh import SSHCertificateType, SSHProfile
from mintmark.wire.ssh import certificate as wire
from tests import openssh, pki, ssh_authority
from tests.ssh_authority import HOST, USER, ca, subject

NONCE = bytes(range(32))
SERIAL = 0x0123456789ABCDEF
CA_TYPES = [KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048]


def issue(approval, key=None, serial=SERIAL, nonce=NONCE):
    key = key or ca(approval.profile.type)
    return issue_ssh(draft_ssh(approval, key, serial, nonce), key)


def approved(type_=USER, *, authority=None, **changes):
    changes = changes if authority is None else {"authority": authority.authority.id, **changes}
    return ssh_authority.approval(type_, **changes)


def refusal(approval, **options):
    with pytest.raises(Error) as refused:
        issue(approval, **options)
    return refused.value


def user_profile(**changes):
    return SSHProfile("special", USER, **changes)


@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_another_implementation_reads_and_verifies_what_we_sign(ca_type):
    key = ca(USER, ca_type)
    profile = user_profile(
        extensions=(("permit-pty", ""), ("permit-X11-forwarding", ""), ("login@corp", "x")),
        critical_options=(("source-address", "10.0.0.0/8,::1"), ("force-command", "/bin/true")),
    )

    made = issue(approved(authority=key, profile=profile, principals=("a", "b")), key)

    theirs = load_ssh_public_identity(wire.line(made.der).encode())
    assert isinstance(theirs, ForeignCertificate)
    theirs.verify_cert_signature()
    assert theirs.serial == SERIAL == made.number
    assert theirs.type is ForeignType.USER
    assert theirs.key_id == b"deploy"
    assert theirs.valid_principals == [b"a", b"b"]
    assert (theirs.valid_after, theirs.valid_before) == (made.not_before, made.not_after + 1)
    assert sorted(theirs.extensions) == [b"login@corp", b"permit-X11-forwarding", b"permit-pty"]
    assert set(theirs.critical_options) == {b"force-command", b"source-address"}
    signer = load_ssh_public_key(_line(key.authority.key.type, key.authority.key.blob))
    assert theirs.signature_key() == signer


def _line(type_, blob):
    return f"{type_} {base64.b64encode(blob).decode()}".encode()


@pytest.mark.parametrize("ca_type", CA_TYPES)
def test_openssh_reads_what_we_sign(ca_type, tmp_path):
    key = ca(HOST, ca_type)
    made = issue(approved(HOST, authority=key, principals=("a.web.internal", "10.0.0.1")), key)
    path = tmp_path / "host-cert.pub"
    path.write_text(wire.line(made.der) + "\n")

    shown = openssh.keygen("-L", "-f", path)

    assert "host certificate" in shown
    assert f"Serial: {SERIAL}" in shown
    assert "a.web.internal" in shown
    assert "10.0.0.1" in shown
    assert "Critical Options: (none)" in shown


@pytest.mark.parametrize("key", openssh.every_key(), ids=lambda key: key.type)
def test_every_kind_of_subject_key_is_certified(key):
    made = issue(approved(key=key))

    assert wire.parse(made.der).fields.key.blob == key.blob
    assert (made.key_sha256, made.spki_sha256) == (key.sha256, key.spki_sha256)


def test_the_record_says_what_the_certificate_says():
    approval = approved(HOST, replaces=b"12345678", metadata={"owner": "ops"})

    made = issue(approval)

    assert made.serial == SERIAL.to_bytes(8)
    assert made.type is SSHCertificateType.HOST
    assert (made.service, made.profile, made.key_id) == ("deploy", "ssh-host", "deploy")
    assert made.principals == approval.principals
    assert made.issuer == approval.authority
    assert (made.replaces, made.metadata) == (b"12345678", {"owner": "ops"})
    assert made.identifiers == ()


# Seals.


@pytest.mark.parametrize("seal", [None, object(), True], ids=lambda value: type(value).__name__)
def test_an_approval_without_the_seal_cannot_be(seal):
    good = approved()
    facts = structs.asdict(good) | {"seal": seal}

    with pytest.raises(TypeError, match="only policy approves"):
        SSHApproval(**facts)


def test_an_approval_cannot_be_changed_or_copied_with_changes():
    with pytest.raises(AttributeError, match="immutable"):
        approved().principals = ("root",)
    with pytest.raises(TypeError, match="only policy approves"):
        structs.replace(approved(), principals=("root",))


def test_only_an_approval_is_drafted():
    with pytest.raises(TypeError, match="only an SSH approval"):
        draft_ssh(pki.approval(pki.pki().issuing), ca(USER), SERIAL, NONCE)


def test_a_draft_is_redeemed_once():
    draft = draft_ssh(approved(), ca(USER), SERIAL, NONCE)
    issue_ssh(draft, ca(USER))

    with pytest.raises(RuntimeError, match="once"):
        issue_ssh(draft, ca(USER))


def test_only_an_ssh_draft_is_issued():
    with pytest.raises(TypeError, match="only an SSH draft"):
        issue_ssh(Draft(b"octets"), ca(USER))


def test_a_draft_for_one_ca_is_not_signed_by_another():
    draft = draft_ssh(approved(), ca(USER), SERIAL, NONCE)

    with pytest.raises(Error) as refused:
        issue_ssh(draft, ca(HOST))
    assert refused.value.kind is Kind.INTERNAL


def test_a_signer_with_another_key_is_found_out():
    with pytest.raises(Error) as refused:
        SSHIssuingKey(ca(USER).authority, FileSigner(pki.private_key(KeyType.EC_P256, 900)))

    assert refused.value.kind is Kind.CONFIGURATION


def test_octets_changed_after_the_lints_are_found_out():
    good = draft_ssh(approved(), ca(USER), SERIAL, NONCE)
    other = draft_ssh(approved(principals=("deploy-2",)), ca(USER), SERIAL, NONCE)
    forged = SSHDraft(other.tbs, good.approval, good.fields)
    forged.tbs = other.tbs + b"\0"

    with pytest.raises(Error) as refused:
        issue_ssh(forged, ca(USER))
    assert refused.value.kind is Kind.INTERNAL


def test_an_encoder_that_changes_what_was_signed_is_found_out(monkeypatch):
    draft = draft_ssh(approved(), ca(USER), SERIAL, NONCE)
    other = issue(approved(principals=("root",)))
    monkeypatch.setattr(ssh_module.wire, "encode", lambda *_: other.der)

    with pytest.raises(Error, match="not the one that was drafted"):
        issue_ssh(draft, ca(USER))


# Design rule 7, in the signing function: approvals that policy would never make.


@pytest.mark.parametrize(
    "principals",
    [
        ("",),
        ("*",),
        ("a,b",),
        ("a b",),
        ("a\n",),
        ("a?",),
        ("a\x01",),
        ("ä",),
        ("a", "a"),
        ("a" * 256,),
        (),
        tuple(f"p{number}" for number in range(257)),
    ],
    ids=lambda value: ascii(value)[:16],
)
def test_principals_that_mean_more_than_one_are_never_signed(principals):
    assert refusal(approved(principals=principals)).kind in {
        Kind.REJECTED_IDENTIFIER,
        Kind.MALFORMED,
    }


@pytest.mark.parametrize("principal", ["*.web.internal", "A.internal", "alice@x.internal", "a_b"])
def test_hosts_without_their_one_form_are_never_signed(principal):
    assert refusal(approved(HOST, principals=(principal,))).kind is Kind.REJECTED_IDENTIFIER


@pytest.mark.parametrize("key_id", ["", "a\nb", "a\x00", "x" * 256])
def test_a_key_id_that_forges_a_log_is_never_signed(key_id):
    assert refusal(approved(key_id=key_id)).kind in {Kind.REJECTED_IDENTIFIER, Kind.MALFORMED}


@pytest.mark.parametrize("serial", [0, -1, 1 << 63, 1 << 64, 1 << 200])
def test_a_serial_outside_63_bits_is_never_signed(serial):
    assert refusal(approved(), serial=serial).kind in {Kind.INTERNAL, Kind.MALFORMED}


@pytest.mark.parametrize(
    ("after", "before"),
    [
        (pki.NOW, pki.NOW),
        (pki.NOW, pki.NOW - 1),
        (0, pki.NOW),
        (-1, pki.NOW),
        (pki.NOW, 1 << 62),
        (pki.NOW, (1 << 64) - 1),
        (pki.NOW, 1 << 64),
    ],
)
def test_a_validity_without_an_end_or_a_beginning_is_never_signed(after, before):
    approval = approved(valid_after=after, valid_before=before)

    assert refusal(approval).kind in {Kind.BAD_LIFETIME, Kind.MALFORMED}


@pytest.mark.parametrize("nonce", [b"", bytes(32), b"n" * 32, bytes(range(31)), bytes(range(33))])
def test_a_nonce_that_is_not_random_is_a_defect(nonce):
    assert refusal(approved(), nonce=nonce).kind is Kind.INTERNAL


def test_a_user_ca_signs_no_host_certificates():
    approval = approved(HOST, authority=ca(USER))

    assert refusal(approval, key=ca(USER)).kind is Kind.INTERNAL


def test_a_draft_for_another_ca_is_not_made():
    assert refusal(approved(), key=ca(USER, KeyType.ED25519)).kind is Kind.INTERNAL


@pytest.mark.parametrize(
    "option",
    [
        ("force-command", ""),
        ("force-command", "true\nfalse"),
        ("source-address", ""),
        ("source-address", "10.0.0.1/8"),
        ("source-address", "10.0.0.0/8,anywhere"),
        ("source-address", "*"),
        ("verify-required", ""),
        ("permit-everything", ""),
        ("no-such@example.com", ""),
    ],
)
def test_critical_options_that_no_sshd_would_take_are_never_signed(option):
    profile = user_profile(critical_options=(option,))

    assert refusal(approved(profile=profile)).kind is Kind.BAD_PROFILE


def test_a_touch_with_proof_is_for_security_keys_only():
    profile = user_profile(critical_options=(("verify-required", ""),))
    key = openssh.every_key()[-1]

    assert issue(approved(profile=profile, key=key))
    valued = user_profile(critical_options=(("verify-required", "yes"),))
    assert refusal(approved(profile=valued, key=key)).kind is Kind.BAD_PROFILE


@pytest.mark.parametrize(
    "extension", [("permit-pty", "yes"), ("permit-anything", ""), ("@corp", ""), ("login@", "")]
)
def test_extensions_that_nobody_knows_are_never_signed(extension):
    profile = user_profile(extensions=(extension,))

    assert refusal(approved(profile=profile)).kind is Kind.BAD_PROFILE


def test_host_certificates_have_no_options_of_users():
    pty = SSHProfile("special", HOST, extensions=(("permit-pty", ""),))
    forced = SSHProfile("special", HOST, critical_options=(("force-command", "true"),))

    assert refusal(approved(HOST, profile=pty)).kind is Kind.BAD_PROFILE
    assert refusal(approved(HOST, profile=forced)).kind is Kind.BAD_PROFILE


FIELDS = {
    "serial": {"serial": 7},
    "nonce": {"nonce": bytes(reversed(range(32)))},
    "type": {"type": HOST, "extensions": (), "principals": ("deploy-1",)},
    "public-key": {"key": subject(9)},
    "key-id": {"key_id": "other"},
    "principals": {"principals": ("root",)},
    "validity": {"valid_before": pki.NOW + 7200},
    "critical-options": {"critical_options": (("force-command", "true"),)},
    "extensions": {"extensions": ()},
    "authority": {"authority": subject(8)},
}


@pytest.mark.parametrize("name", FIELDS)
def test_an_encoder_that_writes_something_else_is_found_out(name):
    approval, key = approved(), ca(USER)
    intended = draft_ssh(approval, key, SERIAL, NONCE).fields
    written = wire.encode_tbs(msgspec.structs.replace(intended, **FIELDS[name]))

    with pytest.raises(Error, match=f"lint '{name}'"):
        ssh_lints.lint(written, intended, approval, key.authority)


def test_every_lint_has_its_attack():
    assert {name for name, _, _ in ssh_lints.LINTS} == set(FIELDS)


def test_octets_that_are_no_certificate_are_found_out():
    approval, key = approved(), ca(USER)
    intended = draft_ssh(approval, key, SERIAL, NONCE).fields

    with pytest.raises(Error, match="lint 'syntax'"):
        ssh_lints.lint(wire.encode_tbs(intended)[:-1], intended, approval, key.authority)


def test_serials_are_random_and_never_zero():
    assert new_ssh_serial(bytes) == 1
    assert new_ssh_serial(lambda size: b"\xff" * size) == (1 << 63) - 1
    serials = {new_ssh_serial(pki.entropy) for _ in range(100)}
    assert len(serials) == 100
    assert len(new_nonce(pki.entropy)) == 32
