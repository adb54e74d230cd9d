"""A small authority with its API, driven in process: for the tests of the API and its client."""

from __future__ import annotations

import asyncio
import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mintmark.authority.issuance.hierarchy import (
    Subject,
    issuer_from_chain,
    make_intermediate,
    make_root,
)
from mintmark.authority.issuance.issuing import IssuingKey, Pointers
from mintmark.authority.issuance.ssh_keys import SSHIssuingKey, SSHKeys
from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.limits import Limits
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer.file import FileSigner, generate
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.issue import issue
from mintmark.authority.workflow.ssh import issue_ssh
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.act import Act, AuditRecord
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.keys import KeyType
from mintmark.model.profile import BUILT_IN
from mintmark.model.provisioner import (
    ACMEProvisioner,
    JWKProvisioner,
    OIDCProvisioner,
    SSHPOPProvisioner,
)
from mintmark.model.request import IssuanceRequest
from mintmark.model.ssh import (
    Generation,
    SSHAuthority,
    SSHCertificate,
    SSHCertificateType,
    SSHRequest,
)
from mintmark.protocol.rest.api import RestAPI
from mintmark.server.settings import Codec
from mintmark.store.sqlite import SQLiteStore
from mintmark.wire import jose, jwt
from mintmark.wire.http import Peer, Request
from mintmark.wire.identifiers import parse_any
from mintmark.wire.spki import subject_key
from mintmark.wire.ssh.key import from_public_key, line
from tests import replies
from tests.databases import empty_sqlite

ALL = frozenset(Operation) - {Operation.ADMIN}
ADMIN = ServiceRule("admin-cli", frozenset(Operation))
RULES = (
    ADMIN,
    ServiceRule(
        "webapp",
        ALL,
        names=("*.webapp.internal", "10.0.0.0/8"),
        profiles=(*(profile.name for profile in BUILT_IN), "ssh-user", "ssh-host"),
        principals=("webapp", "webapp-*"),
    ),
    ServiceRule("db", ALL, names=("*.db.internal",), principals=("db",)),
    ServiceRule("reader", frozenset({Operation.DOWNLOAD})),
    ServiceRule("writer", frozenset({Operation.REQUEST, Operation.RENEW, Operation.REVOKE})),
    ServiceRule("busy", ALL, certificates_per_hour=1),
    ServiceRule("single", ALL, max_certificates=1),
)
LOCAL = Requester("admin-cli", ADMIN, Credential.LOCAL)
NOW = 1_800_000_000.0
HOST = "ca.example.internal"
DEPLOY_KEY = ec.generate_private_key(ec.SECP256R1())
DEPLOY = JWKProvisioner(
    "deploy", json_module.dumps(jose.jwk_of(DEPLOY_KEY.public_key()).document())
)
PEOPLE = OIDCProvisioner(
    "people", "https://dex.internal", "mintmark", "public", listen_address=":0"
)


