"""PKCS #10 requests: what is taken from them, and every way in which they are refused."""

import functools
import hashlib
import ipaddress
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    padding,
    rsa,
    x25519,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.wire import csr, der, pem
from mintmark.wire.spki import certified_key, subject_key
from tests import pki

SHA256 = hashes.SHA256()


KEYS = {
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa-2048": lambda: pki.private_key(KeyType.RSA_2048),
    "rsa-3072": lambda: pki.private_key(KeyType.RSA_3072),
    "rsa-4096": lambda: pki.private_key(KeyType.RSA_4096),
    "secp521r1": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed448": ed448.Ed448PrivateKey.generate,
    "dsa": lambda: dsa.generate_private_key(2048),
}


@functools.cache
def key_of(name):
    """Return one key of each kind, made once."""
    return KEYS[name]()


def spki_of(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def request(key=None, *, name="web", san=None, algorithm=SHA256, extensions=(), **options):
    """Return a request of `cryptography`'s builder, DER."""
    key = key or key_of("ec-p256")
    subject = name if isinstance(name, x509.Name) else x509.Name([])
    if isinstance(name, str) and name:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if san is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        algorithm = None
    return builder.sign(key, algorithm, **options).public_bytes(Encoding.DER)


def signed(info, key=None, algorithm=None):
    """Return a request around any octets, truly signed: only its content is odd."""
    key = key or key_of("ec-p256")
    algorithm = algorithm or der.sequence(der.oid("1.2.840.10045.4.3.2"))
    signature = key.sign(info, ec.ECDSA(SHA256))
    return der.sequence(info, algorithm, der.bit_string(signature))


EMPTY_NAME = der.sequence()
EXTENSION_REQUEST = der.oid("1.2.840.113549.1.9.14")
SAN = der.oid("2.5.29.17")


def info(*, version=b"\x02\x01\0", subject=EMPTY_NAME, spki=None, attributes=(b"\xa0\0",)):
    return der.sequence(version, subject, spki or spki_of(key_of("ec-p256")), *attributes)


def extension_request(*extensions):
    return der.sequence(EXTENSION_REQUEST, der.tlv(der.SET, der.sequence(*extensions)))


def san_extension(*general_names, critical=b""):
    return der.sequence(SAN, critical, der.octet_string(der.sequence(*general_names)))


def dns(text):
    return der.implicit(2, text.encode())


def common_name(value):
    return der.tlv(der.SET, der.sequence(der.oid("2.5.4.3"), value))


def refusal(data):
    with pytest.raises(Error) as refused:
        csr.parse_csr(data)
    return refused.value


# --- what is taken -------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", list(KeyType))
def test_each_key_type_is_read(key_type):
    key = key_of(key_type.value)
    parsed = csr.parse_csr(request(key, san=[x509.DNSName("web.internal")]))
    assert parsed.key.type is key_type
    assert parsed.key.spki == spki_of(key)
    assert parsed.key.sha256 == hashlib.sha256(spki_of(key)).digest()
    assert parsed.key.public_key == key.public_key()
    assert [str(name) for name in parsed.identifiers] == ["web.internal"]


def test_names_are_canonical_in_order_and_without_repetition():
    parsed = csr.parse_csr(
        request(
            name="Web Server",
            san=[
                x509.DNSName("B.Internal"),
                x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
                x509.DNSName("a.internal"),
                x509.DNSName("b.internal"),
                x509.RFC822Name("ops@Example.com"),
                x509.UniformResourceIdentifier("spiffe://prod/web"),
            ],
        )
    )
    assert parsed.common_name == "Web Server"
    assert [str(name) for name in parsed.identifiers] == [
        "b.internal",
        "2001:db8::1",
        "a.internal",
        "ops@example.com",
        "spiffe://prod/web",
    ]


def test_pem_with_text_around_and_the_old_label_is_read():
    data = request()
    expected = csr.parse_csr(data)
    armored = pem.csr(data)
    assert csr.parse_csr(armored) == expected
    assert csr.parse_csr(b"Certificate Request:\r\n" + armored.replace(b"\n", b"\r\n")) == expected
    assert csr.parse_csr(pem.encode("NEW CERTIFICATE REQUEST", data)) == expected


def test_extensions_other_than_names_are_ignored():
    """Design rule 2: an intermediate cannot be had by asking for one."""
    parsed = csr.parse_csr(
        request(
            san=[x509.DNSName("web.internal")],
            extensions=[
                x509.BasicConstraints(ca=True, path_length=None),
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
            ],
        )
    )
    assert set(parsed.__slots__) == {"key", "common_name", "identifiers"}
    assert [str(name) for name in parsed.identifiers] == ["web.internal"]


def test_other_subject_attributes_are_ignored():
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Somebody Else"),
            x509.NameAttribute(NameOID.COMMON_NAME, "web"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "7"),
        ]
    )
    assert csr.parse_csr(request(name=subject)).common_name == "web"


