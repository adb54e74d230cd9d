"""OCSP by hand against `cryptography`'s builder and parser."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp as reference
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.wire import der, ocsp

ED25519 = der.sequence(der.oid("1.3.101.112"))
NONCE = der.oid("1.3.6.1.5.5.7.48.1.2")
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Intermediate")])
SERIAL = int.from_bytes(b"\x40" * 20, "big")
CERTIFICATE = (
    x509.CertificateBuilder()
    .subject_name(NAME)
    .issuer_name(NAME)
    .public_key(KEY.public_key())
    .serial_number(SERIAL)
    .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    .sign(KEY, None)
)
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
KEY_HASH = hashlib.sha1(SPKI[12:], usedforsecurity=False).digest()
HASHES = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
REASON_FLAGS = {
    Reason.UNSPECIFIED: None,
    Reason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    Reason.CA_COMPROMISE: x509.ReasonFlags.ca_compromise,
    Reason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    Reason.SUPERSEDED: x509.ReasonFlags.superseded,
    Reason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    Reason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
}


def request(algorithm="sha1", nonce=None):
    builder = reference.OCSPRequestBuilder().add_certificate(
        CERTIFICATE, CERTIFICATE, HASHES[algorithm]
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


CERT_ID = ocsp.parse_request(request()).cert_ids[0]


def assembled(*requests, tbs_prefix=b"", tbs_suffix=b"", suffix=b""):
    """Return a request put together by hand."""
    tbs = der.sequence(tbs_prefix, der.sequence(*requests), tbs_suffix)
    return der.sequence(tbs, suffix)


def one(*, singles=b""):
    return der.sequence(CERT_ID.der, singles)


def extension(oid, value, critical=b""):
    return der.sequence(oid, critical, der.octet_string(value))


def nonce_of(octets):
    return der.explicit(2, der.sequence(extension(NONCE, octets)))


def refusal(data):
    with pytest.raises(Error) as refused:
        ocsp.parse_request(data)
    return refused.value


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", HASHES)
def test_request_is_read_as_cryptography_reads_it(algorithm):
    data = request(algorithm)
    expected = reference.load_der_ocsp_request(data)
    (found,) = ocsp.parse_request(data).cert_ids
    assert found.hash_algorithm == algorithm == expected.hash_algorithm.name
    assert found.issuer_name_hash == expected.issuer_name_hash
    assert found.issuer_key_hash == expected.issuer_key_hash
    assert int.from_bytes(found.serial, "big") == expected.serial_number == SERIAL
    assert found.der in data
    hashed = ocsp.issuer_hashes(algorithm, NAME.public_bytes(), SPKI)
    assert hashed == (found.issuer_name_hash, found.issuer_key_hash)


@pytest.mark.parametrize("size", [1, 16, 32, 128])
def test_nonces_are_read(size):
    assert ocsp.parse_request(request(nonce=b"n" * size)).nonce == b"n" * size


def test_request_without_nonce_has_none():
    assert ocsp.parse_request(request()).nonce is None


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(der.octet_string(b""), id="empty"),
        pytest.param(der.octet_string(bytes(129)), id="129 octets"),
        pytest.param(b"n" * 16, id="not wrapped"),
        pytest.param(b"", id="nothing"),
        pytest.param(der.octet_string(b"n") + b"\0", id="trailing octet"),
    ],
)
def test_bad_nonces_are_malformed(octets):
    """RFC 9654 §2.1."""
    refused = refusal(assembled(one(), tbs_suffix=nonce_of(octets)))
    assert refused.kind is Kind.MALFORMED


def test_two_nonces_are_malformed():
    nonce = extension(NONCE, der.octet_string(b"n"))
    suffix = der.explicit(2, der.sequence(nonce, nonce))
    assert "two nonces" in refusal(assembled(one(), tbs_suffix=suffix)).detail


def test_several_certificates_are_read_in_order():
    found = ocsp.parse_request(assembled(one(), one(), one())).cert_ids
    assert found == (CERT_ID,) * 3


def test_certificates_asked_about_have_a_bound():
    assert len(ocsp.parse_request(assembled(*[one()] * 16)).cert_ids) == ocsp.MAX_REQUESTS
    assert refusal(assembled(*[one()] * 17)).kind is Kind.TOO_LARGE
    assert refusal(bytes(ocsp.MAX_BYTES + 1)).kind is Kind.TOO_LARGE


def test_version_requestor_name_and_signature_are_passed_over():
    version = der.explicit(0, der.integer(0))
    requestor = der.explicit(1, der.implicit(2, b"client.internal"))
    data = assembled(one(), tbs_prefix=version + requestor, suffix=der.explicit(0, der.sequence()))
    assert ocsp.parse_request(data).cert_ids == (CERT_ID,)


def test_extensions_that_are_not_critical_are_passed_over():
    response_types = extension(der.oid("1.3.6.1.5.5.7.48.1.4"), der.sequence())
    data = assembled(
        one(singles=der.explicit(0, der.sequence(response_types))),
        tbs_suffix=der.explicit(2, der.sequence(response_types)),
    )
    assert ocsp.parse_request(data).cert_ids == (CERT_ID,)


def test_unknown_critical_extensions_are_refused():
    critical = der.sequence(extension(der.oid("1.2.3"), b"", der.BOOLEAN_TRUE))
    for data in (
        assembled(one(), tbs_suffix=der.explicit(2, critical)),
        assembled(one(singles=der.explicit(0, critical))),
    ):
        assert "critical" in refusal(data).detail


def test_unknown_hash_is_told_by_its_oid():
    cert_id = der.sequence(
        der.sequence(der.oid("1.2.3.4")),
        der.octet_string(b"n"),
        der.octet_string(b"k"),
        der.integer(5),
    )
    (found,) = ocsp.parse_request(assembled(der.sequence(cert_id))).cert_ids
    assert found == ocsp.CertID("1.2.3.4", b"n", b"k", b"\x05", cert_id)


def _cert_id(*parts):
    return assembled(der.sequence(der.sequence(*parts)))


SHA1 = der.sequence(der.oid("1.3.14.3.2.26"), der.NULL)
OCTETS = der.octet_string(bytes(20))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"0\0", id="empty sequence"),
        pytest.param(b"0\x80" * 1000, id="indefinite nesting"),
        pytest.param(b"0\x84\xff\xff\xff\xff", id="huge length"),
        pytest.param(request() + b"\0", id="trailing octet"),
        pytest.param(assembled(), id="no request"),
        pytest.param(assembled(b"\x30\0"), id="empty request"),
        pytest.param(assembled(one(), tbs_prefix=der.explicit(0, der.integer(1))), id="version 2"),
        pytest.param(assembled(one(), tbs_suffix=b"\x05\0"), id="something for extensions"),
        pytest.param(
            assembled(one(), tbs_suffix=nonce_of(der.octet_string(b"n")) + b"\x05\0"),
            id="something after extensions",
        ),
        pytest.param(assembled(one(), suffix=b"\x05\0"), id="something for a signature"),
        pytest.param(
            assembled(one(), suffix=der.explicit(0, b"") + b"\x05\0"), id="after the signature"
        ),
        pytest.param(assembled(one(singles=b"\x05\0")), id="something for single extensions"),
        pytest.param(
            assembled(one(singles=der.explicit(0, der.sequence()) + b"\x05\0")),
            id="after single extensions",
        ),
        pytest.param(
            assembled(one(), tbs_suffix=der.explicit(2, der.sequence(), b"\x05\0")),
            id="after the list of extensions",
        ),
        pytest.param(
            assembled(
                one(),
                tbs_suffix=der.explicit(
                    2, der.sequence(der.sequence(NONCE, der.octet_string(b""), b"\x05\0"))
                ),
            ),
            id="after an extension's value",
        ),
        pytest.param(_cert_id(SHA1, OCTETS, OCTETS), id="no serial"),
        pytest.param(_cert_id(SHA1, OCTETS, OCTETS, b"\x02\0"), id="empty serial"),
        pytest.param(_cert_id(SHA1, OCTETS, OCTETS, der.integer(1), der.NULL), id="five fields"),
        pytest.param(_cert_id(der.NULL, OCTETS, OCTETS, der.integer(1)), id="no algorithm"),
        pytest.param(
            _cert_id(der.sequence(b"\x06\0"), OCTETS, OCTETS, der.integer(1)), id="empty OID"
        ),
        pytest.param(
            _cert_id(
                der.sequence(b"\x06" + b"\x01" * 127, b"\x04" * 20), OCTETS, OCTETS, der.integer(1)
            ),
            id="long algorithm",
        ),
    ],
)
def test_what_is_no_request_is_malformed(data):
    assert refusal(data).kind in {Kind.MALFORMED, Kind.TOO_LARGE}


def outcome(parse, data):
    try:
        return parse(data)
    except Error as error:
        return error.kind, error.detail


RESPONSE_TYPES = extension(der.oid("1.3.6.1.5.5.7.48.1.4"), der.sequence())
FORMS = {
    "plain": request(),
    "sha512 and nonce": request("sha512", b"n" * 32),
    "one octet of nonce": request(nonce=b"n"),
    "before and after the nonce": assembled(
        one(),
        tbs_prefix=der.explicit(0, der.integer(0)) + der.explicit(1, CERT_ID.der),
        tbs_suffix=der.explicit(
            2, der.sequence(RESPONSE_TYPES, extension(NONCE, OCTETS), RESPONSE_TYPES)
        ),
        suffix=der.explicit(0, der.sequence(CERT_ID.der)),
    ),
    "a request's own extensions": assembled(
        one(singles=der.explicit(0, der.sequence(extension(NONCE, OCTETS))))
    ),
    "several": assembled(one(), one(), tbs_suffix=nonce_of(OCTETS)),
    "too long to be remembered": assembled(one(), tbs_prefix=der.explicit(1, bytes(600))),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_reader_that_remembers_reads_as_one_that_does_not(data):
    """Whatever octet differs from the request before, the last of its length."""
    reader = ocsp.RequestReader()
    assert reader.parse(data) == ocsp.parse_request(data)
    for at in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            other = data[:at] + bytes((data[at] ^ change,)) + data[at + 1 :]
            assert outcome(reader.parse, other) == outcome(ocsp.parse_request, other)
            assert reader.parse(data) == ocsp.parse_request(data)


def test_reader_takes_serial_and_nonce_from_each_request():
    reader = ocsp.RequestReader()
    for number in range(5):
        nonce = bytes((number,)) * 16
        data = request(nonce=nonce).replace(b"\x40" * 20, b"\x41" + nonce + b"\x42" * 3)
        found = reader.parse(data)
        assert found.nonce == nonce
        assert found.cert_ids[0].serial == b"\x41" + nonce + b"\x42" * 3
        assert found.cert_ids[0].der in data


def test_path_of_a_get_is_base64():
    data = request()
    assert ocsp.decode_path(base64.b64encode(data).decode()) == data
    assert ocsp.decode_path("/" + base64.b64encode(data).decode()) == data
    assert ocsp.decode_path("MAo/") == bytes.fromhex("300a3f")
    for text in ("a", "%%%", "YWJj YWJj", "ü", "YWJ=j"):
        with pytest.raises(Error) as refused:
            ocsp.decode_path(text)
        assert refused.value.kind is Kind.MALFORMED


def test_unused_hashes_are_refused_for_issuers():
    with pytest.raises(ValueError, match="md5"):
        ocsp.issuer_hashes("md5", b"", SPKI)


# --- responses -----------------------------------------------------------------------------------

seconds = st.integers(min_value=0, max_value=4_000_000_000)


def _utc(at):
    return datetime.fromtimestamp(at, UTC)


def _built(status, at, this_update, next_update, *, nonce, certificates):
    builder = reference.OCSPResponseBuilder().add_response_by_hash(
        CERT_ID.issuer_name_hash,
        CERT_ID.issuer_key_hash,
        SERIAL,
        hashes.SHA1(),
        status[0],
        _utc(this_update),
        _utc(next_update),
        None if status[1] is None else _utc(status[1]),
        None if status[2] is None else REASON_FLAGS[status[2]],
    )
    builder = builder.responder_id(reference.OCSPResponderEncoding.HASH, CERTIFICATE)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    if certificates:
        builder = builder.certificates([CERTIFICATE])
    return builder.sign(KEY, None)


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.just((reference.OCSPCertStatus.GOOD, None, None)),
        st.just((reference.OCSPCertStatus.UNKNOWN, None, None)),
        st.tuples(
            st.just(reference.OCSPCertStatus.REVOKED), seconds, st.sampled_from(list(Reason))
        ),
    ),
    seconds,
    st.integers(min_value=1, max_value=10**7),
    st.one_of(st.none(), st.binary(min_size=1, max_size=128)),
    st.booleans(),
)
def test_assembled_response_equals_the_builders(status, at, lifetime, nonce, certificates):
    """Up to producedAt, which the builder takes from the clock."""
    built = _built(status, at, at, at + lifetime, nonce=nonce, certificates=certificates)
    word = {
        reference.OCSPCertStatus.GOOD: ocsp.GOOD,
        reference.OCSPCertStatus.UNKNOWN: ocsp.UNKNOWN,
    }.get(status[0])
    tbs = ocsp.response_data(
        KEY_HASH,
        int(built.produced_at_utc.timestamp()),
        [
            ocsp.single_response(
                CERT_ID.der, word or ocsp.revoked(status[1], status[2]), at, at + lifetime
            )
        ],
        nonce,
    )
    response = ocsp.basic_response(
        tbs,
        ED25519,
        KEY.sign(tbs),
        [CERTIFICATE.public_bytes(Encoding.DER)] if certificates else [],
    )
    assert tbs == built.tbs_response_bytes
    assert response == built.public_bytes(Encoding.DER)


def test_response_about_several_certificates_is_read_by_cryptography():
    singles = [ocsp.single_response(CERT_ID.der, ocsp.GOOD, 0, 60) for _ in range(16)]
    tbs = ocsp.response_data(KEY_HASH, 0, singles)
    chain = [CERTIFICATE.public_bytes(Encoding.DER)] * 3
    parsed = reference.load_der_ocsp_response(
        ocsp.basic_response(tbs, ED25519, KEY.sign(tbs), chain)
    )
    assert len(list(parsed.responses)) == 16
    assert len(parsed.certificates) == 3
    assert parsed.responder_key_hash == KEY_HASH


@pytest.mark.parametrize("status", list(ocsp.ResponseStatus))
def test_error_responses_are_what_cryptography_builds(status):
    expected = reference.OCSPResponseBuilder.build_unsuccessful(
        reference.OCSPResponseStatus(status.value)
    )
    assert ocsp.error_response(status) == expected.public_bytes(Encoding.DER)
