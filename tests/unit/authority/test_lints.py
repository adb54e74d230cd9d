"""Every lint lets a good leaf pass and stops a bad one, by name and clause."""

import dataclasses
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import structs

from mintmark.authority.issuance import lints
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.lints import CERTIFICATE_LINTS, LINTS, lint
from mintmark.authority.issuance.shape import Pointers
from mintmark.authority.issuance.tbs import public_key_octets, split, split_certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.keys import KeyType
from mintmark.model.profile import (
    CLIENT,
    CLIENT_AUTH,
    OCSP_RESPONDER,
    OCSP_SIGNING,
    SERVER,
    SERVER_AUTH,
    KeyUsage,
    SubjectAttribute,
)
from mintmark.wire import der
from tests import pki


@pytest.fixture
def issuing():
    return pki.pki().issuing


def template_tbs(approval, issuing, serial):
    form = issuing.form(approval.profile, approval.key.type)
    return form.template.assemble(approval, serial)


def changed(tbs, **fields):
    """Return a TBSCertificate with some of its elements replaced."""
    parts = dataclasses.replace(split(tbs), **fields)
    return der.sequence(
        der.explicit(0, der.integer(2)),
        parts.serial,
        parts.signature,
        parts.issuer,
        parts.validity,
        parts.subject,
        parts.spki,
        der.explicit(3, der.sequence(*parts.extensions)),
    )


def extension(value, *, critical=False):
    """Return an encoded Extension."""
    return der.sequence(
        der.oid(value.oid.dotted_string),
        der.BOOLEAN_TRUE if critical else b"",
        der.octet_string(value.public_bytes()),
    )


def with_extension(tbs, value, *, critical=False):
    """Return a TBSCertificate with one extension replaced, or added at the end."""
    extensions = list(split(tbs).extensions)
    oid = der.oid(value.oid.dotted_string)
    new = extension(value, critical=critical)
    for index, each in enumerate(extensions):
        if oid in each[:8]:
            extensions[index] = new
            return changed(tbs, extensions=extensions)
    return changed(tbs, extensions=[*extensions, new])


def without_extension(tbs, kind):
    oid = der.oid(kind.oid.dotted_string)
    return changed(tbs, extensions=[each for each in split(tbs).extensions if oid not in each[:16]])


def refusal(name, tbs, approval, issuing, serial, kind=Kind.INTERNAL):
    """Return the message of the lint that stopped a leaf, and check which one it was."""
    with pytest.raises(Error) as caught:
        lint(tbs, approval, issuing, serial)
    assert caught.value.detail.startswith(f"lint '{name}': ")
    assert any(clause in caught.value.detail for clause in ("RFC ", "design rule"))
    assert caught.value.kind is kind
    assert bool(caught.value.hint) is (kind is not Kind.INTERNAL)
    return caught.value.detail


class Leaf:
    """One good leaf, to be spoiled."""

    def __init__(self, issuing, *names, **options):
        self.issuing = issuing
        self.approval = pki.approval(issuing, *names, **options)
        self.serial = pki.serial()
        self.tbs = template_tbs(self.approval, issuing, self.serial)

    def refused(self, name, tbs=None, kind=Kind.INTERNAL):
        return refusal(
            name, self.tbs if tbs is None else tbs, self.approval, self.issuing, self.serial, kind
        )


@pytest.fixture
def leaf(issuing):
    return Leaf(issuing)


def test_table_has_every_lint_once():
    assert len({each.name for each in LINTS}) == len(LINTS)
    assert {each.name for each in CERTIFICATE_LINTS} < {each.name for each in LINTS}


def test_good_leaf_passes_twice(leaf):
    for _ in range(2):
        lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)

    assert leaf.issuing.form(SERVER, KeyType.EC_P256).linted


