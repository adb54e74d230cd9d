"""Name constraints of the whole chain bind every name of a leaf (RFC 5280 §6.1, §4.2.1.10)."""

import ipaddress
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as some

from mintmark.authority.issuance.constraints import NameConstraints
from mintmark.authority.issuance.hierarchy import Constraints
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.keys import KeyType
from mintmark.wire import pem
from mintmark.wire.general_names import x509_general_name
from tests import pki

DNS, IP = x509.DNSName, x509.IPAddress
EMAIL, URI = x509.RFC822Name, x509.UniformResourceIdentifier


def authority(permitted=(), excluded=()):
    """Return a certificate of an authority with name constraints of any kind."""
    key = pki.private_key(KeyType.ED25519)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Constrained")])
    value = x509.NameConstraints(list(permitted) or None, list(excluded) or None)
    return (
        x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=1,
            not_valid_before=pki.moment(-1),
            not_valid_after=pki.moment(3650),
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(value, critical=True)
        .sign(key, None)
    )


def allowed(chain, *names, common_name=""):
    try:
        NameConstraints(chain).check(pki.identifiers(*names), common_name)
    except Error as error:
        return error.kind is not Kind.REJECTED_IDENTIFIER
    return True


def network(text):
    return IP(ipaddress.ip_network(text))


@pytest.mark.parametrize(
    ("constraint", "name", "inside"),
    [
        (DNS("example.internal"), "example.internal", True),
        (DNS("example.internal"), "a.b.example.internal", True),
        (DNS("EXAMPLE.internal"), "a.example.internal", True),
        (DNS("example.internal"), "notexample.internal", False),
        (DNS("example.internal"), "internal", False),
        (DNS("example.internal"), "example.internal.evil.test", False),
        (DNS("example.internal"), "*.example.internal", True),
        (DNS("a.example.internal"), "*.example.internal", False),
        (DNS(".example.internal"), "a.example.internal", True),
        (DNS(".example.internal"), "example.internal", False),
        (DNS(".example.internal"), "*.example.internal", True),
        (DNS(""), "any.test", True),
        (network("10.0.0.0/8"), "10.255.0.1", True),
        (network("10.0.0.0/8"), "11.0.0.1", False),
        (network("10.0.0.0/8"), "2001:db8::1", False),
        (network("2001:db8::/32"), "2001:db8::1", True),
        (network("2001:db8::/32"), "2001:db9::1", False),
        (network("0.0.0.0/0"), "192.0.2.1", True),
        (network("0.0.0.0/0"), "2001:db8::1", False),
        (EMAIL("ops@example.internal"), "ops@example.internal", True),
        (EMAIL("ops@example.internal"), "dev@example.internal", False),
        (EMAIL("example.internal"), "dev@example.internal", True),
        (EMAIL("example.internal"), "dev@mail.example.internal", False),
        (EMAIL(".example.internal"), "dev@mail.example.internal", True),
        (EMAIL(".example.internal"), "dev@example.internal", False),
        (URI("example.internal"), "https://example.internal/a", True),
        (URI("example.internal"), "https://a.example.internal/a", False),
        (URI(".example.internal"), "https://a.example.internal:8443/", True),
        (URI("example.internal"), "spiffe://example.internal/ns/web", True),
        (URI("example.internal"), "spiffe://evil.test/example.internal", False),
        (URI("example.internal"), "https://192.0.2.1/", False),
    ],
    ids=str,
)
def test_permitted_names_are_those_inside(constraint, name, inside):
    assert allowed([authority(permitted=[constraint])], name) is inside


@pytest.mark.parametrize(
    ("constraint", "name", "refused"),
    [
        (DNS("example.internal"), "example.internal", True),
        (DNS("Example.Internal"), "a.example.internal", True),
        (DNS("example.internal"), "example.test", False),
        (DNS(".example.internal"), "example.internal", True),
        (DNS("secret.example.internal"), "*.example.internal", True),
        (DNS("a.secret.example.internal"), "*.example.internal", False),
        (DNS("example.internal"), "*.a.example.internal", True),
        (DNS("other.internal"), "*.example.internal", False),
        (DNS(""), "any.test", True),
        (network("10.1.0.0/16"), "10.1.2.3", True),
        (network("10.1.0.0/16"), "10.2.2.3", False),
        (EMAIL("OPS@example.internal"), "ops@example.internal", True),
        (EMAIL("example.internal"), "any@example.internal", True),
        (URI(".example.internal"), "https://a.example.internal/", True),
        (URI(".example.internal"), "https://192.0.2.1/", True),
        (URI(".example.internal"), "https://example.test/", False),
    ],
    ids=str,
)
def test_excluded_names_are_those_that_may_be_inside(constraint, name, refused):
    assert allowed([authority(excluded=[constraint])], name) is not refused


@pytest.mark.parametrize("uri", ["urn:example:a", "https://[2001:db8::1]/", "https://[broken/"])
def test_uri_without_a_host_name_is_refused_where_uris_are_constrained(uri):
    """RFC 5280 §4.2.1.10."""
    name = Identifier(IdentifierType.URI, uri)

    for chain in ([authority(permitted=[URI("a")])], [authority(excluded=[URI("a")])]):
        with pytest.raises(Error, match="name constraints"):
            NameConstraints(chain).check([name], "")


def test_kinds_without_constraints_are_free():
    chain = [authority(permitted=[DNS("example.internal")])]

    assert allowed(chain, "192.0.2.1", "ops@example.test", "https://example.test/")


