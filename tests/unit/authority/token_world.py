"""An authority with provisioners of every type, and whoever makes tokens for it."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mintmark.authority.issuance.approval import SEAL, SSHApproval
from mintmark.authority.issuance.ssh import draft_ssh, issue_ssh, new_nonce, new_ssh_serial
from mintmark.authority.issuance.ssh_keys import SSHIssuingKey, SSHKeys
from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.limits import Limits
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer.file import FileSigner
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import Purpose, Verified, requester_from_jwt
from mintmark.model.access import Operation, ServiceRule
from mintmark.model.act import Act, AuditRecord
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.profile import BUILT_IN, PEER
from mintmark.model.provisioner import (
    ACMEProvisioner,
    JWKProvisioner,
    OIDCProvisioner,
    ProviderKeys,
    SSHPOPProvisioner,
    X5CProvisioner,
)
from mintmark.model.ssh import (
    SSH_HOST,
    SSH_USER,
    Generation,
    SSHAuthority,
    SSHCertificate,
    SSHCertificateType,
    SSHProfile,
)
from mintmark.model.time import HOUR
from mintmark.wire import jose, jwt
from mintmark.wire.spki import subject_key
from mintmark.wire.ssh.key import from_public_key
from tests import pki

HOST = "ca.example.internal"
ISSUER = "https://idp.example.internal"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
PROVIDER_KEY = ec.generate_private_key(ec.SECP256R1())
WEB = ServiceRule("web", frozenset({Operation.RENEW}))
STRANGER = ec.generate_private_key(ec.SECP256R1())


def document(key, **more) -> dict[str, Any]:
    """Return a key's public JWK."""
    return jose.jwk_of(key.public_key()).document() | more


SERVICES = JWKProvisioner("services", json.dumps(document(KEY)))
OTHERS = JWKProvisioner("others", json.dumps(document(OTHER_KEY)))
PEOPLE = OIDCProvisioner("people", ISSUER, "mintmark", admins=("root@example.com",))
MACHINES = X5CProvisioner("machines")
HOSTS = SSHPOPProvisioner("hosts")
PROVISIONERS = (SERVICES, OTHERS, PEOPLE, MACHINES, HOSTS, ACMEProvisioner("acme"))


class Providers:
    """OpenID providers without a network."""

    def __init__(self) -> None:
        self.held = [document(PROVIDER_KEY, kid="one")]
        self.rolled_over = None  # what the provider has when it is asked anew
        self.missing = []
        self.down = False

    async def keys(self, provisioner, *, missing=""):
        if self.down:
            raise Error(Kind.UNAVAILABLE, f"the provider of '{provisioner.name}' is down")
        if missing:
            self.missing.append(missing)
            self.held = self.rolled_over or self.held
        return ProviderKeys(ISSUER, tuple(self.held))