def test_later_leaf_is_compared_as_a_whole(leaf, monkeypatch):
    lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)
    monkeypatch.setattr(lints, "parse_back", lambda *_: pytest.fail("it was parsed"))
    later = Leaf(leaf.issuing, "other.example.internal", "2001:db8::1", common_name="")
    lint(later.tbs, later.approval, later.issuing, later.serial)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("issuer-approved", Kind.INTERNAL, {"issuer": "0" * 16}),
        ("validity-nesting", Kind.BAD_LIFETIME, {"not_before": 0, "not_after": 90 * 86400}),
        ("lifetime", Kind.BAD_LIFETIME, {"not_after": pki.NOW + 1}),
        ("common-name", Kind.REJECTED_IDENTIFIER, {"common_name": "b.example.internal"}),
        ("subject", Kind.INTERNAL, {"common_name": "a" * 65}),
    ],
)
def test_later_leaf_that_should_not_have_been_approved_is_stopped(leaf, name, kind, options):
    lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)
    Leaf(leaf.issuing, "a.example.internal", **options).refused(name, kind=kind)


def test_later_leaf_without_names_is_stopped(leaf):
    lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)
    later = Leaf(leaf.issuing, common_name="")
    later.approval = structs.replace(later.approval, identifiers=(), seal=pki.SEAL)
    later.tbs = template_tbs(later.approval, later.issuing, later.serial)
    later.refused("subject-alternative-name-presence")


@pytest.mark.parametrize("cut", [0, 1, 50, -1, -100])
def test_what_cannot_be_read_is_stopped(leaf, cut):
    with pytest.raises(Error, match="lint 'syntax'"):
        lint(leaf.tbs[:cut], leaf.approval, leaf.issuing, leaf.serial)


def test_octets_after_the_end_are_stopped(leaf):
    leaf.refused("syntax", leaf.tbs + b"\0")


@pytest.mark.parametrize(
    "parts",
    [(), (der.NULL, der.NULL), (b"\x30\0", b"\x03\0"), (b"\x30\0", b"\x03\2\0k", der.NULL)],
    ids=["empty", "null", "no-octets", "more"],
)
def test_what_is_no_public_key_has_no_identifier(parts):
    with pytest.raises(ValueError, match=r"DER tag|subjectPublicKey"):
        public_key_octets(der.sequence(*parts))


def test_garbage_is_stopped(leaf):
    for _ in range(200):
        with pytest.raises(Error):
            lint(os.urandom(len(leaf.tbs)), leaf.approval, leaf.issuing, leaf.serial)


@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
def test_every_single_altered_octet_is_stopped(leaf, later):
    if later:
        lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)
    for index in range(len(leaf.tbs)):
        altered = bytearray(leaf.tbs)
        altered[index] ^= 0x01
        with pytest.raises(Error):
            lint(bytes(altered), leaf.approval, leaf.issuing, leaf.serial)


def test_repeated_extension_is_stopped(leaf):
    extensions = split(leaf.tbs).extensions
    for _ in range(2):  # before and after the first leaf
        for each in extensions:
            with pytest.raises(Error, match=r"lint 'syntax'"):
                lint(
                    changed(leaf.tbs, extensions=[*extensions, each]),
                    leaf.approval,
                    leaf.issuing,
                    leaf.serial,
                )
        lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)


def test_unique_ids_are_stopped(leaf):
    """RFC 5280 §4.1.2.8."""
    _, start, end = der.read(leaf.tbs)
    *_, (_, at, _, _) = der.children(leaf.tbs, start, end)
    unique_id = der.implicit(1, b"\0x")

    leaf.refused("syntax", der.sequence(leaf.tbs[start:at], unique_id, leaf.tbs[at:]))


def test_leaf_approved_for_another_issuer_is_stopped(issuing):
    leaf = Leaf(issuing, issuer="0123456789abcdef")

    leaf.refused("issuer-approved")


def test_other_serial_than_the_one_handed_out_is_stopped(leaf):
    leaf.refused("serial", changed(leaf.tbs, serial=der.unsigned(pki.serial())))


