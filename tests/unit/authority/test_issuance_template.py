"""The template makes, octet for octet, what the plain builder makes."""

import dataclasses
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec import structs

from mintmark.authority.issuance.builder import leaf_builder
from mintmark.authority.issuance.frame import cut
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.shape import Pointers
from mintmark.authority.issuance.tbs import split
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.keys import KeyType
from mintmark.model.profile import (
    BUILT_IN,
    CLIENT_AUTH,
    OCSP_RESPONDER,
    OCSP_SIGNING,
    SERVER_AUTH,
    KeyUsage,
    Profile,
    SubjectAttribute,
)
from tests import pki

QUICK = (KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048)
SERIAL = bytes(range(0x40, 0x54))
LATEST = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())


def built_tbs(approval, serial, issuing):
    """Return the TBSCertificate that the plain builder makes and signs."""
    builder = leaf_builder(
        approval,
        serial,
        issuer_name=issuing.certificate.subject,
        authority_key_id=issuing.key_id,
        pointers=issuing.pointers,
    )
    key = issuing.signer.builder_key()
    return builder.sign(key, pki.digest(key)).tbs_certificate_bytes


def template_tbs(approval, serial, issuing):
    form = issuing.form(approval.profile, approval.key.type)
    return form.template.assemble(approval, serial)


label = some.text("abcxyz0189", min_size=1, max_size=22)
host = some.lists(label, min_size=1, max_size=5).map(".".join)
identifier = some.one_of(
    host.map(lambda name: Identifier(IdentifierType.DNS, name)),
    host.map(lambda name: Identifier(IdentifierType.DNS, f"*.{name}")),
    some.ip_addresses().map(lambda address: Identifier(IdentifierType.IP, str(address))),
    host.map(lambda name: Identifier(IdentifierType.EMAIL, f"ops@{name}")),
    host.map(lambda name: Identifier(IdentifierType.URI, f"spiffe://{name}/ns/a")),
)
# The builder counts octets, not characters, up to 64 in a common name.
text = some.text(some.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=16)
oid = some.sampled_from(
    (SERVER_AUTH, CLIENT_AUTH, OCSP_SIGNING, "1.3.6.1.4.1.99999.1.2.300", "2.5.29.37.0")
)
usages = some.frozensets(
    some.sampled_from([each for each in KeyUsage if "ONLY" not in each.name]), min_size=1
)
subject = some.lists(
    some.one_of(
        some.tuples(some.just(SubjectAttribute.ORGANIZATION), text),
        some.tuples(some.just(SubjectAttribute.ORGANIZATIONAL_UNIT), text),
        some.just((SubjectAttribute.COUNTRY, "AT")),
    ),
    max_size=3,
    unique_by=lambda each: each[0],
).map(tuple)
profiles = some.builds(
    Profile,
    name=some.just("random"),
    extended_key_usages=some.lists(oid, min_size=1, max_size=3, unique=True).map(tuple),
    key_usages=usages,
    subject=subject,
    certificate_policies=some.lists(oid, max_size=2, unique=True).map(tuple),
    ocsp_must_staple=some.booleans(),
    ocsp_no_check=some.booleans(),
    revocation_pointers=some.booleans(),
    rsa_key_encipherment=some.booleans(),
)
url = host.map(lambda name: f"http://{name}:8080/x")
pointers = some.builds(
    Pointers,
    crl=some.lists(url, max_size=2).map(tuple),
    ocsp=some.lists(url, max_size=2).map(tuple),
    ca_issuers=some.lists(url, max_size=2).map(tuple),
)
serials = some.tuples(some.integers(0x40, 0x7F), some.binary(min_size=19, max_size=19)).map(
    lambda parts: bytes((parts[0],)) + parts[1]
)


