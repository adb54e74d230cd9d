"""Names: one canonical form, and a reason for every refusal."""

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.wire import der, general_names, identifiers

DNS, IP, EMAIL, URI = (
    IdentifierType.DNS,
    IdentifierType.IP,
    IdentifierType.EMAIL,
    IdentifierType.URI,
)
quick = settings(max_examples=100, deadline=None)


def _refusal(kind, text):
    with pytest.raises(Error) as refused:
        identifiers.parse(kind, text)
    assert refused.value.kind is Kind.REJECTED_IDENTIFIER
    assert refused.value.hint
    return refused.value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DNS, "web-1.example.internal", "web-1.example.internal"),
        (DNS, "WEB.Example.Internal.", "web.example.internal"),
        (DNS, "redis", "redis"),
        (DNS, "localhost", "localhost"),
        (DNS, "1and1.internal", "1and1.internal"),
        (DNS, "10.example", "10.example"),
        (DNS, "*.example.internal", "*.example.internal"),
        (DNS, "bücher.example", "xn--bcher-kva.example"),
        (DNS, "BÜCHER.example", "xn--bcher-kva.example"),
        (DNS, "xn--bcher-kva.example", "xn--bcher-kva.example"),
        (DNS, "*.bücher.example", "*.xn--bcher-kva.example"),
        (DNS, "straße.example", "xn--strae-oqa.example"),
        (DNS, "\uff57\uff45\uff42.example", "web.example"),
        (DNS, "web。example", "web.example"),
        (DNS, "user.github.io", "user.github.io"),
        (DNS, "a" * 63 + ".internal", "a" * 63 + ".internal"),
        (IP, "10.0.0.1", "10.0.0.1"),
        (IP, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        (IP, "::1", "::1"),
        (IP, "::1.2.3.4", "::102:304"),
        (EMAIL, "Alice.B@Example.COM", "Alice.B@example.com"),
        (EMAIL, "a+b@bücher.example", "a+b@xn--bcher-kva.example"),
        (URI, "SPIFFE://Example.Internal/ns/web", "spiffe://example.internal/ns/web"),
        (URI, "spiffe://prod_1/web", "spiffe://prod_1/web"),
        (URI, "spiffe://prod", "spiffe://prod"),
        (URI, "HTTPS://Web.Example:8443/A?b=C", "https://web.example:8443/A?b=C"),
        (URI, "https://web.example/%7ea%2fb", "https://web.example/~a%2Fb"),
        (URI, "https://web.example/a#%7eb", "https://web.example/a#~b"),
        (URI, "https://[2001:DB8::0:1]/x", "https://[2001:db8::1]/x"),
        (URI, "ldap://10.0.0.1", "ldap://10.0.0.1"),
    ],
)
def test_names_take_their_canonical_form(kind, text, value):
    assert identifiers.parse(kind, text) == Identifier(kind, value)
    assert identifiers.parse(kind, value) == Identifier(kind, value)


def _value(text):
    """Return the canonical form of a DNS name, None if it is refused."""
    try:
        return identifiers.parse(DNS, text).value
    except Error:
        return None


# Labels of every doubtful kind, and names just below and above what is short.
_labels = st.one_of(
    st.text("a0-x", min_size=0, max_size=5),
    st.sampled_from(["0x1f", "42", "com", "xn--bcher-kva", "xn--a", "ab--c", "*", "a_b", "a" * 60]),
    st.integers(58, 64).map("a".__mul__),
)