@pytest.mark.parametrize(
    "serial",
    [
        b"\x01" + b"r" * 19,
        b"\x41" + bytes(range(18)),
        b"\x41" + bytes(range(20)),
        b"",
        b"\x41\0\0\0\0\0" + b"\x07" * 14,
    ],
    ids=["small", "short", "long", "empty", "not-random"],
)
def test_serial_of_another_form_is_stopped(leaf, serial):
    tbs = changed(leaf.tbs, serial=der.tlv(der.INTEGER, serial))
    name = "serial" if serial else "syntax"

    with pytest.raises(Error, match=f"lint '{name}'"):
        lint(tbs, leaf.approval, leaf.issuing, serial)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_negative_serial_is_stopped(leaf):
    serial = b"\xc1" + bytes(range(19))
    tbs = changed(leaf.tbs, serial=der.tlv(der.INTEGER, serial))

    refusal("serial", tbs, leaf.approval, leaf.issuing, serial)


def test_other_signature_algorithm_is_stopped(leaf):
    other = pki.signer(KeyType.EC_P384).algorithm.identifier

    with pytest.raises(Error, match=r"lint '(syntax|signature-algorithm)'"):
        lint(changed(leaf.tbs, signature=other), leaf.approval, leaf.issuing, leaf.serial)


def test_issuer_name_in_other_octets_is_stopped(leaf):
    name = x509.Name(
        [x509.NameAttribute(each.oid, each.value) for each in leaf.issuing.certificate.subject][
            ::-1
        ]
    )

    leaf.refused("issuer-name", changed(leaf.tbs, issuer=name.public_bytes()))


def test_generalized_time_before_2050_is_stopped(leaf):
    approval = leaf.approval
    validity = der.sequence(der.generalized_time(approval.not_before), der.time(approval.not_after))

    with pytest.raises(Error, match=r"lint '(syntax|time-encoding)'"):
        lint(changed(leaf.tbs, validity=validity), approval, leaf.issuing, leaf.serial)


def test_times_of_2049_and_2050_have_their_own_encodings():
    hierarchy = pki.pki(now=2_524_600_000)
    before = Leaf(hierarchy.issuing, not_before=2_524_607_999, not_after=2_524_607_999 + 3600)

    lint(before.tbs, before.approval, before.issuing, before.serial)
    assert split(before.tbs).validity == der.sequence(
        b"\x17\x0d491231235959Z", b"\x18\x0f20500101005959Z"
    )


def test_third_time_in_the_validity_is_stopped(leaf):
    validity = split(leaf.tbs).validity
    longer = der.sequence(validity[2:], der.time(pki.NOW))

    with pytest.raises(Error, match=r"lint '(syntax|time-encoding)'"):
        lint(changed(leaf.tbs, validity=longer), leaf.approval, leaf.issuing, leaf.serial)


@pytest.mark.parametrize("shift", [(1, 0), (-1, 0), (0, 1), (0, -1)], ids=str)
def test_validity_off_by_a_second_is_stopped(leaf, shift):
    approval = leaf.approval
    validity = der.sequence(
        der.time(approval.not_before + shift[0]), der.time(approval.not_after + shift[1])
    )

    leaf.refused("validity", changed(leaf.tbs, validity=validity))


def test_validity_that_ends_before_it_begins_is_stopped(issuing):
    Leaf(issuing, not_after=pki.NOW - 1).refused("validity")


def test_leaf_never_outlives_its_issuer(issuing):
    end = issuing.issuer.not_after
    last = Leaf(issuing, not_before=end - 86400, not_after=end)
    lint(last.tbs, last.approval, issuing, last.serial)

    Leaf(issuing, not_before=end - 86400, not_after=end + 1).refused(
        "validity-nesting", kind=Kind.BAD_LIFETIME
    )


def test_leaf_never_outlives_a_root_that_ends_before_its_intermediate(leaf):
    issuer = leaf.issuing.issuer
    short = dataclasses.replace(issuer, not_after=leaf.approval.not_after - 1)
    issuing = IssuingKey(short, leaf.issuing.signer, leaf.issuing.pointers)

    refusal("validity-nesting", leaf.tbs, leaf.approval, issuing, leaf.serial, Kind.BAD_LIFETIME)


def test_leaf_never_begins_before_its_issuer(issuing):
    start = issuing.issuer.not_before

    Leaf(issuing, not_before=start - 1, not_after=start + 86400).refused(
        "validity-nesting", kind=Kind.BAD_LIFETIME
    )