def test_request_without_names_is_read():
    parsed = csr.parse_csr(request(name=""))
    assert (parsed.common_name, parsed.identifiers) == ("", ())


def test_attributes_left_out_are_read_as_none():
    assert csr.parse_csr(signed(info(attributes=()))).identifiers == ()


def test_unknown_attributes_are_ignored():
    challenge = der.sequence(
        der.oid("1.2.840.113549.1.9.7"), der.tlv(der.SET, der.tlv(der.UTF8_STRING, b"secret"))
    )
    names = extension_request(
        der.sequence(der.oid("2.5.29.19"), der.octet_string(b"\xff")),
        san_extension(dns("web.internal"), critical=der.BOOLEAN_TRUE),
    )
    parsed = csr.parse_csr(signed(info(attributes=(der.explicit(0, challenge, names),))))
    assert [str(name) for name in parsed.identifiers] == ["web.internal"]


@pytest.mark.parametrize("hash_algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("key", ["ec-p256", "ec-p384", "rsa-2048"])
def test_sha2_signatures_are_verified(key, hash_algorithm):
    assert csr.parse_csr(request(key_of(key), algorithm=hash_algorithm)).common_name == "web"


@pytest.mark.parametrize("salt", [padding.PSS.DIGEST_LENGTH, 20, padding.PSS.MAX_LENGTH])
def test_pss_signatures_are_verified(salt):
    scheme = padding.PSS(padding.MGF1(SHA256), salt)
    data = request(key_of("rsa-2048"), rsa_padding=scheme)
    assert csr.parse_csr(data).key.type is KeyType.RSA_2048
    assert refusal(data[:-1] + bytes([data[-1] ^ 1])).kind is Kind.BAD_CSR


# --- the proof of possession ---------------------------------------------------------------------


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_request_signed_with_another_key_is_refused(key_type):
    data = request(key_of(key_type))
    own, other = spki_of(key_of(key_type)), _another(key_type)
    refused = refusal(data.replace(own, other))
    assert refused.kind is Kind.BAD_CSR
    assert "proof of possession" in refused.detail


def _another(key_type):
    match key_type:
        case "ec-p256":
            return spki_of(ec.generate_private_key(ec.SECP256R1()))
        case "ec-p384":
            return spki_of(ec.generate_private_key(ec.SECP384R1()))
        case "ed25519":
            return spki_of(ed25519.Ed25519PrivateKey.generate())
        case _:
            return spki_of(rsa.generate_private_key(65537, 2048))


def test_changed_names_break_the_proof_of_possession():
    data = request(san=[x509.DNSName("web.internal")])
    refused = refusal(data.replace(b"web.internal", b"bad.internal"))
    assert "proof of possession" in refused.detail


def test_what_is_read_first_is_refused_when_it_is_verified():
    data = request(san=[x509.DNSName("web.internal")])
    forged = csr.read_csr(data.replace(b"web.internal", b"bad.internal"))
    for verify in (forged.verify, forged.verify_key):
        with pytest.raises(Error, match="proof of possession"):
            verify()


def test_proof_of_possession_is_refused_before_names_are():
    data = request(san=[x509.DNSName("web.internal")])
    refused = refusal(data.replace(b"web.internal", b"web_internal"))
    assert "proof of possession" in refused.detail


def test_sha1_and_md5_are_refused_by_name():
    weak = [
        ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
        ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
        ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
        ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
        ("1.2.3.4", "1.2.3.4"),
    ]
    for oid, name in weak:
        refused = refusal(signed(info(), algorithm=der.sequence(der.oid(oid))))
        assert refused.kind is Kind.BAD_CSR
        assert f"'{name}'" in refused.detail
        assert "SHA-256" in refused.hint


def test_pss_with_sha1_is_refused():
    pss = der.sequence(der.oid("1.2.840.113549.1.1.10"), der.sequence())  # the defaults are SHA-1
    refused = refusal(signed(info(), algorithm=pss))
    assert refused.kind is Kind.BAD_CSR


def test_pss_with_strange_parameters_is_refused():
    unknown_hash = der.explicit(0, der.sequence(der.oid("1.2.3.4")))
    for parameters in (b"", der.NULL, der.integer(5), der.sequence(unknown_hash)):
        pss = der.sequence(der.oid("1.2.840.113549.1.1.10"), parameters)
        assert refusal(signed(info(), algorithm=pss)).kind is Kind.BAD_CSR


@pytest.mark.parametrize(
    "algorithm",
    [
        der.sequence(der.oid("1.3.101.112")),
        der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL),
    ],
)
def test_algorithm_of_another_key_type_is_refused(algorithm):
    assert "does not fit" in refusal(signed(info(), algorithm=algorithm)).detail