class World:
    """One authority, and the tokens that are made for it."""

    def __init__(self, store, clock, run, provisioners=PROVISIONERS) -> None:
        self.store, self.clock, self.run = store, clock, run
        self.providers = Providers()
        self.hierarchy = pki.pki(now=int(clock()) - HOUR)
        issuer = self.hierarchy.issuer
        run(store.add_issuer(issuer, self.act()))
        keys = [self._ssh_key(number, type_) for number, type_ in enumerate(SSHCertificateType)]
        self.ssh = SSHKeys(tuple(keys), tuple(key.authority for key in keys))
        profiles = {profile.name: profile for profile in BUILT_IN}
        self.authority = Authority(
            store=store,
            issuing=self.hierarchy.issuing,
            issuers=(issuer,),
            policy=Policy.of(profiles, Whitelist([WEB]), (issuer,), 60, provisioners),
            limits=Limits(1000, None),
            clock=clock,
            entropy=pki.entropy,
            names=(HOST, "127.0.0.1", "::1"),
            ssh=self.ssh,
            providers=self.providers,
        )

    def provision(self, *provisioners) -> None:
        """Put other provisioners in force."""
        self.authority.policy = self.authority.policy.with_provisioners(provisioners)

    def _ssh_key(self, number, type_) -> SSHIssuingKey:
        private = pki.private_key(KeyType.EC_P256, 60 + number)
        public = from_public_key(private.public_key())
        authority = SSHAuthority(public.sha256.hex()[:16], type_, public, Generation.ACTIVE)
        self.run(self.store.add_ssh_authority(authority, self.act()))
        return SSHIssuingKey(authority, FileSigner(private))

    def act(self, **more) -> Act:
        """Return an act of no meaning of its own."""
        return Act(AuditRecord("test", self.clock(), "test"), **more)

    def ask(self, text: str, purpose: Purpose = Purpose.SIGN) -> Verified:
        """Present a token."""
        return self.run(requester_from_jwt(self.authority, text, purpose, "192.0.2.1"))

    def refused(self, text: str, purpose: Purpose = Purpose.SIGN) -> Error:
        """Present a token that has to be refused, and return how."""
        try:
            verified = self.ask(text, purpose)
        except Error as error:
            return error
        raise AssertionError(f"it was taken: {verified}")

    def burn(self, verified: Verified) -> None:
        """Commit an act that uses the token up."""
        self.run(self.store.commit(self.act(burns=verified.requester.burns)))

    def claims(self, **claims) -> dict[str, Any]:
        """Return what a step client says; None leaves a claim out."""
        now = int(self.clock())
        said = {
            "iss": "services",
            "sub": "web.example.internal",
            "aud": f"https://{HOST}:8443/1.0/sign",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": pki.entropy(32).hex(),
        }
        return {name: value for name, value in (said | claims).items() if value is not None}

    def token(self, *, key=KEY, header=None, **claims) -> str:
        """Return a token of a JWK provisioner."""
        head = {"kid": jose.jwk_of(key.public_key()).key_id} | (header or {})
        return jwt.sign(head, self.claims(**claims), key)

    def id_token(self, *, key=PROVIDER_KEY, kid="one", **claims) -> str:
        """Return an ID token."""
        said = {
            "iss": ISSUER,
            "aud": "mintmark",
            "sub": "a1",
            "email": "alice@example.com",
            "email_verified": True,
            "nonce": pki.entropy(16).hex(),
            "nbf": None,
            "jti": None,
        }
        header = {"kid": kid} if kid else {}
        return jwt.sign(header, self.claims(**(said | claims)), key)

    def x5c(self, key, *chain: bytes, header="x5c", **claims) -> str:
        """Return a token signed by a certificate's key."""
        said = {"iss": "machines", "aud": f"https://{HOST}/1.0/sign#x5c/machines"}
        encoded = [base64.b64encode(der).decode() for der in chain]
        return jwt.sign({header: encoded}, self.claims(**(said | claims)), key)

    def renewal(self, key, leaf: Certificate, **claims) -> str:
        """Return a renewal token."""
        said = {
            "iss": "step-ca-client/1.0",
            "aud": f"https://{HOST}/renew",
            "sub": leaf.common_name,
            "jti": None,
        }
        chain = (leaf.der, self.hierarchy.issuer.der)
        return self.x5c(key, *chain, header="x5cInsecure", **(said | claims))

    def possession(self, key, certificate: SSHCertificate, method="renew", **claims) -> str:
        """Return an SSHPOP token."""
        said = {
            "iss": "hosts",
            "aud": f"https://{HOST}/1.0/ssh/{method}#sshpop/hosts",
            "sub": str(certificate.number),
        }
        header = {"sshpop": base64.b64encode(certificate.der).decode()}
        return jwt.sign(header, self.claims(**(said | claims)), key)

    def leaf(self, key, *names, profile=PEER, service="web", stored=True, **more) -> Certificate:
        """Return an X.509 certificate of ours."""
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        now = int(self.clock())
        more = {"not_before": now - 60, "not_after": now + HOUR} | more
        leaf = pki.leaf(
            self.hierarchy.issuing,
            *(names or ("web.example.internal",)),
            profile=profile,
            subject=subject_key(spki),
            service=service,
            **more,
        )
        if stored:
            self.run(self.store.commit(self.act(certificate=leaf)))
        return leaf

    def ssh_certificate(
        self,
        key,
        *principals,
        profile: SSHProfile = SSH_HOST,
        service="jwk.services.web",
        stored=True,
        signer: SSHIssuingKey | None = None,
        after=-60,
        before=HOUR,
    ) -> SSHCertificate:
        """Return an SSH certificate of ours."""
        signer = signer or self.ssh.active(profile.type)
        now = int(self.clock())
        approval = SSHApproval(
            service=service,
            profile=profile,
            key=from_public_key(key.public_key()),
            key_id="web",
            principals=principals or ("web.example.internal",),
            valid_after=now + after,
            valid_before=now + before,
            authority=signer.authority.id,
            replaces=None,
            metadata=None,
            seal=SEAL,
        )
        serial, nonce = new_ssh_serial(pki.entropy), new_nonce(pki.entropy)
        certificate = issue_ssh(draft_ssh(approval, signer, serial, nonce), signer)
        if stored:
            self.run(self.store.commit(self.act(certificate=certificate)))
        return certificate


__all__ = ["SSH_HOST", "SSH_USER", "World"]