@settings(max_examples=100, deadline=None)
@given(
    issuer_type=some.sampled_from(QUICK),
    key_type=some.sampled_from(QUICK),
    profile=profiles,
    names=some.lists(identifier, max_size=12, unique=True),
    common_name=some.one_of(some.just(""), text),
    not_before=some.integers(0, LATEST),
    lifetime=some.integers(0, 50 * 365 * 86400),
    serial=serials,
    urls=pointers,
)
def test_template_equals_builder(  # noqa: PLR0917 - hypothesis fills them
    issuer_type, key_type, profile, names, common_name, not_before, lifetime, serial, urls
):
    hierarchy = pki.pki(issuer_type)
    issuing = IssuingKey(hierarchy.issuer, hierarchy.issuing.signer, urls)
    approval = pki.Approval(
        service="any",
        profile=profile,
        common_name=common_name,
        identifiers=tuple(names),
        key=pki.key(key_type),
        not_before=not_before,
        not_after=not_before + lifetime,
        issuer=hierarchy.issuer.id,
        replaces=None,
        metadata=None,
        seal=pki.SEAL,
    )

    assert template_tbs(approval, serial, issuing) == built_tbs(approval, serial, issuing)


@settings(max_examples=60, deadline=None)
@given(
    key_type=some.sampled_from(QUICK),
    profile=profiles,
    names=some.lists(identifier, min_size=1, max_size=12, unique=True),
    common_name=some.one_of(some.just(""), text),
    not_before=some.integers(0, LATEST),
    lifetime=some.integers(0, 50 * 365 * 86400),
    serial=serials,
)
def test_frame_cut_from_one_leaf_holds_every_other(
    key_type, profile, names, common_name, not_before, lifetime, serial
):
    issuing = pki.pki().issuing
    first, first_serial = pki.approval(issuing, profile=profile, subject=pki.key(key_type)), SERIAL
    frame = cut(split(built_tbs(first, first_serial, issuing)), first_serial)
    other = structs.replace(
        first,
        common_name=common_name,
        identifiers=tuple(names),
        key=pki.key(key_type, number=101),
        not_before=not_before,
        not_after=not_before + lifetime,
        seal=pki.SEAL,
    )

    fixed = issuing.form(profile, key_type).subject
    assert frame.expected(other, serial, fixed) == built_tbs(other, serial, issuing)


def test_leaf_without_names_has_no_frame():
    issuing = pki.pki().issuing
    approval = pki.approval(issuing, profile=OCSP_RESPONDER)
    assert cut(split(built_tbs(approval, SERIAL, issuing)), SERIAL) is None


@pytest.mark.parametrize("profile", [*BUILT_IN, OCSP_RESPONDER], ids=lambda each: each.name)
@pytest.mark.parametrize("key_type", QUICK, ids=lambda each: each.value)
def test_built_in_profiles_equal_the_builder(profile, key_type):
    issuing = pki.pki().issuing
    approval = pki.approval(issuing, profile=profile, subject=pki.key(key_type))
    serial = pki.serial()

    assert template_tbs(approval, serial, issuing) == built_tbs(approval, serial, issuing)


def test_a_hundred_names_equal_the_builder():
    issuing = pki.pki().issuing
    names = [f"host-{number}.some.where.example.internal" for number in range(100)]
    approval = pki.approval(issuing, *names)
    serial = pki.serial()

    assert template_tbs(approval, serial, issuing) == built_tbs(approval, serial, issuing)


def test_key_identifier_is_the_left_of_sha256():
    """RFC 7093 §2 method 1."""
    point = pki.key().public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    expected = x509.SubjectKeyIdentifier(hashlib.sha256(point).digest()[:20])
    leaf = x509.load_der_x509_certificate(pki.leaf(pki.pki().issuing).der)

    assert leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value == expected


def test_new_profile_under_an_old_name_takes_effect():
    issuing = pki.pki().issuing
    old = pki.leaf(issuing)
    new = dataclasses.replace(pki.SERVER, ocsp_must_staple=True)
    leaf = x509.load_der_x509_certificate(pki.leaf(issuing, profile=new).der)

    assert leaf.extensions.get_extension_for_class(x509.TLSFeature)
    assert b"\x2b\x06\x01\x05\x05\x07\x01\x18" not in old.der


def test_builder_knows_no_other_keys():
    issuing = pki.pki().issuing
    foreign = structs.replace(pki.key(), public_key=object())

    with pytest.raises(TypeError, match="a key of type object gets no leaf"):
        built_tbs(pki.approval(issuing, subject=foreign), pki.serial(), issuing)