def test_every_certificate_of_the_chain_narrows():
    chain = [
        authority(permitted=[DNS("example.internal")]),
        authority(permitted=[DNS("web.example.internal"), DNS("example.test")]),
        authority(excluded=[DNS("old.web.example.internal")]),
    ]

    assert allowed(chain, "new.web.example.internal")
    assert not allowed(chain, "db.example.internal")
    assert not allowed(chain, "example.test")
    assert not allowed(chain, "old.web.example.internal")


def test_exclusion_wins_over_permission():
    chain = [authority([DNS("example.internal")], [DNS("secret.example.internal")])]

    assert allowed(chain, "web.example.internal")
    assert not allowed(chain, "a.secret.example.internal")


def test_one_bad_name_among_good_ones_is_refused():
    chain = [authority(permitted=[DNS("example.internal")])]

    assert not allowed(chain, "web.example.internal", "web.example.test")


@pytest.mark.parametrize("common_name", ["web.example.test", "WEB.EXAMPLE.TEST", "*.example.test"])
def test_common_name_that_looks_like_a_host_is_constrained(common_name):
    chain = [authority(permitted=[DNS("example.internal")])]

    assert not allowed(chain, "web.example.internal", common_name=common_name)


def test_common_name_of_a_person_is_not_a_host():
    chain = [authority(permitted=[DNS("example.internal")])]

    assert allowed(chain, "web.example.internal", common_name="Ada Lovelace")


def test_subject_is_constrained_by_directory_names():
    def name(*organizations):
        return x509.Name(
            [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, each) for each in organizations]
        )

    constraints = NameConstraints(
        [authority([x509.DirectoryName(name("Example"))], [x509.DirectoryName(name("X", "Y"))])]
    )
    constraints.check((), "", name("EXAMPLE ", "Unit"))
    constraints.check((), "", x509.Name([]))

    for outside in (name("Other"), name("X", "Y", "Z")):
        with pytest.raises(Error, match="outside the name constraints"):
            constraints.check((), "", outside)


def test_no_constraints_cost_nothing_and_bind_nothing():
    constraints = NameConstraints([x509.load_der_x509_certificate(pki.pki().root_der)])

    assert not constraints
    constraints.check(pki.identifiers("any.test"), "any.test")


def test_root_and_intermediate_both_bind_the_leaf():
    hierarchy = pki.pki(
        root_constraints=Constraints(permitted_dns=("example.internal",)),
        constraints=Constraints(permitted_dns=("web.example.internal", "example.test")),
    )
    assert pki.leaf(hierarchy.issuing, "a.web.example.internal")

    for name in ("db.example.internal", "a.example.test"):
        with pytest.raises(Error) as caught:
            pki.leaf(hierarchy.issuing, name)
        assert caught.value.kind is Kind.REJECTED_IDENTIFIER


# Names and constraints over few labels, so that they meet often.
label = some.sampled_from(("a", "b", "A", "example", "test"))
host = some.lists(label, min_size=1, max_size=4).map(".".join)
dns_constraint = some.one_of(host, host.map(lambda each: f".{each}")).map(DNS)
ip_constraint = some.sampled_from(
    ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0")
).map(network)
email_constraint = some.one_of(
    host, host.map(lambda each: f".{each}"), host.map("a@{}".format)
).map(EMAIL)
constraint = some.one_of(dns_constraint, dns_constraint, ip_constraint, email_constraint)
name = some.one_of(
    host.map(lambda each: Identifier(IdentifierType.DNS, each.lower())),
    host.map(lambda each: Identifier(IdentifierType.DNS, f"*.{each.lower()}")),
    some.sampled_from(("10.1.2.3", "10.9.9.9", "192.0.2.7", "2001:db8::7")).map(
        lambda each: Identifier(IdentifierType.IP, each)
    ),
    host.map(lambda each: Identifier(IdentifierType.EMAIL, f"a@{each.lower()}")),
)


@settings(max_examples=60, deadline=None)
@given(
    permitted=some.lists(constraint, max_size=3),
    excluded=some.lists(constraint, max_size=2),
    names=some.lists(name, min_size=1, max_size=2, unique=True),
)
def test_openssl_accepts_what_we_accept(tmp_path_factory, permitted, excluded, names):
    """We may be stricter (excluded wildcards, case), never laxer."""
    if not permitted and not excluded:
        return
    root = authority(permitted, excluded)
    try:
        NameConstraints([root]).check(names, "")
    except Error:
        return
    key = pki.private_key(KeyType.ED25519)
    leaf = (
        x509.CertificateBuilder(
            issuer_name=root.subject,
            subject_name=x509.Name([]),
            public_key=key.public_key(),
            serial_number=2,
            not_valid_before=pki.moment(-1),
            not_valid_after=pki.moment(3650),
        )
        .add_extension(
            x509.SubjectAlternativeName([x509_general_name(each) for each in names]), critical=True
        )
        .sign(key, None)
    )
    folder = tmp_path_factory.mktemp("constraints")
    (folder / "root.pem").write_bytes(pem.certificate(root.public_bytes(Encoding.DER)))
    (folder / "leaf.pem").write_bytes(pem.certificate(leaf.public_bytes(Encoding.DER)))
    result = subprocess.run(
        ["openssl", "verify", "-attime", str(pki.NOW), "-CAfile", "root.pem", "leaf.pem"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, (permitted, excluded, names, result.stderr)