@quick
@given(st.lists(_labels, min_size=1, max_size=4).map(".".join))
def test_a_name_is_judged_the_same_in_any_case_and_with_a_dot_behind_it(name):
    value = _value(name)
    assert value in {None, name, name.removesuffix(".")}
    assert _value(name.upper()) == value
    if not name.endswith("."):
        assert _value(name + ".") == value


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is empty"),
        (".", "is empty"),
        ("..", "empty label"),
        ("web..internal", "empty label"),
        (".internal", "empty label"),
        ("web.internal..", "empty label"),
        ("web server", "white space"),
        (" web", "white space"),
        ("web\n", "white space"),
        ("web\tx.internal", "white space"),
        ("web\x00.internal", "control character"),
        ("web\u00a0x.internal", "A-labels"),
        ("my_host.internal", "underscore"),
        ("_acme.internal", "underscore"),
        ("-web.internal", "hyphen"),
        ("web-.internal", "hyphen"),
        ("a" * 64 + ".internal", "longer than 63"),
        (".".join(["a" * 62] * 4) + ".internal", "longer than 253"),
        ("a" * 100_000, "longer than 253"),
        (".".join(["a" * 63] * 3 + ["a" * 62]), "longer than 253"),
        ("*." + ".".join(["a" * 63] * 3 + ["a" * 61]), "longer than 253"),
        ("*", "'*'"),
        ("*.", "empty"),
        ("*.internal", "wildcard above a single label"),
        ("w*.example.internal", "'*'"),
        ("*.*.example.internal", "'*'"),
        ("web.*.internal", "'*'"),
        ("**.example.internal", "'*'"),
        ("com", "public suffix"),
        ("DEV", "public suffix"),
        ("co.uk", "public suffix"),
        ("github.io", "public suffix"),
        ("*.co.uk", "wildcard over a public suffix"),
        ("*.github.io", "wildcard over a public suffix"),
        ("10.0.0.1", "numeric label"),
        ("127.1", "numeric label"),
        ("2130706433", "numeric label"),
        ("0x7f.0.0.1", "numeric label"),
        ("0x7f000001", "numeric label"),
        ("web.0x1f", "numeric label"),
        ("web.42", "numeric label"),
        ("\uff11\uff12\uff17.0.0.1", "numeric label"),
        ("::1", "address or a URL"),
        ("web:8443", "address or a URL"),
        ("https://web.internal", "address or a URL"),
        ("web/x", "address or a URL"),
        ("xn--zz--zz.example", "U-label"),
        ("xn--a.example", "U-label"),
        ("ab--cd.example", "RFC 5890"),
        ("web!.internal", "letters, digits and hyphens"),
        ("web%2einternal", "letters, digits and hyphens"),
        ("\u202ebew.internal", "A-labels"),
        ("\ud800.internal", "A-labels"),
        ("☃.example", "A-labels"),
        ("a@b", "letters, digits and hyphens"),
    ],
)
def test_dns_names_are_refused_with_their_rule(text, rule):
    refused = _refusal(DNS, text)
    assert rule in refused.detail
    assert len(refused.detail) < 400


@pytest.mark.parametrize(
    "text",
    [
        "127.1",
        "0177.0.0.1",
        "10.0.0.01",
        "10.0.0.256",
        "10.0.0",
        "fe80::1%eth0",
        "::ffff:1.2.3.4",
        "::FFFF:102:304",
        "[::1]",
        "10.0.0.0/8",
        " 10.0.0.1",
        "10.0.0.1\n",
        "1\uff127.0.0.1",
        "",
        "web",
        "1:2:3:4:5:6:7:8:9",
        "0x7f.0.0.1",
    ],
)
def test_ip_addresses_are_refused(text):
    _refusal(IP, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "a@b@example.com",
        "alice smith@example.com",
        '"alice smith"@example.com',
        ".alice@example.com",
        "alice.@example.com",
        "al..ice@example.com",
        "älice@example.com",
        "alice@*.example.com",
        "alice@exa_mple.com",
        "alice@10.0.0.1",
        "alice@[10.0.0.1]",
        "alice@example.com\n",
        "a" * 65 + "@example.com",
        "alice@" + ".".join(["a" * 60] * 4) + ".example",
        "alice\x00@example.com",
    ],
)
def test_email_addresses_are_refused(text):
    _refusal(EMAIL, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "/relative",
        "//web/x",
        "urn:uuid:1234",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://user@web/x",
        "https://user:secret@web/x",
        "https://web/x#y#z",
        "spiffe://example.internal/web#x",
        "https://web/x y",
        "https://web/\n",
        "https://web/ü",
        "https://web/%zz",
        "https://web/%",
        "https://web/a\\b",
        "https://web/a<b",
        "https://web/../x",
        "https://web/./x",
        "https://web/%2e%2E/x",
        "https://web:0/",
        "https://web:65536/",
        "https://web:/",
        "https://web:08/",
        "https://we_b/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://[::ffff:1.2.3.4]/",
        "https://*.example.internal/",
        "1https://web/",
        "spiffe:///web",
        "spiffe://prod:8443/web",
        "spiffe://prod/web?x=1",
        "spiffe://prod/web/",
        "spiffe://prod//web",
        "spiffe://prod/a%2fb",
        "spiffe://prod/web%20x",
        "spiffe://prod/a/../b",
        "https://web/" + "a" * 2048,
    ],
)
def test_uris_are_refused(text):
    _refusal(URI, text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("web.example.internal", DNS),
        ("redis", DNS),
        ("*.example.internal", DNS),
        ("10.0.0.1", IP),
        ("2001:db8::1", IP),
        ("::1", IP),
        ("alice@example.com", EMAIL),
        ("spiffe://prod/web", URI),
        ("https://web.example/a@b", URI),
    ],
)
def test_type_is_told_by_the_look(text, kind):
    assert identifiers.parse_any(text).type is kind


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("web:8443", "DNS name 'web:8443' is an address or a URL"),
        ("10.0.0.1:8443", "DNS name"),
        ("fe80::1%eth0", "IP address"),
        ("127.1", "IP address"),
        ("[::1]", "IP address"),
        ("", "DNS name '' is empty"),
        ("a@b@c", "e-mail address"),
        ("https://", "URI"),
    ],
)
def test_refusal_names_what_the_text_looked_like(text, what):
    with pytest.raises(Error) as refused:
        identifiers.parse_any(text)
    assert refused.value.detail.startswith(what)