def test_ecdsa_over_an_rsa_key_is_refused():
    data = info(spki=spki_of(key_of("rsa-2048")))
    assert "does not fit" in refusal(signed(data)).detail


def test_pss_over_an_ec_key_is_refused():
    scheme = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
    data = request(key_of("rsa-2048"), rsa_padding=scheme)
    start = data.index(der.oid("1.2.840.113549.1.1.10")) - 2
    _, end = der.expect(data, start, len(data), der.SEQUENCE)
    assert "does not fit" in refusal(signed(info(), algorithm=data[start:end])).detail


# --- the key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("secp521r1", "P-521"),
        ("secp256k1", "secp256k1"),
        ("ed448", "Ed448"),
        ("dsa", "DSA"),
    ],
)
def test_other_key_types_are_refused_by_name(key, word):
    refused = refusal(info_only(spki_of(key_of(key))))
    assert refused.kind is Kind.BAD_PUBLIC_KEY
    assert word in refused.detail
    assert "ec-p256" in refused.hint


def info_only(spki):
    """Return a request whose key is looked at before its signature."""
    return signed(info(spki=spki))


def test_x25519_is_refused_by_name():
    key = x25519.X25519PrivateKey.generate()
    assert "X25519" in refusal(info_only(spki_of(key))).detail


@pytest.mark.parametrize(("bits", "word"), [(1024, "weak"), (2056, "not accepted")])
def test_other_rsa_sizes_are_refused(bits, word):
    modulus = (1 << bits) - 159
    refused = refusal(info_only(_rsa_spki(modulus, 65537)))
    assert refused.kind is Kind.BAD_PUBLIC_KEY
    assert word in refused.detail
    assert "rsa-3072" in refused.hint


def _rsa_spki(modulus, exponent, *, parameters=der.NULL):
    key = der.sequence(der.integer(modulus), der.integer(exponent))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.1"), parameters)
    return der.sequence(algorithm, der.bit_string(key))


