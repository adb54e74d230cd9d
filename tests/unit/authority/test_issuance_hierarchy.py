"""Roots, intermediates and the chains they make."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mintmark.authority.issuance.hierarchy import (
    BACKDATE,
    Constraints,
    Subject,
    intermediate_csr,
    issuer_from_chain,
    make_intermediate,
    make_root,
)
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.shape import Pointers
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.profile import CLIENT, CLIENT_AUTH, SERVER
from mintmark.model.time import DAY, YEAR
from mintmark.wire.csr import parse_csr
from mintmark.wire.spki import subject_key
from tests import pki

KEY_TYPES = (KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048)


def parse(certificate):
    return x509.load_der_x509_certificate(certificate)


def value(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def root(number=0, **options):
    settings = {"clock": pki.clock, "entropy": pki.entropy} | options
    return make_root(pki.signer(number=number), Subject("Root"), **settings)


def below(root_der, number=1, root_number=0, **options):
    settings = {"clock": pki.clock, "entropy": pki.entropy} | options
    key = subject_key(pki.signer(number=number).spki)
    return make_intermediate(
        pki.signer(number=root_number), root_der, key, Subject(f"Authority {number}"), **settings
    )


@pytest.mark.parametrize("key_type", KEY_TYPES, ids=lambda each: each.value)
def test_root_is_an_authority_of_ten_years_and_nothing_else(key_type):
    certificate = parse(pki.pki(key_type).root_der)

    certificate.verify_directly_issued_by(certificate)
    assert value(certificate, x509.BasicConstraints) == x509.BasicConstraints(True, None)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    assert certificate.not_valid_before_utc.timestamp() == pki.NOW - BACKDATE
    assert certificate.not_valid_after_utc.timestamp() == pki.NOW + 10 * YEAR
    assert {each.oid for each in certificate.extensions} == {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.SubjectKeyIdentifier.oid,
    }


@pytest.mark.parametrize("key_type", KEY_TYPES, ids=lambda each: each.value)
def test_intermediate_lives_five_years_with_path_length_zero(key_type):
    hierarchy = pki.pki(key_type)
    certificate = hierarchy.issuing.certificate

    certificate.verify_directly_issued_by(parse(hierarchy.root_der))
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(True, 0)
    assert certificate.not_valid_after_utc.timestamp() == pki.NOW + 5 * YEAR
    assert (
        value(certificate, x509.AuthorityKeyIdentifier).key_identifier
        == value(parse(hierarchy.root_der), x509.SubjectKeyIdentifier).digest
    )


def test_names_go_from_the_general_to_the_particular():
    subject = Subject("Example CA", "Example", "Platform", "AT")

    assert subject.name().rfc4514_string() == "CN=Example CA,OU=Platform,O=Example,C=AT"


@pytest.mark.parametrize(
    "subject",
    [Subject(""), Subject("x" * 65), Subject("x", country="AUT"), Subject("x", "o" * 65)],
    ids=["empty", "long", "country", "organization"],
)
def test_impossible_name_is_refused(subject):
    with pytest.raises(Error) as caught:
        make_root(pki.signer(), subject, clock=pki.clock, entropy=pki.entropy)
    assert caught.value.kind is Kind.CONFIGURATION


def test_intermediate_never_outlives_its_root():
    root_der = root(lifetime=YEAR)
    assert below(root_der, lifetime=YEAR)

    with pytest.raises(Error, match="would outlive its issuer") as caught:
        below(root_der, lifetime=YEAR + 1)
    assert caught.value.kind is Kind.BAD_LIFETIME


def test_intermediate_never_begins_before_its_root():
    root_der = root()
    earlier = below(root_der, clock=lambda: pki.NOW - 30 * DAY)

    assert parse(earlier).not_valid_before_utc == parse(root_der).not_valid_before_utc


def test_intermediate_is_not_signed_with_another_key():
    with pytest.raises(Error, match="not that of the issuing authority"):
        below(root(), root_number=5)


def test_leaf_signs_no_intermediate():
    hierarchy = pki.pki()
    leaf = pki.leaf(hierarchy.issuing, subject=pki.key(number=4))

    with pytest.raises(Error, match="no basic constraints or key usage") as caught:
        below(leaf.der, root_number=4)
    assert caught.value.kind is Kind.CONFIGURATION


def test_authority_without_a_key_identifier_signs_no_intermediate():
    certificate, _ = signed_authority(constraints=x509.BasicConstraints(True, None), extensions=[])

    with pytest.raises(Error, match="'Foreign' has no subject key identifier"):
        below(certificate, number=2, root_number=1, lifetime=DAY)


def test_path_length_falls_from_authority_to_authority():
    upper = below(root(), path_length=1)
    lower = below(upper, number=2, root_number=1)
    assert value(parse(lower), x509.BasicConstraints).path_length == 0

    with pytest.raises(Error, match="path length 0 is not below the issuer's own, 0"):
        below(lower, number=3, root_number=2)


def test_chain_of_three_makes_an_issuer():
    root_der = root()
    upper = below(root_der, path_length=1)
    lower = below(upper, number=2, root_number=1, lifetime=YEAR)
    issuer = issuer_from_chain(lower, (upper,), root_der)

    assert issuer.name == "Authority 2"
    assert issuer.id == issuer.spki_sha256.hex()[:16]
    assert issuer.chain == (upper,)
    assert issuer.not_after == pki.NOW + YEAR
    leaf = pki.leaf(IssuingKey(issuer, pki.signer(number=2), Pointers()))
    parse(leaf.der).verify_directly_issued_by(parse(lower))


def test_issuer_ends_with_the_first_of_its_chain():
    hierarchy = pki.pki()
    root_der = pki.pki(root_lifetime=6 * YEAR).root_der
    issuer = issuer_from_chain(hierarchy.issuer.der, (), root_der)

    assert issuer.not_after == pki.NOW + 5 * YEAR
    assert issuer_from_chain(root_der, (), root_der).not_after == pki.NOW + 6 * YEAR


def refused(certificate, chain, root_der):
    with pytest.raises(Error) as caught:
        issuer_from_chain(certificate, chain, root_der)
    assert caught.value.kind is Kind.CONFIGURATION
    assert caught.value.hint
    return caught.value.detail


def test_chain_of_another_root_is_refused():
    intermediate = below(root())
    stranger = make_root(
        pki.signer(number=7), Subject("Root"), clock=pki.clock, entropy=pki.entropy
    )

    assert "'Authority 1' is not issued by 'Root'" in refused(intermediate, (), stranger)


def test_chain_in_the_wrong_order_is_refused():
    root_der = root()
    upper = below(root_der, path_length=1)
    lower = below(upper, number=2, root_number=1)

    assert "is not issued by" in refused(upper, (lower,), root_der)


def test_chain_with_a_hole_is_refused():
    root_der = root()
    upper = below(root_der, path_length=1)
    lower = below(upper, number=2, root_number=1)

    assert "is not issued by 'Root'" in refused(lower, (), root_der)


def test_root_that_is_not_self_signed_is_refused():
    intermediate = below(root())

    assert "is not issued by" in refused(intermediate, (), intermediate)


def test_leaf_is_no_issuer():
    hierarchy = pki.pki()
    leaf = pki.leaf(hierarchy.issuing)

    assert "basic constraints" in refused(leaf.der, (hierarchy.issuer.der,), hierarchy.root_der)


@pytest.mark.parametrize("octets", [b"", b"\x30\0", b"-----BEGIN CERTIFICATE-----"])
def test_what_is_no_certificate_is_no_issuer(octets):
    assert "not a certificate" in refused(octets, (), root())


def signed_authority(**changes):
    """Return a CA certificate below `root()` as another program may have made it."""
    root_der = root()
    above = parse(root_der)
    usage = {"key_cert_sign": True, "crl_sign": True} | changes.pop("usage", {})
    flags = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = x509.CertificateBuilder(
        issuer_name=above.subject,
        subject_name=Subject("Foreign").name(),
        public_key=pki.private_key(number=1).public_key(),
        serial_number=7,
        not_valid_before=pki.moment(-1),
        not_valid_after=pki.moment(100),
    ).add_extension(x509.KeyUsage(**flags, **usage), critical=True)
    builder = builder.add_extension(
        changes.pop("constraints", x509.BasicConstraints(True, 0)), critical=True
    )
    extensions = changes.pop("extensions", [x509.SubjectKeyIdentifier(b"anything")])
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    key = pki.private_key()
    return builder.sign(key, pki.digest(key)).public_bytes(Encoding.DER), root_der


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"usage": {"key_cert_sign": False}}, "none of an authority"),
        ({"constraints": x509.BasicConstraints(False, None)}, "none of an authority"),
        ({"usage": {"crl_sign": False}}, "may not sign CRLs"),
    ],
    ids=["usage", "constraints", "crl"],
)
def test_certificate_that_may_not_sign_is_no_issuer(changes, message):
    certificate, root_der = signed_authority(**changes)

    assert message in refused(certificate, (), root_der)


def test_authority_below_a_path_length_of_zero_is_no_issuer():
    certificate, root_der = signed_authority()
    assert issuer_from_chain(certificate, (), root_der)
    forged = signed_below(certificate)

    assert "allows 0 authorities below it, and there are 1" in refused(
        forged, (certificate,), root_der
    )


def signed_below(issuer_der):
    """Return a CA certificate that its issuer was not allowed to sign."""
    key = pki.private_key(number=1)
    template = parse(below(root(), number=2))
    builder = x509.CertificateBuilder(
        issuer_name=parse(issuer_der).subject,
        subject_name=template.subject,
        public_key=template.public_key(),
        serial_number=8,
        not_valid_before=pki.moment(-1),
        not_valid_after=pki.moment(100),
        extensions=list(template.extensions),
    )
    return builder.sign(key, pki.digest(key)).public_bytes(Encoding.DER)


def test_foreign_key_identifier_becomes_the_leaves_authority_key_identifier():
    certificate, root_der = signed_authority()
    issuing = IssuingKey(
        issuer_from_chain(certificate, (), root_der), pki.signer(number=1), Pointers()
    )
    leaf = parse(pki.leaf(issuing, not_after=pki.at(30)).der)

    assert value(leaf, x509.AuthorityKeyIdentifier).key_identifier == b"anything"


def test_issuer_without_a_key_identifier_is_refused():
    certificate, root_der = signed_authority(extensions=[])

    with pytest.raises(Error, match="no subject key identifier"):
        IssuingKey(issuer_from_chain(certificate, (), root_der), pki.signer(number=1), Pointers())


def test_purposes_of_a_foreign_authority_bind_its_leaves():
    purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier(CLIENT_AUTH)])
    certificate, root_der = signed_authority(
        extensions=[x509.SubjectKeyIdentifier(b"anything"), purposes]
    )
    issuer = issuer_from_chain(certificate, (), root_der)
    issuing = IssuingKey(issuer, pki.signer(number=1), Pointers())
    assert pki.leaf(issuing, profile=CLIENT, not_after=pki.at(30))

    with pytest.raises(Error, match="extended-key-usage-nesting"):
        pki.leaf(issuing, profile=SERVER, not_after=pki.at(30))


def test_authority_with_an_empty_list_of_purposes_is_no_issuer():
    """CVE-2026-40097: an empty extended key usage ended the process."""
    empty = x509.UnrecognizedExtension(x509.ExtendedKeyUsage.oid, b"\x30\x00")
    certificate, root_der = signed_authority(
        extensions=[x509.SubjectKeyIdentifier(b"anything"), empty]
    )

    with pytest.raises(Error, match="can be read"):
        issuer_from_chain(certificate, (), root_der)


def test_any_purpose_of_an_authority_binds_nothing():
    any_purpose = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")])
    certificate, root_der = signed_authority(
        extensions=[x509.SubjectKeyIdentifier(b"anything"), any_purpose]
    )
    issuer = issuer_from_chain(certificate, (), root_der)

    assert IssuingKey(issuer, pki.signer(number=1), Pointers()).extended_key_usages is None


def test_csr_of_an_intermediate_asks_for_key_and_name_alone():
    request = intermediate_csr(pki.signer(number=1), Subject("Elsewhere", "Example"))
    parsed = x509.load_der_x509_csr(request)
    key = parse_csr(request).key

    assert parsed.subject == Subject("Elsewhere", "Example").name()
    assert not list(parsed.extensions)
    certificate = make_intermediate(
        pki.signer(), root(), key, Subject("Elsewhere"), clock=pki.clock, entropy=pki.entropy
    )
    assert issuer_from_chain(certificate, (), root()).spki_sha256 == key.sha256


def test_constraints_are_critical_and_read_back():
    constraints = Constraints(
        permitted_dns=("example.internal",),
        excluded_dns=("secret.example.internal",),
        permitted_ip=("10.0.0.0/8", "2001:db8::/32"),
    )
    certificate = parse(below(root(), constraints=constraints))
    extension = certificate.extensions.get_extension_for_class(x509.NameConstraints)

    assert extension.critical
    assert len(extension.value.permitted_subtrees) == 3
    assert len(extension.value.excluded_subtrees) == 1


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(permitted_ip=("10.0.0.1/8",)),
        Constraints(excluded_ip=("ten",)),
        Constraints(permitted_dns=("bücher.example",)),
    ],
    ids=["host-bits", "word", "unicode"],
)
def test_constraint_that_cannot_be_read_is_refused(constraints):
    with pytest.raises(Error, match="name constraint cannot be read") as caught:
        below(root(), constraints=constraints)
    assert caught.value.kind is Kind.CONFIGURATION


def test_mixed_key_types_make_a_chain():
    hierarchy = pki.pki(KeyType.ED25519, root_key_type=KeyType.EC_P384)

    parse(pki.leaf(hierarchy.issuing).der).verify_directly_issued_by(hierarchy.issuing.certificate)