def test_several_names_keep_their_order_without_repetition():
    found = identifiers.parse_all(["b.internal", "10.0.0.1", "B.internal.", "a.internal"])
    assert [str(name) for name in found] == ["b.internal", "10.0.0.1", "a.internal"]


def test_refused_names_are_told_all_at_once():
    with pytest.raises(Error) as refused:
        identifiers.parse_all(["ok.internal", "a_b", "c d", "com", "e..f"])
    assert [sub.kind for sub in refused.value.subproblems] == [Kind.REJECTED_IDENTIFIER] * 4
    assert "4 names are refused" in refused.value.detail
    assert "1 more" in refused.value.detail


def test_one_refused_name_is_the_refusal():
    with pytest.raises(Error) as refused:
        identifiers.parse_all(["ok.internal", "a_b"])
    assert refused.value.subproblems == ()
    assert "'a-b'" in refused.value.hint


def test_names_have_a_bound():
    with pytest.raises(Error) as refused:
        identifiers.parse_all(f"h{number}" for number in range(identifiers.MAX_NAMES + 1))
    assert refused.value.kind is Kind.TOO_LARGE


NAMES = [
    (Identifier(DNS, "*.example.internal"), x509.DNSName("*.example.internal")),
    (Identifier(DNS, "redis"), x509.DNSName("redis")),
    (Identifier(IP, "10.0.0.1"), x509.IPAddress(ipaddress.ip_address("10.0.0.1"))),
    (Identifier(IP, "2001:db8::1"), x509.IPAddress(ipaddress.ip_address("2001:db8::1"))),
    (Identifier(EMAIL, "alice@example.com"), x509.RFC822Name("alice@example.com")),
    (Identifier(URI, "spiffe://prod/web"), x509.UniformResourceIdentifier("spiffe://prod/web")),
]


def test_general_names_are_what_cryptography_encodes():
    encoded = der.sequence(*[general_names.general_name(name) for name, _ in NAMES])
    expected = x509.SubjectAlternativeName([general for _, general in NAMES])
    assert encoded == expected.public_bytes()
    assert [general_names.from_general_name(name) for name in expected] == [
        name for name, _ in NAMES
    ]


@pytest.mark.parametrize(("identifier", "_general"), NAMES)
def test_general_names_go_both_ways(identifier, _general):
    encoded = general_names.general_name(identifier)
    tag, start, end = der.read(encoded)
    assert general_names.parse_general_name(tag, encoded[start:end]) == identifier


@pytest.mark.parametrize(
    ("tag", "content", "word"),
    [
        (0xA0, b"", "otherName"),
        (0xA4, b"", "directoryName"),
        (0x88, b"\x2a", "registeredID"),
        (0x30, b"", "0x30"),
        (0x87, b"\x0a\0\0", "3 octets"),
        (0x87, bytes(8), "8 octets"),
        (0x87, bytes(10) + b"\xff\xff" + bytes(4), "disguise"),
        (0x82, "bücher.example".encode(), "not ASCII"),
        (0x82, b"web\0.internal", "control character"),
        (0x82, b"web.internal\0.evil.example", "control character"),
        (0x81, b"alice", "exactly one"),
    ],
)
def test_hostile_general_names_are_refused(tag, content, word):
    with pytest.raises(Error) as refused:
        general_names.parse_general_name(tag, content)
    assert refused.value.kind is Kind.REJECTED_IDENTIFIER
    assert word in refused.value.detail


def test_other_general_names_of_cryptography_are_refused_by_name():
    with pytest.raises(Error, match="RegisteredID"):
        general_names.from_general_name(x509.RegisteredID(x509.ObjectIdentifier("1.2.3")))


@quick
@given(st.ip_addresses())
def test_every_address_is_canonical_or_refused(address):
    try:
        found = identifiers.parse(IP, str(address))
    except Error:
        assert address.ipv4_mapped is not None
    else:
        assert found == identifiers.parse_any(found.value)
        assert ipaddress.ip_address(found.value) == address


@quick
@given(st.from_regex(r"[a-z0-9-]{1,12}(\.[a-z0-9-]{1,12}){0,4}", fullmatch=True))
def test_fast_and_slow_reading_of_dns_names_agree(text):
    """A name in capitals with a trailing dot is the same name, or refused alike."""

    def read(spelling):
        try:
            return identifiers.parse(DNS, spelling)
        except Error as error:
            return error.kind

    assert read(text) == read(text.upper() + ".")
