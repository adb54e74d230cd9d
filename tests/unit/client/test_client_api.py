"""The client's typed calls, against the API in this process."""

from __future__ import annotations

import msgspec
import pytest
from cryptography import x509

from mintmark.client.api import APIClient, refusal
from mintmark.client.documents import (
    CertificateRequest,
    RekeyRequest,
    RenewalRequest,
    TokenRequest,
)
from mintmark.client.transport import Answer
from mintmark.model.errors import Error, Kind
from mintmark.wire.http import Peer
from tests.unit.rest.world import World, csr, local_peer


class InProcess:
    """Carries requests to the API in this process."""

    def __init__(self, world, peer):
        self.world, self.peer = world, peer

    def request(self, method, path, json=None, headers=None):
        reply = self.world.ask(
            method,
            path.removeprefix("/api/v1"),
            peer=self.peer,
            body=None if json is None else msgspec.json.encode(json),
            headers=headers,
        )
        return Answer(reply.status, reply.headers, reply.body)

    def close(self):
        pass


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("authority"))
    yield made
    made.close()


@pytest.fixture
def client(world):
    return APIClient(InProcess(world, local_peer()))


def test_a_certificate_goes_through_its_life(client):
    issued = client.request_certificate(
        CertificateRequest(service_name="lifelong", csr=csr("lifelong"), metadata={"owner": "us"})
    )
    assert client.certificate("lifelong").certificate_id == issued.certificate_id
    renewed = client.renew("lifelong", RenewalRequest(lifetime="30d"))
    assert renewed.replaces == issued.certificate_id
    rekeyed = client.rekey(renewed.certificate_id, RekeyRequest(key_type="ed25519"))
    assert rekeyed.private_key
    revocation = client.revoke(rekeyed.certificate_id, "superseded")
    assert revocation.revocation_reason == "superseded"
    assert client.check_serial(rekeyed.serial_number).revoked
    assert client.certificate(rekeyed.certificate_id).status == "revoked"


def test_a_list_walks_over_all_pages(client, world, monkeypatch):
    ids = [world.certificate("many").id for _ in range(5)]
    monkeypatch.setattr("mintmark.client.api.PAGE", 2)
    assert [one.certificate_id for one in client.list(service="many")] == ids[::-1]
    assert [one.certificate_id for one in client.list(service="many", limit=3)] == ids[:1:-1]
    assert list(client.list(service="many", limit=0)) == []


def test_the_audit_log_walks_over_all_pages(client, world, monkeypatch):
    for _ in range(5):
        world.certificate("walked")
    monkeypatch.setattr("mintmark.client.api.PAGE", 2)
    entries = list(client.audit(limit=5))
    assert len({entry.id for entry in entries}) == 5
    assert msgspec.json.decode(entries[0].record)["action"] == "certificate.request"


def test_a_token_asks_for_its_certificate(client, world):
    made = client.token(TokenRequest(service_name="tokened", names=["tokened.internal"]))
    enrolling = APIClient(InProcess(world, Peer("127.0.0.1")), token=made.token)
    wish = CertificateRequest(csr=csr("tokened.internal"))
    issued = enrolling.request_certificate(wish, idempotency_key="k")
    again = enrolling.request_certificate(wish, idempotency_key="k")
    assert again.certificate_id == issued.certificate_id


def test_downloads_are_bytes(client, world):
    certificate = world.certificate("loaded")
    assert client.download(certificate.id, "der") == certificate.der
    assert x509.load_pem_x509_certificate(client.download("loaded"))
    assert client.download("loaded", "pkcs12", password="x y")


def test_what_everybody_may_read_is_typed(client):
    assert client.health().status == "ok"
    assert client.version().api == "v1"
    assert client.issuers()[0].active
    assert client.roots()[0].name == "Test Root"


def test_a_missing_crl_is_not_found(client):
    with pytest.raises(Error, match="no CRL") as caught:
        client.crl(form="der")
    assert caught.value.kind is Kind.NOT_FOUND


def test_a_refusal_comes_back_as_it_was_raised(client):
    with pytest.raises(Error) as caught:
        client.request_certificate(
            CertificateRequest(csr=csr(), san_dns=["a.com", "*.internal", "*.other"])
        )
    error = caught.value
    assert error.kind is Kind.REJECTED_IDENTIFIER
    assert len(error.subproblems) == 2
    assert error.subproblems[0].kind is Kind.REJECTED_IDENTIFIER
    assert error.hint


@pytest.mark.parametrize("name", [".", "..", ""])
def test_a_name_that_would_be_another_path_is_not_sent(client, name):
    with pytest.raises(Error) as caught:
        client.revoke(name)
    assert caught.value.kind is Kind.NOT_FOUND


def test_slashes_in_a_name_are_encoded(client):
    with pytest.raises(Error):
        client.certificate("../../audit")


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_comes_back(kind):
    from mintmark.wire.problem import KIND_STATUS, problem

    error = Error(kind, "no", hint="try", retry_after=3)
    answer = Answer(KIND_STATUS[kind], {"retry-after": "3"}, problem(error))
    read = refusal(answer)
    withheld = kind in {Kind.CONFIGURATION, Kind.INTERNAL}
    assert read.kind is (Kind.INTERNAL if withheld else kind)
    assert read.retry_after == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(502, Kind.UNAVAILABLE), (403, Kind.FORBIDDEN), (418, Kind.INTERNAL)]
)
def test_an_answer_of_a_proxy_is_told_by_its_status(status, kind):
    read = refusal(Answer(status, {"retry-after": "soon"}, b"<html>no</html>"))
    assert (read.kind, read.retry_after) == (kind, None)


def test_an_answer_that_cannot_be_read_is_said_so():
    class Odd:
        def request(self, method, path, json=None, headers=None):
            return Answer(200, {}, b"{}")

    with pytest.raises(Error, match="cannot be read"):
        APIClient(Odd()).health()


def test_fields_of_a_newer_server_are_ignored():
    class Newer:
        def request(self, method, path, json=None, headers=None):
            return Answer(200, {}, b'{"version": "9", "api": "v1", "extra": []}')

    assert APIClient(Newer()).version().version == "9"
