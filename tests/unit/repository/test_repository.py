"""The repository: public, signed, plain."""

from __future__ import annotations

import pytest
from cryptography import x509

from mintmark.model.errors import Error, Kind
from mintmark.model.time import DAY
from mintmark.protocol.repository.routes import Repository
from mintmark.publication.crl import publish_if_due
from mintmark.wire import pem
from mintmark.wire.http import Peer, Request
from tests.unit.rest.world import World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.run(publish_if_due(made.authority, DAY, changed=False))
    yield made
    made.close()


@pytest.fixture
def get(world):
    repository = Repository(world.authority)

    def ask(path, method="GET", **headers):
        request = Request(method, path, "", headers, b"", Peer("127.0.0.1"))
        return world.run(repository.handle(request))

    return ask


def issuer(world):
    return world.authority.issuing.issuer


def test_a_crl_comes_in_der_and_pem(world, get):
    der = get(f"/crl/{issuer(world).id}.crl")
    text = get(f"/crl/{issuer(world).id}.pem")

    assert der.content_type == "application/pkix-crl"
    assert x509.load_der_x509_crl(der.body) == x509.load_pem_x509_crl(text.body)


def test_all_crls_come_in_one_file(world, get):
    assert get("/crl/all.pem").body.count(b"BEGIN X509 CRL") == 1


def test_a_crl_that_is_known_is_not_sent_again(world, get):
    etag = dict(get(f"/crl/{issuer(world).id}.crl").headers)["ETag"]

    again = get(f"/crl/{issuer(world).id}.crl", **{"if-none-match": etag})

    assert (again.status, again.body) == (304, b"")


def test_a_new_crl_shows_within_a_second(world, get):
    get(f"/crl/{issuer(world).id}.crl")
    world.run(publish_if_due(world.authority, DAY, changed=True))
    world.clock.now += 1

    crl = x509.load_der_x509_crl(get(f"/crl/{issuer(world).id}.crl").body)

    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2


def test_issuers_and_roots_are_there(world, get):
    assert get(f"/issuer/{issuer(world).id}.cer").body == issuer(world).der
    assert get("/roots.pem").body == pem.certificate(issuer(world).root)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/crl/",
        "/crl/0000000000000000.crl",
        "/crl/../mintmark.yaml",
        "/issuer/key.pem",
        "/intermediate/key.pem",
        "/api/v1/certificates/",
    ],
)
def test_anything_else_is_not_found(get, path):
    assert get(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed_here(get, method):
    answer = get("/roots.pem", method)

    assert answer.status == 405
    assert ("Allow", "GET, HEAD") in answer.headers


def test_health_says_when_the_store_is_away(world, get, monkeypatch):
    assert get("/health").status == 200

    async def away(_):
        raise Error(Kind.UNAVAILABLE, "the database is away")

    monkeypatch.setattr(type(world.store), "latest_checkpoint", away)
    assert get("/health").status == 503


@pytest.mark.parametrize("path", ["/crl/all.pem", "/crl/{}.pem", "/crl/{}.crl"])
def test_everybody_who_reads_a_crl_reads_the_same_octets(world, get, path):
    """A list of a million is 50 MB; a copy for each slow reader would be all of the memory."""
    path = path.format(issuer(world).id)
    first = get(path).body
    world.clock.now += 2  # the store is asked again

    assert get(path).body is first


@pytest.mark.parametrize("path", ["/crl/all.pem", "/crl/{}.pem"])
def test_a_new_crl_is_armored_anew(world, get, path):
    path = path.format(issuer(world).id)
    before = get(path).body
    world.run(publish_if_due(world.authority, DAY, changed=True))
    world.clock.now += 1

    number = x509.load_pem_x509_crl(get(path).body).extensions.get_extension_for_class(
        x509.CRLNumber
    )

    assert before != get(path).body
    assert number.value.crl_number == 2