def test_huge_rsa_key_is_refused_quickly():
    refused = refusal(info_only(_rsa_spki((1 << 400_000) - 1, 65537)))
    assert refused.kind is Kind.BAD_PUBLIC_KEY


def test_exponent_that_only_costs_time_is_refused_before_it_does():
    """Verifying with 3072 bits of it takes 6 ms, sixty times as long as with an honest one."""
    refused = refusal(info_only(_rsa_spki((1 << 2048) - 159, 2**256 + 1)))

    assert refused.kind is Kind.BAD_PUBLIC_KEY
    assert "exponent" in refused.detail


def test_rsa_key_with_an_even_or_tiny_exponent_is_no_key():
    for exponent in (0, 1, 2, 65536):
        refused = refusal(info_only(_rsa_spki((1 << 2048) - 159, exponent)))
        assert refused.kind in {Kind.BAD_PUBLIC_KEY, Kind.BAD_CSR}


def test_rsa_without_null_parameters_is_refused():
    refused = refusal(info_only(_rsa_spki((1 << 2048) - 159, 65537, parameters=b"")))
    assert "NULL" in refused.detail


def test_rsa_key_with_padding_octets_is_refused():
    key = der.sequence(b"\x02\x82\x01\x02\0\0" + b"\xff" * 256, der.integer(65537))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
    refused = refusal(info_only(der.sequence(algorithm, der.bit_string(key))))
    assert refused.kind is Kind.BAD_PUBLIC_KEY


def test_point_off_the_curve_is_refused():
    """An invalid-curve key must never be certified (SP 800-186 Appendix D.1.1)."""
    spki = spki_of(key_of("ec-p256"))
    off = spki[:-1] + bytes([spki[-1] ^ 1])
    assert refusal(info_only(off)).kind is Kind.BAD_PUBLIC_KEY
    zero = spki[:27] + bytes(64)
    assert refusal(info_only(zero)).kind is Kind.BAD_PUBLIC_KEY


def test_compressed_point_is_refused():
    point = key_of("ec-p256").public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"))
    refused = refusal(info_only(der.sequence(algorithm, der.bit_string(point))))
    assert refused.kind is Kind.BAD_PUBLIC_KEY
    assert "not uncompressed" in refused.detail


def test_explicit_curve_parameters_are_refused():
    """CVE-2020-0601: a curve described by its parameters can have a generator of its own."""
    parameters = der.sequence(der.integer(1), der.sequence(der.oid("1.2.840.10045.1.1")))
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), parameters)
    refused = refusal(info_only(der.sequence(algorithm, der.bit_string(b"\x04" + bytes(64)))))
    assert refused.kind is Kind.BAD_PUBLIC_KEY
    assert "explicit" in refused.detail


@pytest.mark.parametrize(
    "spki",
    [
        pytest.param(der.sequence(), id="empty"),
        pytest.param(der.sequence(der.sequence()), id="no algorithm"),
        pytest.param(der.sequence(der.integer(1)), id="no sequence"),
        pytest.param(der.sequence(der.sequence(b"\x06\0")), id="empty OID"),
        pytest.param(der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"))), id="no curve"),
        pytest.param(der.sequence(der.sequence(der.oid("1.2.3.4")), b"\x03\0"), id="unknown"),
        pytest.param(
            der.sequence(der.sequence(der.oid("1.3.101.112")), der.bit_string(bytes(31))),
            id="short Ed25519",
        ),
        pytest.param(
            der.sequence(
                der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL), der.bit_string(b"")
            ),
            id="empty RSA",
        ),
    ],
)
def test_broken_keys_are_refused(spki):
    assert refusal(info_only(spki)).kind is Kind.BAD_PUBLIC_KEY


def test_a_certificate_is_no_key():
    """CVE-2025-49825: a certificate stood where a key belongs, and its signature counted."""
    certificate = pki.leaf(pki.pki().issuing, "a.example").der
    assert refusal(info_only(certificate)).kind is Kind.BAD_PUBLIC_KEY


