"""CRLs are linted before they are signed and parsed back after (RFC 5280 §5)."""

import dataclasses

import pytest
from cryptography import x509

from mintmark.authority.issuance import crl as crl_module
from mintmark.authority.issuance.crl import MAX_NUMBER, CRLContent, draft_crl, issue_crl
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.status import Reason
from mintmark.model.time import DAY
from mintmark.wire import crl
from tests import pki

CONTENT = CRLContent(7, pki.NOW, pki.NOW + DAY, previous=6)


def entries(count):
    return b"".join(
        crl.entry(pki.serial(), pki.NOW - index, Reason.SUPERSEDED) for index in range(count)
    )


@pytest.mark.parametrize(
    "key_type",
    [KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048],
    ids=lambda each: each.value,
)
@pytest.mark.parametrize("count", [0, 1, 500])
def test_crl_says_what_it_should_and_verifies(key_type, count):
    issuing = pki.pki(key_type).issuing
    parsed = x509.load_der_x509_crl(issue_crl(issuing, CONTENT, entries(count)))

    assert parsed.is_signature_valid(issuing.certificate.public_key())
    assert len(parsed) == count
    assert parsed.issuer == issuing.certificate.subject
    assert parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert parsed.last_update_utc.timestamp() == pki.NOW
    assert parsed.next_update_utc.timestamp() == pki.NOW + DAY


def test_large_crl_is_checked_by_its_frame(monkeypatch):
    monkeypatch.setattr(crl_module, "PARSED_BACK_OCTETS", 1000)
    issuing = pki.pki().issuing
    parsed = x509.load_der_x509_crl(issue_crl(issuing, CONTENT, entries(200)))

    assert parsed.is_signature_valid(issuing.certificate.public_key())


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"previous": 7}, "§5.2.3"),
        ({"previous": 8}, "§5.2.3"),
        ({"number": 0, "previous": 0}, "§5.2.3"),
        ({"number": MAX_NUMBER + 1}, "§5.2.3"),
        ({"next_update": pki.NOW}, "§5.1.2.5"),
        ({"next_update": pki.NOW - 1}, "§5.1.2.5"),
    ],
    ids=["repeated", "falling", "zero", "huge", "instant", "backwards"],
)
def test_content_that_cannot_be_is_stopped(changes, clause):
    with pytest.raises(Error, match=clause) as caught:
        draft_crl(pki.pki().issuing, dataclasses.replace(CONTENT, **changes), b"")
    assert caught.value.kind is Kind.INTERNAL


@pytest.mark.parametrize(
    "garbage", [b"\0", b"\x30", b"\x30\x05abc", b"\x02\x01\x01", b"\x30\x80\0\0"], ids=bytes.hex
)
def test_entries_that_are_none_are_stopped(garbage):
    with pytest.raises(Error, match="CRL lint"):
        draft_crl(pki.pki().issuing, CONTENT, entries(2) + garbage)


def test_list_of_another_issuer_is_stopped(monkeypatch):
    issuing, other = pki.pki().issuing, pki.pki(number=1).issuing
    genuine = crl.tbs_cert_list

    def swapped_name(_name, *rest):
        return genuine(other.certificate.issuer.public_bytes(), *rest)

    def swapped_key(*arguments):
        return genuine(*arguments[:5], other.key_id, arguments[6])

    for swapped, clause in ((swapped_name, "§5.1.2.3"), (swapped_key, "§5.2.1")):
        monkeypatch.setattr(crl_module.crl, "tbs_cert_list", swapped)
        with pytest.raises(Error, match=clause):
            draft_crl(issuing, CONTENT, b"")


def test_lost_entries_are_noticed(monkeypatch):
    genuine = crl.tbs_cert_list
    monkeypatch.setattr(
        crl_module.crl, "tbs_cert_list", lambda *arguments: genuine(*arguments[:6], b"")
    )

    with pytest.raises(Error, match=r"§5\.1\.2\.6"):
        draft_crl(pki.pki().issuing, CONTENT, entries(1))


@pytest.mark.parametrize("limit", [0, 10**9], ids=["frame", "parsed"])
def test_list_that_is_not_the_drafted_one_never_leaves(monkeypatch, limit):
    genuine = crl.cert_list

    def swapped(tbs, algorithm, signature):
        return genuine(tbs[:-1] + b"\x08" if signature else tbs, algorithm, signature)

    monkeypatch.setattr(crl_module, "PARSED_BACK_OCTETS", limit)
    monkeypatch.setattr(crl_module.crl, "cert_list", swapped)

    with pytest.raises(Error, match="signed CRL"):
        issue_crl(pki.pki().issuing, CONTENT, b"")


def test_wrong_signature_value_never_leaves(monkeypatch):
    genuine = crl.cert_list
    monkeypatch.setattr(
        crl_module.crl,
        "cert_list",
        lambda tbs, algorithm, signature: genuine(tbs, algorithm, signature[:-1]),
    )

    with pytest.raises(Error, match="not the one that was drafted"):
        issue_crl(pki.pki().issuing, CONTENT, b"")