@dataclass
class Clock:
    """A clock that stands still until it is told otherwise."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


class Reply(replies.Reply):
    """A response of the API."""

    def problem(self, status: int, kind: str) -> dict[str, Any]:
        """Assert that this is a problem of a kind, and return it."""
        problem = self.problem_of_type(f"urn:mintmark:error:{kind}")
        assert self.status == status, problem
        return problem


class World:
    """One authority, its store in a directory, and its API.

    Args:
        directory: where the database goes.
    """

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.entropy = _Entropy()
        self.store = SQLiteStore(empty_sqlite(directory / "mintmark.db"), self.clock)
        self.run(self.store.open())
        self.authority = self._authority()
        self.api = RestAPI(self.authority, Codec())

    def _authority(self) -> Authority:
        self.root_key = generate(KeyType.EC_P256)
        root_signer = FileSigner(self.root_key)
        signer = FileSigner(generate(KeyType.EC_P256))
        root = make_root(root_signer, Subject("Test Root"), clock=self.clock, entropy=self.entropy)
        intermediate = make_intermediate(
            root_signer,
            root,
            subject_key(signer.spki),
            Subject("Test Issuing CA"),
            clock=self.clock,
            entropy=self.entropy,
        )
        issuer = issuer_from_chain(intermediate, (), root)
        self.run(self.store.add_issuer(issuer, Act(AuditRecord("issuer.add", self.clock(), "ca"))))
        policy = Policy.of(
            {profile.name: profile for profile in BUILT_IN},
            Whitelist(RULES),
            (issuer,),
            60,
            (
                ACMEProvisioner("acme"),
                ACMEProvisioner("other"),
                DEPLOY,
                PEOPLE,
                SSHPOPProvisioner("pop"),
            ),
        )
        return Authority(
            store=self.store,
            issuing=IssuingKey(issuer, signer, Pointers(("http://crl.internal/1.crl",))),
            issuers=(issuer,),
            policy=policy,
            limits=Limits(100, 10_000),
            clock=self.clock,
            entropy=self.entropy,
            secret=bytes(range(32)),
            names=(HOST,),
            ssh=self._ssh_keys(),
        )

    def _ssh_keys(self) -> SSHKeys:
        keys = []
        for type_ in SSHCertificateType:
            private_key = generate(KeyType.ED25519)
            key = from_public_key(private_key.public_key())
            authority = SSHAuthority(key.sha256.hex()[:16], type_, key, Generation.ACTIVE)
            act = Act(AuditRecord("ssh.authority.add", self.clock(), "ca"))
            self.run(self.store.add_ssh_authority(authority, act))
            keys.append(SSHIssuingKey(authority, FileSigner(private_key)))
        return SSHKeys(tuple(keys), tuple(one.authority for one in keys))

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(coroutine)

    def close(self) -> None:
        """Close store and loop."""
        self.run(self.store.close())
        self.loop.close()

    def certificate(self, service: str, *names: str, profile: str = "peer") -> Certificate:
        """Return a new certificate of a service, issued past the API."""
        identifiers = tuple(parse_any(name) for name in names or (service,))
        spki = generate(KeyType.EC_P256).public_key()
        request = IssuanceRequest(
            service,
            profile,
            subject_key(
                spki.public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            ),
            identifiers,
            names[0] if names else service,
        )
        return self.run(issue(self.authority, LOCAL, request))

    def ssh_certificate(
        self, service: str, *principals: str, key: Any = None, host: bool = False
    ) -> SSHCertificate:
        """Return a new SSH certificate of a service, issued past the API."""
        request = SSHRequest(
            service,
            "ssh-host" if host else "ssh-user",
            from_public_key((key or generate(KeyType.ED25519)).public_key()),
            principals=principals or (service,),
        )
        return self.run(issue_ssh(self.authority, LOCAL, request)).certificate

    def jwt(
        self,
        subject: str,
        method: str = "sign",
        *,
        key: Any = DEPLOY_KEY,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token of provisioner `deploy`, or what `header` and `claims` make of it."""
        now = int(self.clock())
        said = {
            "iss": "deploy",
            "aud": f"https://{HOST}/1.0/{method}",
            "sub": subject,
            "jti": self.entropy(16).hex(),
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            **claims,
        }
        head = header or {"kid": jose.jwk_of(key.public_key()).key_id}
        return jwt.sign({"typ": "JWT", **head}, said, key)

    def peer(self, service: str) -> Peer:
        """Return a connection on which a service presents a new certificate."""
        return Peer("127.0.0.1", self.certificate(service).der, "TLSv1.3")

    def token(self, service: str, *names: str, profile: str | None = None) -> str:
        """Return a one-time token for a service."""
        wish = {"service_name": service, "names": list(names), "profile": profile}
        reply = self.ask("POST", "/tokens", peer=local_peer(), json=wish)
        assert reply.status == 201, reply.body
        return reply.json["token"]

    def stored(self, certificate_id: str) -> StoredCertificate:
        """Return what the store knows of a certificate."""
        found = self.run(self.store.certificate(bytes.fromhex(certificate_id[5:])))
        assert found is not None
        return found

    def request(
        self,
        method: str,
        path: str,
        *,
        peer: Peer | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        body: bytes | None = None,
    ) -> Request:
        """Return a request below /api/v1 as a connection would make it."""
        sent = dict(headers or {})
        if json is not None:
            body = json_module.dumps(json).encode()
        if body:
            sent.setdefault("content-type", "application/json")
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        path, _, query = path.partition("?")
        peer = Peer("127.0.0.1") if peer is None else peer
        return Request(method, f"/api/v1{path}", query, sent, body or b"", peer)

    def ask(self, method: str, path: str, **request: Any) -> Reply:
        """Send a request and return the reply."""
        return Reply(self.run(self.api.handle(self.request(method, path, **request))))


class _Entropy:
    """Octets that never repeat and are the same in every run."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        digest = hashes.Hash(hashes.SHA512())
        digest.update(self._count.to_bytes(8, "big"))
        return digest.finalize()[:size]


def local_peer() -> Peer:
    """Return the peer of a caller in this process, an admin."""
    return Peer("", memo={"requester": LOCAL})


def csr(common_name: str = "", *names: str, key: Any = None) -> str:
    """Return a CSR, PEM."""
    key = key or generate(KeyType.EC_P256)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    algorithm = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    request = builder.sign(key, algorithm or hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def public_key_line(key: Any = None) -> str:
    """Return a public key as one line of a .pub file."""
    return line(from_public_key((key or generate(KeyType.ED25519)).public_key()))