def test_algorithm_hidden_in_another_field_is_no_rsa_key():
    """The RSA AlgorithmIdentifier must be the key's own, not merely somewhere near its start."""
    rsa_algorithm = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
    spki = der.sequence(rsa_algorithm, rsa_algorithm)
    assert refusal(info_only(spki)).kind is Kind.BAD_PUBLIC_KEY


def test_keys_of_our_own_making_are_read():
    key = subject_key(spki_of(key_of("ed25519")))
    assert key.type is KeyType.ED25519


# --- the structure -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"0", id="one octet"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\xff" * 100, id="noise"),
        pytest.param(b"0\x80" * 30_000, id="indefinite nesting"),
        pytest.param(b"0\x84\xff\xff\xff\xff" * 10_000, id="huge lengths"),
        pytest.param(b"0\x82\xff\xff" + bytes(65_000), id="zeros"),
        pytest.param(b"-----BEGIN CERTIFICATE REQUEST-----", id="armor alone"),
        pytest.param(pem.csr(b"0"), id="armored octet"),
        pytest.param(pem.certificate(b"abc"), id="certificate"),
        pytest.param(b"-----BEGIN CERTIFICATE REQUEST-----\n" * 1000, id="many begin lines"),
        pytest.param(signed(info(version=b"\x02\x01\x01")), id="version 1"),
        pytest.param(signed(info(version=b"")), id="no version"),
        pytest.param(signed(info(attributes=(b"\xa0\0", b"\xa0\0"))), id="attributes twice"),
        pytest.param(signed(info(attributes=(b"\x31\0",))), id="attributes untagged"),
        pytest.param(signed(info()) + b"\0", id="trailing octet"),
        pytest.param(signed(info(subject=der.sequence(b"\x30\0"))), id="RDN is no set"),
    ],
)
def test_what_is_no_request_is_refused(data):
    assert refusal(data).kind is Kind.BAD_CSR


def test_deep_nesting_is_refused():
    bomb = b""
    for _ in range(5000):
        bomb = der.sequence(bomb)
    assert refusal(bomb).kind is Kind.BAD_CSR


def test_two_requests_in_one_file_are_refused():
    assert "2 PEM blocks" in refusal(pem.csr(request()) * 2).detail


def test_requests_have_a_bound():
    assert refusal(b"0" * (csr.MAX_BYTES + 1)).kind is Kind.TOO_LARGE


def test_signature_with_unused_bits_is_refused():
    body = info()
    signature = key_of("ec-p256").sign(body, ec.ECDSA(SHA256))
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    refused = refusal(der.sequence(body, algorithm, der.bit_string(signature, 1)))
    assert refused.kind is Kind.BAD_CSR


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param((extension_request(), extension_request()), id="two extensionRequests"),
        pytest.param((der.sequence(EXTENSION_REQUEST),), id="no set"),
        pytest.param((der.sequence(EXTENSION_REQUEST, b"\x31\0"),), id="no value"),
        pytest.param(
            (der.sequence(EXTENSION_REQUEST, der.tlv(0x31, EMPTY_NAME, EMPTY_NAME)),),
            id="two values",
        ),
        pytest.param((extension_request(b"\x02\x01\0"),), id="extension is no sequence"),
        pytest.param(
            (extension_request(san_extension(dns("a")), san_extension(dns("b"))),),
            id="two subjectAltNames",
        ),
        pytest.param(
            (extension_request(san_extension(), san_extension(dns("b"))),),
            id="two subjectAltNames, one empty",
        ),
        pytest.param((extension_request(der.sequence(SAN)),), id="no octet string"),
        pytest.param(
            (extension_request(der.sequence(SAN, der.octet_string(b"\x02\x01\0"))),),
            id="no sequence of names",
        ),
        pytest.param(
            (
                extension_request(
                    der.sequence(SAN, der.octet_string(der.sequence(dns("a")) + b"\0"))
                ),
            ),
            id="octets after the names",
        ),
        pytest.param(
            (
                extension_request(
                    der.sequence(SAN, b"\x01\x01\x01", der.octet_string(der.sequence(dns("a"))))
                ),
            ),
            id="boolean that is not DER",
        ),
        pytest.param(
            (extension_request(der.sequence(SAN, der.octet_string(b"\x30\x04\x82\x7fab"))),),
            id="name runs past its parent",
        ),
    ],
)
def test_odd_extension_requests_are_refused(attributes):
    data = signed(info(attributes=(der.explicit(0, *attributes),)))
    assert refusal(data).kind is Kind.BAD_CSR


