"""SIGKILL while an order is under way: polling, validation and issuance go on after it."""

from __future__ import annotations

import http.client
import http.server
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from joserfc.jwk import ECKey

from mintmark.store.interface import CertificateFilter
from tests.endurance.servers import Server, make
from tests.interop.programs import free_port, until
from tests.unit.acme.client import csr, flattened, identifiers

pytestmark = pytest.mark.endurance
SEED = 20261122
ADDRESS = "127.0.0.1"


class ACMEClient:
    """An ACME client that opens a connection for each request, so that kills do not matter."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.key = ECKey.generate_key("P-256")
        self.origin = f"https://localhost:{server.authority.https_port}"
        self.kid = ""
        self.nonce = ""

    def register(self) -> None:
        self.kid = self.post("/acme/acme/new-account", {})[0]["location"]

    def post(self, url: str, payload: Any = None) -> tuple[dict[str, str], Any]:
        """Send a signed request; return headers and document."""
        path = url.removeprefix(self.origin)
        nonce, self.nonce = self.nonce or self.send("HEAD", "/acme/acme/new-nonce")[1], ""
        header = {"alg": "ES256", "nonce": nonce, "url": self.origin + path}
        header |= {"kid": self.kid} if self.kid else {"jwk": self.key.as_dict(private=False)}
        body = json.dumps(flattened(header, payload, self.key))
        status, self.nonce, headers, octets = self.send("POST", path, body)
        assert status < 400, octets
        is_json = headers["content-type"] == "application/json"
        return headers, json.loads(octets) if is_json else octets

    def send(
        self, method: str, path: str, body: str | None = None
    ) -> tuple[int, str, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection(
            "localhost",
            self.server.authority.https_port,
            timeout=30,
            context=self.server.context(),
        )
        try:
            connection.request(method, path, body, {"Content-Type": "application/jose+json"})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, headers.get("replay-nonce", ""), headers, answer.read()
        finally:
            connection.close()

    def order(self) -> tuple[str, Any]:
        headers, document = self.post("/acme/acme/new-order", {"identifiers": identifiers(ADDRESS)})
        return headers["location"], document

    def answer_challenge(self, order: Any) -> tuple[str, bytes]:
        """Answer the http-01 challenge; return its status and what has to be served."""
        _, authorization = self.post(order["authorizations"][0])
        (one,) = (each for each in authorization["challenges"] if each["type"] == "http-01")
        _, answer = self.post(one["url"], {})
        return answer["status"], f"{one['token']}.{self.key.thumbprint()}".encode()


@contextmanager
def serving_challenges(port: int, octets: bytes) -> Iterator[None]:
    """Answer every path with a key authorization."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((ADDRESS, port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture
def challenge_port() -> int:
    """The port at which challenges are validated."""
    return free_port()


@pytest.fixture(params=[1, 2])
def server(request, place, challenge_port) -> Iterator[Server]:
    """A server of one process, or of two."""
    made = make(place, workers=request.param)
    file = made.directory.settings_file
    file.write_text(f"{file.read_text()}\nacme: {{validation: {{http_port: {challenge_port}}}}}\n")
    made.start()
    yield made
    made.stop()


def test_validation_goes_on_after_a_kill(server, challenge_port):
    client = ACMEClient(server)
    client.register()
    location, order = client.order()
    status, octets = client.answer_challenge(order)
    assert status == "processing"  # nobody answers there yet

    server.kill()
    server.start()

    with serving_challenges(challenge_port, octets):
        until(lambda: client.post(location)[1]["status"] == "ready", "a ready order", seconds=30)
    _, order = client.post(order["finalize"], csr(ADDRESS))
    assert client.post(order["certificate"])[1].startswith(b"-----BEGIN CERTIFICATE")


def test_order_finalized_through_kills_has_one_certificate(server, challenge_port):
    chance = random.Random(SEED)
    client = ACMEClient(server)
    client.register()
    location, order = client.order()
    _, octets = client.answer_challenge(order)
    with serving_challenges(challenge_port, octets):
        until(lambda: client.post(location)[1]["status"] == "ready", "a ready order", seconds=30)
    orders = 6

    for _ in range(orders):
        location, order = client.order()
        assert order["status"] == "ready"
        finalizing = threading.Thread(target=finalize, args=(client, order))
        finalizing.start()
        time.sleep(chance.uniform(0.0, 0.03))  # the moment of the fault
        server.kill()
        finalizing.join()
        server.start()

        _, order = client.post(location)
        if order["status"] == "ready":
            _, order = client.post(order["finalize"], csr(ADDRESS))
        assert order["status"] == "valid"
        assert client.post(order["certificate"])[1].startswith(b"-----BEGIN CERTIFICATE")

    assert issued(server, client) == orders
    server.prove()


def finalize(client: ACMEClient, order: Any) -> None:
    """Send a CSR to a server that dies meanwhile."""
    with suppress(OSError, http.client.HTTPException):
        client.post(order["finalize"], csr(ADDRESS))


def issued(server: Server, client: ACMEClient) -> int:
    """Return how many certificates the account has."""
    service = f"acme.acme.{client.kid.rpartition('/')[2]}"
    wanted = CertificateFilter(now=int(time.time()), service=service)
    return len(server.with_store(lambda store: store.certificates(wanted, after=None, limit=100)))
