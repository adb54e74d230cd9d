"""The certificates that mintmark itself lives by: its server's and its administrator's.

They are issued by the same workflow as all others, linted, stored and audited; only the rules
are its own, so that a whitelist or profile of the operator cannot lock the server out of its
own certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mintmark.authority.issuance.hierarchy import issuer_from_chain
from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.limits import Limits
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer.file import plain_pkcs8
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.issue import issue
from mintmark.model.access import Credential, Requester
from mintmark.model.certificate import Certificate
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.profile import BUILT_IN
from mintmark.model.request import IssuanceRequest
from mintmark.model.time import DAY
from mintmark.server.settings import ADMIN, Settings
from mintmark.wire import identifiers, pem
from mintmark.wire.spki import subject_key

SERVER_SERVICE = "mintmark-server"
ADMIN_LIFETIME = 365 * DAY

LOCAL_ADMIN = Requester(
    service=ADMIN.service_id,
    rule=ADMIN.rule(ADMIN.service_id),
    credential=Credential.LOCAL,
)
"""Who can open the authority's directory and its keys: nobody could stop them anyway."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A fresh key with its certificate.

    Args:
        key_pem: PKCS #8, not encrypted: a server has to start by itself.
        certificate: as issued and stored.
    """

    key_pem: bytes
    certificate: Certificate


async def server_certificate(authority: Authority, settings: Settings) -> OwnCertificate:
    """Issue the certificate of our HTTPS port for the configured names."""
    names = tuple(dict.fromkeys(identifiers.parse_any(name) for name in settings.server.names))
    lifetime = settings.issuer.server_certificate_lifetime
    return await _issue(authority, SERVER_SERVICE, "server", names, lifetime)


async def admin_certificate(authority: Authority) -> OwnCertificate:
    """Issue the client certificate with which the command line speaks to the server.

    Its name is a SPIFFE ID in a trust domain named after the root: an administrator is no
    host, and an intermediate whose DNS names are constrained can certify it all the same.
    """
    root_der = authority.issuing.issuer.root
    root = issuer_from_chain(root_der, (), root_der).id
    names = (Identifier(IdentifierType.URI, f"spiffe://{root}/{ADMIN.service_id}"),)
    return await _issue(authority, ADMIN.service_id, "client", names, ADMIN_LIFETIME)


async def _issue(
    authority: Authority,
    service: str,
    profile: str,
    names: tuple[Identifier, ...],
    lifetime: int,
) -> OwnCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    room = authority.issuing.issuer.not_after - int(authority.clock())
    name = names[0]
    is_short = len(name.value) <= 64  # RFC 5280 appendix A.1
    request = IssuanceRequest(
        service=service,
        profile=profile,
        key=subject_key(_spki(key)),
        identifiers=names,
        common_name=name.value if name.type is not IdentifierType.URI and is_short else "",
        lifetime=min(lifetime, room),
    )
    certificate = await issue(_own_rules(authority), LOCAL_ADMIN, request)
    return OwnCertificate(pem.private_key(plain_pkcs8(key)), certificate)


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _own_rules(authority: Authority) -> Authority:
    profiles = {profile.name: profile for profile in BUILT_IN}
    policy = Policy.of(profiles, Whitelist(), authority.issuers, authority.policy.backdate)
    return replace(authority, policy=policy, limits=Limits(None, None))
