"""A step client and a small authority with its step server, driven in process.

The client makes its tokens as `step` does; whatever it can get wrong on purpose is an argument.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mintmark.authority.issuance.ssh_keys import SSHIssuingKey, SSHKeys
from mintmark.authority.signer.file import FileSigner
from mintmark.authority.workflow.authority import Authority
from mintmark.model.act import Act, AuditRecord
from mintmark.model.keys import KeyType
from mintmark.model.provisioner import (
    ACMEProvisioner,
    Claims,
    JWKProvisioner,
    Lifetimes,
    OIDCProvisioner,
    SSHPOPProvisioner,
    TokenProvisioner,
)
from mintmark.model.ssh import Generation, SSHAuthority, SSHCertificateType
from mintmark.model.time import HOUR, MINUTE
from mintmark.protocol.repository.routes import Repository
from mintmark.protocol.step.server import StepServer
from mintmark.wire import jose, jwt
from mintmark.wire.http import Peer, Request
from mintmark.wire.ssh import certificate as ssh_certificate
from mintmark.wire.ssh.key import from_public_key
from tests import authorities, pki, replies

HOST = "ca.example.internal"
PASSWORD = b"correct horse battery staple"
SERVICE_KEY = ec.generate_private_key(ec.SECP256R1())
SERVICES = JWKProvisioner(
    "admin",
    json.dumps(jose.jwk_of(SERVICE_KEY.public_key()).document()),
    encrypted_key="a.compact.jwe.of.five",
)
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
OTHERS = JWKProvisioner(
    "deploy",
    json.dumps(jose.jwk_of(OTHER_KEY.public_key()).document()),
    claims=Claims(
        tls=Lifetimes(MINUTE, HOUR, HOUR),
        ssh_user_renewal=True,
        renewal_after_expiry=True,
    ),
)
PEOPLE = OIDCProvisioner(
    "people", "https://dex.example.internal", "client", "public", admins=("root@example.internal",)
)
PROVISIONERS = (
    SERVICES,
    OTHERS,
    PEOPLE,
    SSHPOPProvisioner("sshpop", claims=Claims(ssh_user_renewal=True)),
    ACMEProvisioner("acme"),
    TokenProvisioner("tokens"),
)


class Reply(replies.Reply):
    """A response of the step server."""

    def done(self, status: int = 201) -> Any:
        """Assert that it succeeded, and return what it says."""
        assert self.status == status, self.body
        assert self.response.content_type == "application/json"
        return self.json

    def refused(self, status: int, message: str = "") -> str:
        """Assert that it is a refusal as step clients read it, and return its message."""
        assert self.response.content_type == "application/json", self.body
        assert self.json.keys() == {"status", "message"}
        assert (self.status, self.json["status"]) == (status, status), self.body
        assert message in self.json["message"], self.body
        return self.json["message"]


class World:
    """One authority with its step server."""

    def __init__(self, store, clock, run, provisioners=PROVISIONERS) -> None:
        self.run, self.clock, self.store = run, clock, store
        self.hierarchy = pki.pki(now=int(clock()) - 1000)
        self.authority = self._authority(provisioners)
        self.repository = Repository(self.authority)
        self.step = StepServer(self.authority, self.repository)

    def _authority(self, provisioners) -> Authority:
        return authorities.small(
            self.store,
            self.clock,
            self.run,
            self.hierarchy,
            provisioners,
            seed=5,
            per_hour=1000,
            names=(HOST, "127.0.0.1"),
            ssh=self._ssh(),
        )

    def _ssh(self) -> SSHKeys:
        keys = []
        for number, type_ in enumerate(SSHCertificateType):
            private = pki.private_key(KeyType.EC_P256, 50 + number)
            public = from_public_key(private.public_key())
            authority = SSHAuthority(public.sha256.hex()[:16], type_, public, Generation.ACTIVE)
            audit = Act(AuditRecord("ssh.authority.add", self.clock(), "ca"))
            self.run(self.store.add_ssh_authority(authority, audit))
            keys.append(SSHIssuingKey(authority, FileSigner(private)))
        return SSHKeys(tuple(keys), tuple(key.authority for key in keys))

    def without_ssh(self) -> None:
        """Take the SSH CA keys away."""
        self.authority.ssh = SSHKeys()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        peer: Peer | None = None,
        **headers: str,
    ) -> Reply:
        """Send a request and return the reply."""
        path, _, query = path.partition("?")
        octets = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method, path, query, sent, octets, peer or Peer("127.0.0.1"))
        return Reply(self.run(self.step.handle(request)))

    def get(self, path: str, **headers: str) -> Reply:
        """Ask for something public."""
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        """Post a document."""
        return self.ask("POST", path, body, **options)

    def token(
        self,
        subject: str,
        method: str = "sign",
        *,
        key: Any = SERVICE_KEY,
        issuer: str = "admin",
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token as `step ca token` makes it."""
        now = int(self.clock())
        said = {
            "aud": f"https://{HOST}:9000/1.0/{method}",
            "exp": now + 300,
            "iat": now,
            "iss": issuer,
            "jti": pki.entropy(32).hex(),
            "nbf": now,
            "sub": subject,
            **claims,
        }
        head = {"typ": "JWT", "kid": jose.jwk_of(key.public_key()).key_id} | (header or {})
        return jwt.sign(head, {k: v for k, v in said.items() if v is not None}, key)

    def sign(self, subject: str, *names: str, key: Any = None, **body: Any) -> Reply:
        """Ask for a certificate as `step ca certificate` does."""
        given = names or (subject,)
        key = key or ec.generate_private_key(ec.SECP256R1())
        token = self.token(subject, sans=[*given])
        csr = pem_csr(subject, *given, key=key)
        return self.post("/1.0/sign", {"csr": csr, "ott": token} | body)

    def ssh_token(self, subject: str, type_: str, *principals: str, **claims: Any) -> str:
        """Return a token as `step ssh certificate` makes it."""
        options = {"certType": type_, "keyID": subject, "principals": [*principals]}
        ssh = {"ssh": options | {"validAfter": "", "validBefore": ""}}
        return self.token(subject, "ssh/sign", step=ssh, **claims)

    def ssh_sign(self, subject: str, type_: str, *principals: str, **body: Any) -> Reply:
        """Ask for an SSH certificate as `step ssh certificate` does."""
        sent = {
            "publicKey": blob_of(ec.generate_private_key(ec.SECP256R1())),
            "ott": self.ssh_token(subject, type_, *principals),
            "certType": type_,
            "keyID": subject,
            "principals": [*principals],
            "validAfter": "",
            "validBefore": "",
            "identityCSR": None,
        }
        return self.post("/1.0/ssh/sign", sent | body)

    def possession(self, method: str, key: Any, certificate: str, **claims: Any) -> str:
        """Return an SSHPOP token, signed with the key of a certificate."""
        serial = ssh_fields(certificate).serial
        said = {"aud": [f"https://{HOST}/1.0/ssh/{method}#sshpop/sshpop"]} | claims
        return self.token(
            str(serial),
            key=key,
            issuer="sshpop",
            header={"sshpop": certificate, "kid": "x"},
            **said,
        )

    def renewal(self, key: Any, certificate: str, **claims: Any) -> str:
        """Return a renewal token, signed with the key of a certificate (PEM)."""
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        chain = [leaf.public_bytes(Encoding.DER), self.hierarchy.issuer.der]
        names = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        said = {"aud": f"https://{HOST}/renew", "jti": None} | claims
        return self.token(
            str(names[0].value),
            key=key,
            issuer="step-ca-client/1.0",
            header={"x5cInsecure": [base64.b64encode(der).decode() for der in chain]},
            **said,
        )


