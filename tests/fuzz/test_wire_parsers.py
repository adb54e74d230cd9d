"""Every parser of `wire` against noise and against changed copies of the real thing.

Two properties: nothing but `Error` (for the DER reader: ValueError) ever comes out, and what is
accepted reads the same to `cryptography`.
"""

import contextlib
import functools
import ipaddress

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp as reference
from cryptography.x509.oid import NameOID
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mintmark.model.errors import Error
from mintmark.model.identifiers import IdentifierType
from mintmark.wire import csr, der, general_names, identifiers, jose, json, jwe, jwt, ocsp, pem
from mintmark.wire.spki import subject_key
from mintmark.wire.ssh import certificate as ssh_certificate
from mintmark.wire.ssh import key as ssh_key
from mintmark.wire.ssh import krl
from tests import openssh

quick = settings(max_examples=100, deadline=None)
P256 = ec.generate_private_key(ec.SECP256R1())


@functools.cache
def requests():
    """Return real requests of several shapes, DER."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, "web"),
        ]
    )
    san = x509.SubjectAlternativeName(
        [
            x509.DNSName("web.internal"),
            x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
            x509.RFC822Name("ops@example.com"),
            x509.UniformResourceIdentifier("spiffe://prod/web"),
        ]
    )
    rsa_key = rsa.generate_private_key(65537, 2048)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    named = builder.add_extension(san, critical=False)
    made = [
        named.sign(P256, hashes.SHA256()),
        named.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
        named.sign(ed25519.Ed25519PrivateKey.generate(), None),
        named.sign(rsa_key, hashes.SHA256()),
        builder.sign(rsa_key, hashes.SHA256(), rsa_padding=pss),
    ]
    return tuple(request.public_bytes(Encoding.DER) for request in made)


@functools.cache
def ocsp_requests():
    """Return real OCSP requests, DER."""
    builder = reference.OCSPRequestBuilder().add_certificate_by_hash(
        bytes(20), bytes(20), 77, hashes.SHA1()
    )
    nonced = builder.add_extension(x509.OCSPNonce(bytes(32)), critical=False)
    return tuple(made.build().public_bytes(Encoding.DER) for made in (builder, nonced))


@st.composite
def mutated(draw, originals):
    """Return a real document with octets changed, cut out, doubled, or cut short."""
    data = bytearray(draw(st.sampled_from(originals())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["set", "flip", "cut", "double", "insert", "end"])):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at : at + draw(st.integers(1, 16))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "end":
                del data[at + 1 :]
        if not data:
            break
    return bytes(data)


def only_errors(parse, data):
    """Parse, and return the value, or None if it was refused in the proper way."""
    try:
        return parse(data)
    except Error as error:
        refused = error
    assert refused.detail
    assert "\n" not in refused.detail
    assert len(refused.detail) < 2000
    return None


# --- DER -----------------------------------------------------------------------------------------


@quick
@given(st.binary(max_size=64))
@example(b"\x30\x80\x00\x00")
@example(b"\x30\x84\xff\xff\xff\xff")
@example(b"\x1f\xff\xff\x7f\x00")
def test_reading_noise_as_der_raises_nothing_but_value_error(data):
    with contextlib.suppress(ValueError):
        tag, start, end = der.read(data)
        assert 2 <= start <= end <= len(data)
        assert der.expect(data, 0, len(data), tag) == (start, end)
        assert der.tlv(tag, data[start:end]) == data[:end]
    with contextlib.suppress(ValueError):
        listed = der.children(data, 0, len(data))
        rebuilt = b"".join(der.tlv(tag, data[content:end]) for tag, _, content, end in listed)
        assert rebuilt == data
    with contextlib.suppress(ValueError):
        assert der.oid(der.dotted(data)) == der.tlv(der.OBJECT_IDENTIFIER, data)


# --- PEM -----------------------------------------------------------------------------------------


@quick
@given(
    st.lists(
        st.sampled_from([b"-----BEGIN X-----", b"-----END X-----", b"YWJj", b"=", b"\n", b"\xff"]),
        max_size=12,
    )
)
def test_odd_pem_raises_nothing_but_error(pieces):
    found = only_errors(functools.partial(pem.decode, "X"), b"".join(pieces))
    if found is not None:
        assert all(isinstance(octets, bytes) for octets in found)


# --- PKCS #10 ------------------------------------------------------------------------------------


def read_by_reference(data):
    """Return key, common names and names as `cryptography` reads a request."""
    parsed = x509.load_der_x509_csr(data)
    assert parsed.is_signature_valid
    try:
        san = list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        san = []
    spki = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    names = [a.value for a in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return (
        spki,
        names,
        identifiers.collect(general_names.from_general_name, [(name,) for name in san]),
    )


def assert_read_alike(data, parsed):
    octets = data if data[:1] == b"0" else x509.load_pem_x509_csr(data).public_bytes(Encoding.DER)
    spki, names, san = read_by_reference(octets)
    assert parsed.key.spki == spki
    assert [parsed.common_name] == (names or [""])
    assert parsed.identifiers == san


@quick
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"0" + tail))
def test_noise_is_no_request(data):
    assert only_errors(csr.parse_csr, data) is None


@settings(max_examples=300, deadline=None)
@given(mutated(requests))
def test_changed_requests_are_refused_or_read_alike(data):
    parsed = only_errors(csr.parse_csr, data)
    if parsed is not None:
        assert_read_alike(data, parsed)


@quick
@given(mutated(lambda: tuple(pem.csr(request) for request in requests())))
def test_changed_armor_is_refused_or_read_alike(data):
    parsed = only_errors(csr.parse_csr, data)
    if parsed is not None:
        assert parsed.key.spki in b"".join(requests())


@settings(max_examples=200, deadline=None)
@given(mutated(lambda: requests()[:1]))
def test_changed_and_newly_signed_requests_are_refused_or_read_alike(data):
    """The attacker owns the key: a true signature over a strange CertificationRequestInfo."""
    try:
        _, start, end = der.read(data)
        _, info_end = der.expect(data, start, end, der.SEQUENCE)
    except ValueError:
        assume(False)
    info = data[start:info_end]
    signature = P256.sign(info, ec.ECDSA(hashes.SHA256()))
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    forged = der.sequence(info, algorithm, der.bit_string(signature))
    parsed = only_errors(csr.parse_csr, forged)
    if parsed is not None:
        # The reference also refuses oddities in what we pass over without reading it.
        with contextlib.suppress(ValueError):
            assert_read_alike(forged, parsed)


@quick
@given(
    st.binary(max_size=140)
    | mutated(
        lambda: tuple(
            P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for _ in "1"
        )
    )
)
def test_odd_keys_raise_nothing_but_error(spki):
    only_errors(subject_key, spki)


# --- names ---------------------------------------------------------------------------------------

odd_text = st.text(max_size=40) | st.from_regex(r"[a-zA-Z0-9.*@:/\[\]%_ -]{0,40}", fullmatch=True)
nearly_names = st.from_regex(
    r"(\*\.)?([a-z0-9-]{1,6}\.){0,3}[a-z]{2,8}|[a-z.+]{1,6}@[a-z.-]{1,12}"
    r"|(spiffe|https)://[a-z0-9.:-]{1,12}(/[a-z.%0-9]{0,6}){0,3}(\?[a-z]{1,3})?",
    fullmatch=True,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(IdentifierType), odd_text | nearly_names)
def test_names_are_canonical_or_refused(kind, text):
    found = only_errors(functools.partial(identifiers.parse, kind), text)
    if found is not None:
        assert found.value.isascii()
        assert found.value.isprintable()
        assert " " not in found.value
        assert identifiers.parse(kind, found.value) == found
        encoded = general_names.general_name(found)
        tag, start, end = der.read(encoded)
        assert general_names.parse_general_name(tag, encoded[start:end]) == found


@quick
@given(odd_text | nearly_names)
def test_what_a_name_looks_like_is_what_it_is(text):
    found = only_errors(identifiers.parse_any, text)
    if found is not None:
        assert identifiers.parse_any(found.value) == found


@quick
@given(st.sampled_from([0x81, 0x82, 0x86, 0x87, 0x88, 0xA0, 0xA4]), st.binary(max_size=40))
def test_odd_general_names_raise_nothing_but_error(tag, content):
    only_errors(functools.partial(general_names.parse_general_name, tag), content)


# --- OCSP ----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | mutated(ocsp_requests))
def test_odd_ocsp_requests_are_refused_or_read_alike(data):
    parsed = only_errors(ocsp.parse_request, data)
    if parsed is None or len(parsed.cert_ids) != 1:
        return
    try:
        expected = reference.load_der_ocsp_request(data)
        serial = expected.serial_number
    except ValueError:
        return  # stricter than we need to be: what is echoed is not interpreted
    (found,) = parsed.cert_ids
    assert int.from_bytes(found.serial, "big", signed=True) == serial
    assert found.issuer_name_hash == expected.issuer_name_hash
    assert found.issuer_key_hash == expected.issuer_key_hash


@quick
@given(st.text(max_size=60))
def test_odd_paths_raise_nothing_but_error(text):
    only_errors(ocsp.decode_path, text)


# --- JSON ----------------------------------------------------------------------------------------


class Body(msgspec.Struct, forbid_unknown_fields=True):
    service: str
    names: list[str] = []
    lifetime: int | None = None
    metadata: dict[str, str] | None = None


GOOD_BODY = b'{"service":"web","names":["a.b","c"],"lifetime":60,"metadata":{"a":"b:\\u003a"}}'


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | mutated(lambda: (GOOD_BODY,)))
def test_odd_json_raises_nothing_but_error(data):
    found = only_errors(lambda octets: json.decode(octets, Body), data)
    assert found is None or isinstance(found, Body)


# --- SSH -----------------------------------------------------------------------------------------


@functools.cache
def ssh_certificates():
    """Return real SSH certificates of every type of key, signed by every type of authority."""
    by_one = [openssh.signed(openssh.ED25519, key=key) for key in openssh.every_key()]
    return (*by_one, *map(openssh.signed, openssh.AUTHORITIES.values()))


@functools.cache
def ssh_lists():
    """Return real KRLs."""
    authority = openssh.public(P256).blob
    serials = [*range(1, 500), *range(1000, 2000, 3), 2**64 - 1]
    full = krl.encode(9, 1, [(authority, serials)], ["a", "b"], [bytes(32)], "comment")
    return (full, krl.encode(1, 0, [(authority, [7])]), krl.encode(1, 0, ()))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120) | mutated(lambda: tuple(k.blob for k in openssh.every_key())))
def test_odd_ssh_keys_are_refused_or_have_one_spelling(data):
    found = only_errors(ssh_key.parse_blob, data)
    if found is not None:
        assert found.blob == data
        assert ssh_key.parse_line(ssh_key.line(found)) == found
        if not ssh_key.is_security_key(found.type):
            assert ssh_key.from_public_key(found.public_key).blob == data


@quick
@given(odd_text | mutated(lambda: (openssh_line(),)).map(lambda octets: octets.decode("latin-1")))
def test_odd_lines_of_ssh_keys_raise_nothing_but_error(text):
    found = only_errors(ssh_key.parse_line, text)
    if found is not None:
        assert ssh_key.line(found).split() == text.split()


def openssh_line():
    return ssh_key.line(openssh.public(openssh.ED25519)).encode() + b" alice@laptop"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | mutated(ssh_certificates))
def test_odd_ssh_certificates_are_refused_or_not_signed(data):
    found = only_errors(ssh_certificate.parse, data)
    if found is None:
        return
    assert found.blob == data
    if data not in ssh_certificates():
        with pytest.raises(Error):
            ssh_certificate.verify(found)
    elif found.fields.principals:
        assert ssh_certificate.parse(found.tbs + data[len(found.tbs) :]) == found


@settings(max_examples=300, deadline=None)
@given(mutated(ssh_certificates))
def test_changed_ssh_certificates_that_are_read_would_be_written_alike(data):
    """One value has one encoding, all but the field that is reserved."""
    found = only_errors(ssh_certificate.parse, data)
    if found is not None and found.fields.principals and "" not in found.fields.principals:
        written = ssh_certificate.encode_tbs(found.fields)
        assert written == found.tbs or len(written) < len(found.tbs)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | mutated(ssh_lists))
def test_odd_lists_of_ssh_keys_raise_nothing_but_error(data):
    found = only_errors(krl.parse, data)
    if found is not None:
        assert found.revokes(openssh.fields()) in {True, False}


# --- tokens --------------------------------------------------------------------------------------


@functools.cache
def tokens():
    """Return real tokens."""
    claims = {"iss": "ci", "sub": "web", "exp": 1_700_000_300, "sans": ["web.internal"]}
    return tuple(
        jwt.sign({"kid": "k"}, claims, key).encode() for key in openssh.AUTHORITIES.values()
    )


@settings(max_examples=300, deadline=None)
@given(mutated(tokens))
def test_changed_tokens_are_refused(data):
    found = only_errors(jwt.parse, data.decode("latin-1"))
    if found is None or data in tokens():
        return
    for key in openssh.AUTHORITIES.values():
        with pytest.raises(Error):
            jwt.verify(found, jose.jwk_of(key.public_key()))


@functools.cache
def encrypted_keys():
    """Return a real encrypted key."""
    made = jwe.encrypt_key(jose.new_jwk(), b"password", lambda size: b"r" * size, iterations=1000)
    return (made.encode(),)


@quick
@given(mutated(encrypted_keys))
def test_changed_encrypted_keys_are_refused(data):
    text = data.decode("latin-1")
    if text.strip().encode("latin-1") not in encrypted_keys():
        assert only_errors(lambda changed: jwe.decrypt_key(changed, b"password"), text) is None


@pytest.mark.parametrize("data", [GOOD_BODY])
def test_the_document_that_is_changed_is_good(data):
    assert json.decode(data, Body).service == "web"


def test_what_is_changed_of_ssh_and_tokens_is_good():
    for data in ssh_certificates():
        ssh_certificate.verify(ssh_certificate.parse(data))
    for data in ssh_lists():
        assert krl.parse(data).number
    for data in tokens():
        assert jwt.parse(data.decode()).claims["iss"] == "ci"
    assert ssh_key.parse_line(openssh_line().decode()).comment == "alice@laptop"
    assert jwe.decrypt_key(encrypted_keys()[0].decode(), b"password").startswith(b"{")


def test_the_requests_that_are_changed_are_good():
    for data in requests():
        assert_read_alike(data, csr.parse_csr(data))
    for data in ocsp_requests():
        assert ocsp.parse_request(data).cert_ids[0].serial == b"\x4d"