@pytest.mark.parametrize("lifetime", [SERVER.lifetime_min - 1, SERVER.lifetime_max + 1])
def test_lifetime_outside_the_profile_is_stopped(issuing, lifetime):
    leaf = Leaf(issuing, not_after=pki.NOW + lifetime)

    assert "outside profile 'server'" in leaf.refused("lifetime", kind=Kind.BAD_LIFETIME)


@pytest.mark.parametrize(
    "name",
    [
        x509.Name([]),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "evil.example.internal")]),
        x509.Name(
            [
                x509.NameAttribute(x509.NameOID.COMMON_NAME, "web.example.internal"),
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Smuggled"),
            ]
        ),
        x509.Name(
            [
                x509.NameAttribute(
                    x509.NameOID.COMMON_NAME,
                    "web.example.internal",
                    x509.name._ASN1Type.PrintableString,
                )
            ]
        ),
    ],
    ids=["empty", "other", "more", "printable"],
)
def test_subject_that_was_not_approved_is_stopped(leaf, name):
    leaf.refused("subject", changed(leaf.tbs, subject=name.public_bytes()))


def test_common_name_of_65_characters_is_stopped(issuing):
    name = "a." * 31 + "example"
    assert len(name) > 64

    assert "more than 64" in Leaf(issuing, name, common_name=name).refused("subject")


def test_multivalued_rdn_is_stopped(leaf):
    attribute = x509.NameAttribute
    name = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [
                    attribute(x509.NameOID.COMMON_NAME, "web.example.internal"),
                    attribute(x509.NameOID.ORGANIZATION_NAME, "Smuggled"),
                ]
            )
        ]
    )

    leaf.refused("subject", changed(leaf.tbs, subject=name.public_bytes()))


def test_common_name_outside_the_names_is_stopped(issuing):
    leaf = Leaf(issuing, "web.example.internal", common_name="db.example.internal")

    leaf.refused("common-name", kind=Kind.REJECTED_IDENTIFIER)


def test_other_public_key_than_the_approved_one_is_stopped(leaf):
    leaf.refused("public-key", changed(leaf.tbs, spki=pki.key(number=101).spki))


@pytest.mark.parametrize(
    "value",
    [x509.SubjectKeyIdentifier(b"k" * 20), x509.SubjectKeyIdentifier(b"")],
    ids=["other", "empty"],
)
def test_wrong_subject_key_identifier_is_stopped(leaf, value):
    leaf.refused("subject-key-identifier", with_extension(leaf.tbs, value))


def test_missing_or_critical_subject_key_identifier_is_stopped(leaf):
    kind = x509.SubjectKeyIdentifier
    good = x509.SubjectKeyIdentifier(split(leaf.tbs).extensions[2][-20:])
    leaf.refused("subject-key-identifier", without_extension(leaf.tbs, kind))

    leaf.refused("subject-key-identifier", with_extension(leaf.tbs, good, critical=True))


def test_leaf_without_names_is_stopped(leaf):
    leaf.refused(
        "subject-alternative-name-presence",
        without_extension(leaf.tbs, x509.SubjectAlternativeName),
    )


def test_names_are_critical_exactly_beside_an_empty_subject(issuing):
    anonymous = dataclasses.replace(SERVER, name="anonymous", common_name=False)
    leaf = Leaf(issuing, "web.example.internal", profile=anonymous)
    lint(leaf.tbs, leaf.approval, issuing, leaf.serial)
    san = x509.SubjectAlternativeName([x509.DNSName("web.example.internal")])
    parsed = parse(pki.leaf(issuing, "web.example.internal", profile=anonymous).der)

    assert parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    leaf.refused("subject-alternative-name-presence", with_extension(leaf.tbs, san))


def parse(certificate):
    return x509.load_der_x509_certificate(certificate)


def test_critical_names_beside_a_subject_are_stopped(issuing):
    leaf = Leaf(issuing, "web.example.internal")
    san = x509.SubjectAlternativeName([x509.DNSName("web.example.internal")])

    leaf.refused("subject-alternative-name-presence", with_extension(leaf.tbs, san, critical=True))


