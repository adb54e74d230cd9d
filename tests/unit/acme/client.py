"""An ACME client and a small authority with its ACME servers, driven in process.

The client speaks to `ACMEServer.handle`; the validator is a table of outcomes. Everything a
client can get wrong on purpose is an argument of `sign`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import structs

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.workflow import secrets
from mintmark.authority.workflow.authority import Authority
from mintmark.model.acme import ExternalKey
from mintmark.model.act import Act
from mintmark.model.provisioner import ACMEProvisioner
from mintmark.protocol.acme.background import Validations
from mintmark.protocol.acme.server import ACMEServer
from mintmark.protocol.acme.validation.outcome import Failed, Validated
from mintmark.wire import jose
from mintmark.wire.http import Peer, Request
from tests import authorities, pki, replies

HOST = "ca.example.internal:8443"
PROVISIONERS = (ACMEProvisioner("acme"), ACMEProvisioner("other"))


class FakeValidator:
    """Says what the test says: `outcomes` by identifier, else that the challenge is met."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Any] = {}
        self.seen: list[tuple[Any, ...]] = []
        self.gate: asyncio.Event | None = None

    async def validate(self, challenge, identifier, wildcard, token, thumbprint, account_url):
        self.seen.append((challenge, identifier, wildcard, token, thumbprint, account_url))
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        outcome = self.outcomes.get(identifier.value, Validated("fake"))
        return outcome.pop(0) if isinstance(outcome, list) else outcome


def failed(kind: str = "unauthorized", detail: str = "the file was not there") -> Failed:
    return Failed(kind, detail)


class World:
    """One authority with its ACME servers; `server()` makes further ones on the same store."""

    def __init__(self, store, clock, run, provisioners=PROVISIONERS) -> None:
        self.run, self.clock, self.store = run, clock, store
        self.hierarchy = pki.pki(now=int(clock()) - 1000)
        self.validator = FakeValidator()
        self.authority = self._authority(provisioners)
        self.validations = None
        self.acme = self.server()

    def _authority(self, provisioners) -> Authority:
        return authorities.small(
            self.store,
            self.clock,
            self.run,
            self.hierarchy,
            provisioners,
            seed=4,
            per_hour=100,
        )

    def server(self, store=None, patience: float = 0.5) -> ACMEServer:
        """Return another server of the same authority, as another process has it."""
        authority = replace(self.authority, store=store or self.store)
        authority.entropy = pki.Entropy(len(self.validator.seen) + 17 * id(authority))
        self.validations = Validations(authority, self.validator, 10, patience)

        async def make() -> ACMEServer:
            return ACMEServer(authority, self.validations, ("ca.example",))

        return self.run(make())

    def provision(self, *provisioners: ACMEProvisioner) -> None:
        """Put other provisioners in force, as a reload of the configuration does."""
        old = self.authority.policy
        self.authority.policy = Policy.of(
            old.profiles, Whitelist(), self.authority.issuers, 60, provisioners
        )
        self.acme = self.server()

    def client(self, key: Any = None, **options: Any) -> Client:
        """Return a client that has an account."""
        client = Client(self, key or ECKey.generate_key("P-256"), **options)
        reply = client.post("new-account", {"termsOfServiceAgreed": True})
        assert reply.status in (200, 201), reply.body
        client.kid = reply.headers["location"]
        return client

    def stranger(self, key: Any = None, **options: Any) -> Client:
        """Return a client without an account."""
        return Client(self, key or ECKey.generate_key("P-256"), **options)

    def external_key(self, name: str = "kid-1", *, provisioner: str = "acme") -> bytes:
        """Make an external account key and return its HMAC key."""
        hmac_key = b"0123456789abcdef" * 2
        sealed = secrets.seal(self.authority, secrets.EXTERNAL_KEYS, hmac_key, name)
        key = ExternalKey(name, provisioner, sealed, "test", int(self.clock()))
        self.run(self.store.commit(Act(changes=(key,))))
        return hmac_key


class Reply(replies.Reply):
    """A response of the ACME server."""

    @property
    def links(self) -> dict[str, str]:
        values = [value for name, value in self.response.headers if name == "Link"]
        found = [re.fullmatch(r'<([^>]*)>;rel="([a-z-]+)"', value) for value in values]
        return {one[2]: one[1] for one in found}

    def problem(self, type: str, status: int | None = None) -> dict[str, Any]:  # noqa: A002
        """Assert that this is a problem of a type, and return it."""
        problem = self.problem_of_type(f"urn:ietf:params:acme:error:{type}")
        assert status is None or self.status == status, problem
        return problem