# --- the names -----------------------------------------------------------------------------------


def test_other_kinds_of_name_are_refused_by_name():
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3"), der.NULL)
    refused = refusal(request(san=[x509.DNSName("web.internal"), other]))
    assert refused.kind is Kind.REJECTED_IDENTIFIER
    assert "otherName" in refused.detail


def test_refused_names_are_told_together():
    names = (dns("a_b.internal"), dns("ok.internal"), dns("com"))
    data = signed(info(attributes=(der.explicit(0, extension_request(san_extension(*names))),)))
    refused = refusal(data)
    assert refused.kind is Kind.REJECTED_IDENTIFIER
    assert len(refused.subproblems) == 2


def test_names_without_end_are_refused():
    names = [x509.DNSName(f"host-{number}.internal") for number in range(500)]
    assert refusal(request(san=names)).kind is Kind.TOO_LARGE


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (der.tlv(der.UTF8_STRING, "Bücher".encode()), "Bücher"),
        (der.tlv(der.PRINTABLE_STRING, b"web 1"), "web 1"),
        (der.tlv(der.IA5_STRING, b"web@x"), "web@x"),
        (der.tlv(der.UTF8_STRING, b""), ""),
        (der.tlv(der.UTF8_STRING, b"w" * 64), "w" * 64),
    ],
)
def test_common_name_is_read_from_each_string_type(value, text):
    data = signed(info(subject=der.sequence(common_name(value))))
    assert csr.parse_csr(data).common_name == text


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param((common_name(der.tlv(0x1E, b"\0w")),), id="BMPString"),
        pytest.param((common_name(der.tlv(0x14, b"web")),), id="TeletexString"),
        pytest.param((common_name(der.tlv(der.UTF8_STRING, b"\xff")),), id="not UTF-8"),
        pytest.param((common_name(der.tlv(der.PRINTABLE_STRING, b"\xfc")),), id="not ASCII"),
        pytest.param((common_name(der.tlv(der.UTF8_STRING, b"web\n")),), id="line end"),
        pytest.param((common_name(der.tlv(der.UTF8_STRING, b"web\0")),), id="NUL"),
        pytest.param(
            (common_name(der.tlv(der.UTF8_STRING, "\u202eweb".encode())),), id="right to left"
        ),
        pytest.param((common_name(der.tlv(der.UTF8_STRING, b"w" * 65)),), id="65 characters"),
        pytest.param((common_name(der.tlv(der.UTF8_STRING, b"a") * 2),), id="two values"),
        pytest.param((common_name(b""),), id="no value"),
        pytest.param(
            (common_name(der.tlv(der.UTF8_STRING, b"a")),) * 2,
            id="two common names",
        ),
    ],
)
def test_odd_common_names_are_refused(subject):
    assert refusal(signed(info(subject=der.sequence(*subject)))).kind is Kind.BAD_CSR


def test_key_of_a_certificate_is_read_back():
    key = key_of("ec-p256")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now)
        .sign(key, SHA256)
    )
    found = certified_key(certificate.public_bytes(Encoding.DER))
    assert found.spki == spki_of(key)
    with pytest.raises(Error):
        certified_key(b"0")