def test_responder_without_a_subject_is_stopped(issuing):
    leaf = Leaf(issuing, profile=OCSP_RESPONDER, common_name="")

    assert "both empty" in leaf.refused("subject-alternative-name-presence")


@pytest.mark.parametrize(
    "names",
    [
        ["web.example.internal", "evil.example.internal"],
        ["*.example.internal"],
        ["WEB.example.internal"],
        ["web.example.internal", "web.example.internal"],
        ["web.example.internal\0.evil.example"],
        [],
    ],
    ids=["more", "wildcard", "case", "twice", "nul", "none"],
)
def test_names_that_were_not_approved_are_stopped(issuing, names):
    leaf = Leaf(issuing, "web.example.internal")
    san = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])

    leaf.refused("subject-alternative-name", with_extension(leaf.tbs, san))


def test_name_of_another_kind_with_the_same_text_is_stopped(issuing):
    leaf = Leaf(issuing, "web.example.internal")
    uri = x509.UniformResourceIdentifier("web.example.internal")

    leaf.refused(
        "subject-alternative-name", with_extension(leaf.tbs, x509.SubjectAlternativeName([uri]))
    )


def test_directory_name_among_the_names_is_stopped(issuing):
    leaf = Leaf(issuing, "web.example.internal")
    names = [x509.DNSName("web.example.internal"), x509.DirectoryName(x509.Name([]))]

    leaf.refused(
        "subject-alternative-name", with_extension(leaf.tbs, x509.SubjectAlternativeName(names))
    )


def test_all_kinds_of_names_pass(issuing):
    leaf = Leaf(
        issuing,
        "web.example.internal",
        "192.0.2.1",
        "2001:db8::1",
        "ops@example.internal",
        "spiffe://example.internal/web",
    )

    lint(leaf.tbs, leaf.approval, issuing, leaf.serial)


def test_name_outside_the_constraints_is_stopped():
    issuing = pki.pki(constraints=pki.Constraints(permitted_dns=("example.internal",))).issuing
    good = Leaf(issuing, "web.example.internal")
    lint(good.tbs, good.approval, issuing, good.serial)
    bad = Leaf(issuing, "web.example.test")

    assert "permitted: example.internal" in bad.refused(
        "name-constraints", kind=Kind.REJECTED_IDENTIFIER
    )


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (x509.BasicConstraints(ca=True, path_length=None), "basic-constraints"),
        (x509.BasicConstraints(ca=False, path_length=None), "extensions"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), "extensions"),
        (x509.InhibitAnyPolicy(0), "extensions"),
        (x509.OCSPNoCheck(), "ocsp-no-check"),
        (x509.TLSFeature([x509.TLSFeatureType.status_request]), "extensions"),
    ],
    ids=["authority", "no-authority", "unknown", "inhibit", "no-check", "staple"],
)
def test_extension_outside_the_closed_set_is_stopped(leaf, value, name):
    tbs = with_extension(leaf.tbs, value)
    leaf.refused(name, tbs, Kind.BAD_PROFILE if name == "ocsp-no-check" else Kind.INTERNAL)
    lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)

    leaf.refused("extensions", tbs)


STATIC = [
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.AuthorityKeyIdentifier,
    x509.CRLDistributionPoints,
    x509.AuthorityInformationAccess,
]


@pytest.mark.parametrize("kind", STATIC, ids=lambda each: each.__name__)
def test_missing_static_extension_is_stopped(leaf, kind):
    tbs = without_extension(leaf.tbs, kind)
    with pytest.raises(Error):
        lint(tbs, leaf.approval, leaf.issuing, leaf.serial)
    lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)

    assert "is missing" in leaf.refused("extensions", tbs)


