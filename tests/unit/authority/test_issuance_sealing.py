"""Values carry the proof: approvals come from policy, drafts from issuance, both once."""

import ast
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

import mintmark
from mintmark.authority.issuance import leaf as leaf_module
from mintmark.authority.issuance.approval import SEAL, Approval
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.leaf import LeafDraft, draft_leaf, issue_leaf
from mintmark.authority.issuance.serial import new_serial
from mintmark.authority.signer.draft import Draft
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from tests import pki

SOURCES = Path(mintmark.__file__).parent


@cache
def syntax():
    """Return every syntax node of every source file, by module path."""
    return {
        path.relative_to(SOURCES).as_posix(): tuple(ast.walk(ast.parse(path.read_text())))
        for path in SOURCES.rglob("*.py")
    }


def files_that(condition):
    """Return the source files with a syntax node that meets a condition, as module paths."""
    return {path for path, nodes in syntax().items() if any(map(condition, nodes))}


def test_only_policy_holds_the_seal():
    def touches_seal(node):
        return (isinstance(node, ast.alias) and node.name == "SEAL") or (
            isinstance(node, ast.Attribute) and node.attr == "SEAL"
        )

    assert files_that(touches_seal) == {
        "authority/policy/approve.py",
        "authority/policy/ssh.py",
    }


def test_only_approvals_write_into_a_frozen_value_to_let_go_of_the_seal():
    def writes(node):
        return "force_setattr" in {getattr(node, "id", ""), getattr(node, "attr", "")}

    assert files_that(writes) == {"authority/issuance/approval.py"}


def test_only_issuance_makes_drafts():
    def makes_a_draft(node):
        return isinstance(node, ast.Call) and (
            getattr(node.func, "id", getattr(node.func, "attr", ""))
            in {"Draft", "LeafDraft", "SSHDraft"}
        )

    makers = files_that(makes_a_draft)
    assert all(each.startswith("authority/issuance/") for each in makers)


def test_only_the_ceremony_asks_for_a_builders_key():
    def asks(node):
        return isinstance(node, ast.Attribute) and node.attr == "builder_key"

    assert files_that(asks) == {"authority/issuance/hierarchy.py"}


@pytest.mark.parametrize(
    "seal", [None, object(), "SEAL", True], ids=lambda value: type(value).__name__
)
def test_approval_without_the_seal_cannot_be(seal):
    good = pki.approval(pki.pki().issuing)
    facts = structs.asdict(good) | {"seal": seal}

    with pytest.raises(TypeError, match="only policy approves"):
        Approval(**facts)


def test_approval_cannot_be_changed_or_copied_with_changes():
    approval = pki.approval(pki.pki().issuing)

    with pytest.raises(AttributeError, match="immutable"):
        approval.common_name = "other"
    with pytest.raises(TypeError, match="only policy approves"):
        structs.replace(approval, common_name="other")


def test_approval_does_not_keep_the_seal():
    approval = pki.approval(pki.pki().issuing)

    assert SEAL not in structs.astuple(approval)


@pytest.mark.parametrize("thing", [None, b"tbs", object()], ids=lambda value: type(value).__name__)
def test_only_an_approval_is_drafted(thing):
    with pytest.raises(TypeError, match="only an approval is drafted"):
        draft_leaf(thing, pki.pki().issuing, pki.serial())


@pytest.mark.parametrize("thing", [None, b"tbs", Draft(b"tbs")], ids=["none", "octets", "bare"])
def test_only_a_leafs_draft_is_issued(thing):
    with pytest.raises(TypeError, match="only a leaf's draft is issued"):
        issue_leaf(thing, pki.pki().issuing)


def test_draft_cannot_be_redeemed_twice():
    issuing = pki.pki().issuing
    draft = draft_leaf(pki.approval(issuing), issuing, pki.serial())
    issue_leaf(draft, issuing)

    with pytest.raises(RuntimeError, match="redeemed once"):
        issue_leaf(draft, issuing)


