"""The repository: public, signed, plain."""

from __future__ import annotations

import pytest
from cryptography import x509

from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.workflow.revoke import revoke
from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.model.time import DAY
from mintmark.protocol.repository.routes import Repository
from mintmark.publication.crl import publish_if_due
from mintmark.publication.krl import publish_krl
from mintmark.wire import pem
from mintmark.wire.http import Peer, Request
from mintmark.wire.ssh import certificate as wire_ssh
from mintmark.wire.ssh import key as wire_key
from mintmark.wire.ssh import krl
from tests.unit.rest.world import LOCAL, World


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


# --- SSH ---------------------------------------------------------------------------------------


def publish(world):
    async def story():
        latest = await world.store.latest_krl()
        return await publish_krl(world.authority, latest, int(world.clock()))

    return world.run(story())


def test_an_empty_krl_is_there_before_anything_is_revoked(world, get):
    publish(world)

    answer = get("/ssh/krl")

    assert (answer.status, answer.content_type) == (200, "application/octet-stream")
    assert krl.parse(answer.body)


def test_a_krl_that_is_known_is_not_sent_again(world, get):
    publish(world)
    headers = dict(get("/ssh/krl").headers)

    again = get("/ssh/krl", **{"if-none-match": headers["ETag"]})

    assert (again.status, again.body) == (304, b"")
    assert headers["Last-Modified"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    assert headers["Cache-Control"] == "public, max-age=60"


def test_a_revoked_ssh_certificate_is_on_the_next_krl_within_a_second(world, get):
    publish(world)
    before = dict(get("/ssh/krl").headers)["ETag"]
    certificate = world.ssh_certificate("webapp")
    stored = world.run(world.store.certificate(certificate.serial))
    world.run(revoke(world.authority, LOCAL, stored, Reason.SUPERSEDED))
    world.clock.now += 1
    publish(world)
    world.clock.now += 1

    answer = get("/ssh/krl", **{"if-none-match": before})

    assert answer.status == 200
    listed = krl.parse(answer.body)
    assert listed.revokes(wire_ssh.parse(certificate.der).fields)
    assert not listed.revokes(wire_ssh.parse(world.ssh_certificate("webapp").der).fields)


@pytest.mark.parametrize("type_", ["user", "host"])
def test_every_trusted_ca_key_is_told_one_on_each_line(world, get, type_):
    (line,) = get(f"/ssh/{type_}_ca.pub").body.decode().splitlines()

    (trusted,) = (one for one in world.authority.ssh.trusted if one.type.word == type_)
    assert wire_key.parse_line(line).blob == trusted.key.blob


def test_without_ssh_there_are_no_files_of_it(world, get):
    world.authority.ssh = SSHKeys()

    assert get("/ssh/krl").status == 404
    assert get("/ssh/user_ca.pub").status == 404
    assert get("/ssh/host_ca.pub").status == 404


@pytest.mark.parametrize("path", ["/ssh/user.pem", "/ssh/host.pem", "/ssh/", "/ssh/user.next.pem"])
def test_nothing_else_of_ssh_is_told(get, path):
    assert get(path).status == 404