@pytest.mark.parametrize(
    "value",
    [
        x509.ExtendedKeyUsage([x509.ObjectIdentifier(CLIENT_AUTH)]),
        x509.AuthorityKeyIdentifier(b"k" * 20, None, None),
        x509.CRLDistributionPoints(
            [
                x509.DistributionPoint(
                    [x509.UniformResourceIdentifier("http://evil.example/crl")], None, None, None
                )
            ]
        ),
    ],
    ids=["purpose", "issuer", "crl"],
)
def test_other_static_extension_than_the_profile_demands_is_stopped(leaf, value):
    tbs = with_extension(leaf.tbs, value)
    with pytest.raises(Error):
        lint(tbs, leaf.approval, leaf.issuing, leaf.serial)
    lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)

    assert "not what the profile demands" in leaf.refused("extensions", tbs)


def test_failed_first_leaf_proves_nothing(leaf):
    tbs = with_extension(leaf.tbs, x509.AuthorityKeyIdentifier(b"k" * 20, None, None))
    for _ in range(3):
        leaf.refused("authority-key-identifier", tbs)

    assert not leaf.issuing.form(SERVER, KeyType.EC_P256).linted


def test_missing_authority_key_identifier_is_stopped(leaf):
    leaf.refused(
        "authority-key-identifier", without_extension(leaf.tbs, x509.AuthorityKeyIdentifier)
    )


def usage_profile(*usages, purposes=("1.3.6.1.4.1.99999.1",), **options):
    return dataclasses.replace(
        SERVER,
        name="custom",
        key_usages=frozenset(usages),
        extended_key_usages=purposes,
        rsa_key_encipherment=False,
        **options,
    )


@pytest.mark.parametrize(
    ("key_type", "usage"),
    [
        (KeyType.EC_P256, KeyUsage.KEY_ENCIPHERMENT),
        (KeyType.EC_P384, KeyUsage.DATA_ENCIPHERMENT),
        (KeyType.ED25519, KeyUsage.KEY_AGREEMENT),
        (KeyType.ED25519, KeyUsage.KEY_ENCIPHERMENT),
        (KeyType.RSA_2048, KeyUsage.KEY_AGREEMENT),
    ],
    ids=lambda each: each.name,
)
def test_key_usage_that_the_key_cannot_do_is_stopped(issuing, key_type, usage):
    profile = usage_profile(KeyUsage.DIGITAL_SIGNATURE, usage)
    leaf = Leaf(issuing, profile=profile, subject=pki.key(key_type))

    detail = leaf.refused("key-usage", kind=Kind.BAD_PROFILE)
    assert usage.name.lower() in detail
    assert key_type.value in detail


@pytest.mark.parametrize(
    ("key_type", "usage"),
    [
        (KeyType.EC_P256, KeyUsage.KEY_AGREEMENT),
        (KeyType.RSA_2048, KeyUsage.KEY_ENCIPHERMENT),
        (KeyType.ED25519, KeyUsage.CONTENT_COMMITMENT),
    ],
    ids=lambda each: each.name,
)
def test_key_usage_that_the_key_can_do_passes(issuing, key_type, usage):
    profile = usage_profile(KeyUsage.DIGITAL_SIGNATURE, usage)
    leaf = Leaf(issuing, profile=profile, subject=pki.key(key_type))

    lint(leaf.tbs, leaf.approval, issuing, leaf.serial)


@pytest.mark.parametrize("usage", [KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN])
def test_profile_that_would_make_authorities_is_stopped(issuing, usage):
    leaf = Leaf(issuing, profile=usage_profile(KeyUsage.DIGITAL_SIGNATURE, usage))

    leaf.refused("basic-constraints")


def test_empty_key_usage_is_stopped(issuing):
    Leaf(issuing, profile=usage_profile()).refused("key-usage", kind=Kind.BAD_PROFILE)


def test_missing_or_noncritical_key_usage_is_stopped(leaf):
    usage = parse(pki.leaf(leaf.issuing).der).extensions.get_extension_for_class(x509.KeyUsage)
    leaf = Leaf(pki.pki(number=3).issuing)
    leaf.refused("key-usage", without_extension(leaf.tbs, x509.KeyUsage), Kind.BAD_PROFILE)

    leaf.refused("key-usage", with_extension(leaf.tbs, usage.value), Kind.BAD_PROFILE)