def test_draft_of_one_issuer_is_not_signed_by_another():
    issuing, other = pki.pki().issuing, pki.pki(number=1).issuing
    draft = draft_leaf(pki.approval(issuing), issuing, pki.serial())

    with pytest.raises(Error, match="drafted for issuer") as caught:
        issue_leaf(draft, other)
    assert caught.value.kind is Kind.INTERNAL


def test_approval_of_one_issuer_is_not_drafted_for_another():
    issuing, other = pki.pki().issuing, pki.pki(number=1).issuing

    with pytest.raises(Error, match="lint 'issuer-approved'"):
        draft_leaf(pki.approval(issuing), other, pki.serial())


@pytest.mark.parametrize(
    "issuer_type",
    [KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048],
    ids=lambda each: each.value,
)
def test_issued_leaf_says_what_was_approved(issuer_type):
    issuing = pki.pki(issuer_type).issuing
    approval = pki.approval(issuing, "web.example.internal", replaces=b"old")
    serial = pki.serial()
    certificate = issue_leaf(draft_leaf(approval, issuing, serial), issuing)
    parsed = x509.load_der_x509_certificate(certificate.der)

    parsed.verify_directly_issued_by(issuing.certificate)
    assert certificate == Certificate(
        serial=serial,
        issuer=issuing.issuer.id,
        service="web",
        profile="server",
        common_name="web.example.internal",
        identifiers=approval.identifiers,
        not_before=approval.not_before,
        not_after=approval.not_after,
        der=certificate.der,
        spki_sha256=approval.key.sha256,
        replaces=b"old",
    )
    assert parsed.serial_number == int.from_bytes(serial, "big")
    assert parsed.public_key() == approval.key.public_key


def test_signature_that_does_not_parse_back_never_leaves(monkeypatch):
    issuing = pki.pki().issuing
    draft = draft_leaf(pki.approval(issuing), issuing, pki.serial())
    monkeypatch.setattr(leaf_module.der, "bit_string", lambda _: b"\x03\x05\x00")

    with pytest.raises(Error, match="cannot be parsed back"):
        issue_leaf(draft, issuing)


def test_other_serial_in_what_was_signed_never_leaves():
    issuing = pki.pki().issuing
    approval = pki.approval(issuing)
    draft = draft_leaf(approval, issuing, pki.serial())
    forged = LeafDraft(draft.tbs, approval, pki.serial())

    with pytest.raises(Error, match="not the one that was drafted"):
        issue_leaf(forged, issuing)


def test_serials_are_positive_twenty_octets_in_the_order_of_time():
    times = [0.0, 1.0, 1_795_000_000.0, 1_795_000_000.001, 4_102_444_800.0]
    serials = [new_serial(lambda each=each: each, pki.entropy) for each in times]

    assert serials == sorted(serials)
    assert {len(each) for each in serials} == {20}
    assert all(0x40 <= each[0] <= 0x7F for each in serials)


def test_serials_of_one_millisecond_differ_in_112_bits():
    asked = []

    def entropy(size):
        asked.append(size)
        return pki.entropy(size)

    one, other = (new_serial(pki.clock, entropy) for _ in range(2))

    assert one[:6] == other[:6]
    assert one[6:] != other[6:]
    assert asked == [14, 14]


def test_leaf_is_the_same_octets_from_the_same_entropy():
    issuing = pki.pki(KeyType.ED25519).issuing
    serial = pki.serial()
    approval = pki.approval(issuing)
    one, other = (issue_leaf(draft_leaf(approval, issuing, serial), issuing) for _ in range(2))

    assert one.der == other.der


def test_key_of_another_issuer_is_refused():
    genuine = pki.pki().issuing

    with pytest.raises(Error, match="the key is not that of issuer") as caught:
        IssuingKey(genuine.issuer, pki.signer(number=99), genuine.pointers)
    assert caught.value.kind is Kind.CONFIGURATION


def test_signature_covers_the_leaf():
    issuing = pki.pki().issuing
    parsed = x509.load_der_x509_certificate(pki.leaf(issuing).der)

    issuing.certificate.public_key().verify(
        parsed.signature, parsed.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256())
    )