@dataclass(frozen=True)
class Holder:
    """Somebody with a key and a certificate (PEM)."""

    key: Any
    certificate: str

    @property
    def parsed(self) -> x509.Certificate:
        """The certificate."""
        return x509.load_pem_x509_certificate(self.certificate.encode())

    @property
    def serial(self) -> str:
        """Its serial, decimal."""
        return str(self.parsed.serial_number)

    @property
    def peer(self) -> Peer:
        """A connection on which it was presented."""
        return Peer("127.0.0.1", self.parsed.public_bytes(Encoding.DER), "TLSv1.3")


def holder(world: World, subject: str = "web.example.internal", **options: Any) -> Holder:
    """Return somebody who was just issued a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Holder(key, world.sign(subject, key=key, **options).done()["crt"])


def of_others(world: World, subject: str = "web.example.internal", **body: Any) -> Holder:
    """Return the same, of the provisioner that lets even expired certificates be renewed."""
    key = ec.generate_private_key(ec.SECP256R1())
    token = world.token(subject, key=OTHER_KEY, issuer="deploy")
    answer = world.post("/sign", {"csr": pem_csr(subject, subject, key=key), "ott": token} | body)
    return Holder(key, answer.done()["crt"])


def provision(world: World, *provisioners: Any) -> None:
    """Put other provisioners in force."""
    world.authority.policy = world.authority.policy.with_provisioners(provisioners)


def with_claims(settings: Any, **claims: Any) -> Any:
    """Return a provisioner with other claims."""
    return replace(settings, claims=replace(settings.claims, **claims))


def pem_csr(common_name: str, *names: str, key: Any = None) -> str:
    """Return a CSR, PEM."""
    private = key or ec.generate_private_key(ec.SECP256R1())
    request = x509.load_der_x509_csr(pki.csr(private, *names, common_name=common_name))
    return request.public_bytes(Encoding.PEM).decode()


def csr_sha256(text: str) -> str:
    """Return what a token is bound to a CSR by."""
    request = x509.load_pem_x509_csr(text.encode()).public_bytes(Encoding.DER)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(request)
    return jose.encode(digest.finalize())


def blob_of(private: Any) -> str:
    """Return an SSH public key as clients send it."""
    return base64.b64encode(from_public_key(private.public_key()).blob).decode()


def ssh_fields(certificate: str) -> ssh_certificate.Fields:
    """Return what an SSH certificate says, as clients get it."""
    return ssh_certificate.parse(base64.b64decode(certificate)).fields


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()