@pytest.mark.parametrize(
    "purposes",
    [("2.5.29.37.0",), (SERVER_AUTH, "2.5.29.37.0"), (SERVER_AUTH, SERVER_AUTH)],
    ids=["any", "and-any", "twice"],
)
def test_purpose_that_allows_everything_or_stands_twice_is_stopped(issuing, purposes):
    profile = dataclasses.replace(SERVER, name="custom", extended_key_usages=purposes)

    Leaf(issuing, profile=profile).refused("extended-key-usage", kind=Kind.BAD_PROFILE)


def test_missing_extended_key_usage_is_stopped(leaf):
    leaf.refused(
        "extended-key-usage", without_extension(leaf.tbs, x509.ExtendedKeyUsage), Kind.BAD_PROFILE
    )


@pytest.mark.parametrize("purpose", [SERVER_AUTH, CLIENT_AUTH, OCSP_SIGNING])
def test_purpose_without_a_key_usage_to_serve_it_is_stopped(issuing, purpose):
    profile = usage_profile(KeyUsage.DATA_ENCIPHERMENT, purposes=(purpose,))
    leaf = Leaf(issuing, profile=profile, subject=pki.key(KeyType.RSA_2048))

    assert purpose in leaf.refused("extended-key-usage", kind=Kind.BAD_PROFILE)


def constrained_purposes(issuing, *purposes):
    """Return the issuing key as if its chain were limited to some purposes."""
    limited = IssuingKey(issuing.issuer, issuing.signer, issuing.pointers)
    object.__setattr__(limited, "extended_key_usages", frozenset(purposes))
    return limited


def test_purpose_outside_the_chains_is_stopped(issuing):
    leaf = Leaf(constrained_purposes(issuing, CLIENT_AUTH))
    leaf.refused("extended-key-usage-nesting", kind=Kind.BAD_PROFILE)
    client = Leaf(leaf.issuing, profile=CLIENT)

    lint(client.tbs, client.approval, client.issuing, client.serial)


def test_responder_needs_no_purpose_of_the_chain(issuing):
    leaf = Leaf(constrained_purposes(issuing, CLIENT_AUTH), profile=OCSP_RESPONDER)

    lint(leaf.tbs, leaf.approval, leaf.issuing, leaf.serial)


def test_only_a_responder_goes_without_revocation(issuing):
    profile = dataclasses.replace(SERVER, name="custom", ocsp_no_check=True)

    Leaf(issuing, profile=profile).refused("ocsp-no-check", kind=Kind.BAD_PROFILE)


@pytest.mark.parametrize(
    "url", ["https://pki.example/crl", "ldap://pki.example/crl", "http://pki.example/a b\n", ""]
)
def test_pointer_that_needs_tls_first_is_stopped(issuing, url):
    pointers = Pointers(crl=(url,))
    limited = IssuingKey(issuing.issuer, issuing.signer, pointers)

    Leaf(limited).refused("pointers", kind=Kind.CONFIGURATION)


def test_fixed_subject_attributes_pass_and_are_compared(issuing):
    profile = dataclasses.replace(
        SERVER,
        name="org",
        subject=((SubjectAttribute.COUNTRY, "AT"), (SubjectAttribute.ORGANIZATION, "Bäckerei")),
    )
    leaf = Leaf(issuing, profile=profile)
    lint(leaf.tbs, leaf.approval, issuing, leaf.serial)
    other = split(template_tbs(pki.approval(issuing), issuing, leaf.serial)).subject

    leaf.refused("subject", changed(leaf.tbs, subject=other))


def test_identifier_that_no_parser_made_is_stopped(issuing):
    approval = structs.replace(
        pki.approval(issuing),
        identifiers=(Identifier(IdentifierType.IP, "2001:DB8::1"),),
        common_name="",
        seal=pki.SEAL,
    )
    serial = pki.serial()
    tbs = template_tbs(approval, issuing, serial)

    refusal("subject-alternative-name", tbs, approval, issuing, serial)


def test_certificate_as_signed_passes_the_lints_again(issuing):
    certificate = pki.leaf(issuing)
    fields = split_certificate(certificate.der)

    assert fields.serial[2:] == certificate.serial
    assert parse(certificate.der).public_bytes(Encoding.DER) == certificate.der