@dataclass
class Client:
    """One client, with one key."""

    world: World
    key: Any
    provisioner: str = "acme"
    host: str = HOST
    kid: str | None = None
    acme: ACMEServer | None = None
    address: str = "127.0.0.1"
    nonces: list[str] = field(default_factory=list)

    @property
    def server(self) -> ACMEServer:
        return self.acme or self.world.acme

    @property
    def jwk(self) -> dict[str, Any]:
        return self.key.as_dict(private=False)

    @property
    def account_id(self) -> str:
        return self.kid.rpartition("/")[2]

    def url(self, path: str) -> str:
        base = f"https://{self.host}/acme/{self.provisioner}/"
        return path if path.startswith("https:") else base + path

    # Unsigned requests.

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return self.world.run(self.send(self.plain(path, method, **headers)))

    def plain(self, path: str, method: str = "GET", **headers: str) -> Request:
        target = self.url(path).removeprefix(f"https://{self.host}")
        target, _, query = target.partition("?")
        headers = {"host": self.host} | headers
        return Request(method, target, query, headers, b"", Peer(self.address))

    def nonce(self) -> str:
        if not self.nonces:
            self.get("new-nonce", "HEAD")
        return self.nonces.pop()

    # Signed requests.

    def post(self, path: str, payload: Any = None, **options: Any) -> Reply:
        """Send a signed request; a payload of None is POST-as-GET."""
        return self.world.run(self.send(self.request(path, payload, **options)))

    def together(self, *requests: Request) -> list[Reply]:
        """Send requests at the same time."""

        async def all_of_them() -> list[Reply]:
            return await asyncio.gather(*(self.send(each) for each in requests))

        return self.world.run(all_of_them())

    def send(self, request: Request) -> Coroutine[Any, Any, Reply]:
        return self._send(request)

    async def _send(self, request: Request) -> Reply:
        reply = Reply(await self.server.handle(request))
        nonce = reply.headers.get("replay-nonce")
        assert nonce or request.method != "POST"
        if nonce:
            self.nonces.append(nonce)
        return reply

    def request(self, path: str, payload: Any = None, **options: Any) -> Request:
        body = self.sign(path, payload, **options)
        request = self.plain(options.get("sent_to", path), "POST")
        headers = {**request.headers, "content-type": "application/jose+json"}
        return structs.replace(request, headers=headers, body=json.dumps(body).encode())

    def sign(
        self,
        path: str,
        payload: Any = None,
        *,
        key: Any = None,
        kid: str | None = None,
        by_key: bool = False,
        header: Mapping[str, Any] | None = None,
        sent_to: str = "",
    ) -> dict[str, Any]:
        """Return a flattened JWS; `header` replaces members, None takes one away."""
        key = key or self.key
        members: dict[str, Any] = {
            "alg": algorithm(key),
            "nonce": None if header and "nonce" in header else self.nonce(),
            "url": self.url(path),
        }
        kid = kid or self.kid
        if kid and not by_key:
            members["kid"] = kid
        else:
            members["jwk"] = key.as_dict(private=False)
        members |= header or {}
        members = {name: value for name, value in members.items() if value is not None}
        return flattened(members, payload, key)

    # The whole way.

    def order(self, *names: str, **members: Any) -> Reply:
        return self.post("new-order", {"identifiers": identifiers(*names), **members})

    def ready(self, *names: str, challenge: str = "http-01", **members: Any) -> Any:
        """Return the URL and document of an order whose challenges are met."""
        reply = self.order(*names, **members)
        assert reply.status == 201, reply.body
        for url in reply.json["authorizations"]:
            self.meet(url, challenge)
        location = reply.headers["location"]
        document = self.post(location).json
        assert document["status"] == "ready", document
        return location, document

    def meet(self, authorization: str, type: str = "http-01") -> Reply | None:  # noqa: A002
        """Answer a challenge of an authorization, unless it is valid already."""
        found = self.post(authorization).json
        if found["status"] == "valid":
            return None
        (challenge,) = (one for one in found["challenges"] if one["type"] == type)
        return self.post(challenge["url"], {})

    def certificate(self, *names: str, challenge: str = "http-01", **members: Any) -> bytes:
        """Return a new certificate with its chain, PEM."""
        location, order = self.ready(*names, challenge=challenge, **members)
        reply = self.post(order["finalize"], csr(*names))
        assert reply.status == 200, reply.body
        assert reply.json["status"] == "valid", reply.json
        assert reply.headers["location"] == location
        download = self.post(reply.json["certificate"])
        assert download.status == 200, download.body
        return download.body


def algorithm(key: Any) -> str:
    if isinstance(key, RSAKey):
        return "RS256"
    if isinstance(key, OKPKey):
        return "EdDSA"
    return {"P-256": "ES256", "P-384": "ES384"}.get(key.as_dict()["crv"], "ES512")


def flattened(header: Mapping[str, Any], payload: Any, key: Any) -> dict[str, Any]:
    """Return a JWS over JSON; a payload of None is empty, octets stay as they are."""
    octets = payload if isinstance(payload, bytes) else b""
    if payload is not None and not isinstance(payload, bytes):
        octets = json.dumps(payload).encode()
    protected = jose.encode(json.dumps(header).encode())
    signing_input = f"{protected}.{jose.encode(octets)}".encode()
    if isinstance(key, bytes):
        mac = hmac.HMAC(key, hashes.SHA256())
        mac.update(signing_input)
        signature = mac.finalize()
    else:
        name = algorithm(key)
        signature = JWSRegistry.algorithms[name].sign(signing_input, key)
    return {
        "protected": protected,
        "payload": jose.encode(octets),
        "signature": jose.encode(signature),
    }


def identifiers(*names: str) -> list[dict[str, str]]:
    return [
        {
            "type": "ip" if re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*", name) else "dns",
            "value": name,
        }
        for name in names
    ]


def csr(*names: str, private: Any = None, common_name: str = "") -> dict[str, str]:
    """Return the payload of finalize."""
    return {"csr": jose.encode(pki.csr(private, *names, common_name=common_name))}
