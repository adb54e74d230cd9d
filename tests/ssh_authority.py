"""An authority with SSH CAs, for tests of policy, issuance, workflow and publication."""

from __future__ import annotations

from functools import cache

from joserfc.jwk import ECKey

from mintmark.authority.issuance.approval import SEAL, SSHApproval
from mintmark.authority.issuance.ssh_keys import SSHIssuingKey, SSHKeys
from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer.file import FileSigner
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.act import Act, AuditRecord
from mintmark.model.keys import KeyType
from mintmark.model.profile import BUILT_IN
from mintmark.model.provisioner import (
    ACMEProvisioner,
    Claims,
    JWKProvisioner,
    OIDCProvisioner,
    SSHPOPProvisioner,
)
from mintmark.model.ssh import (
    SSH_USER,
    Generation,
    SSHAuthority,
    SSHCertificateType,
    SSHProfile,
    SSHPublicKey,
)
from mintmark.wire import jose
from mintmark.wire.ssh.key import from_public_key
from tests import pki

CLAIMS = Claims()
USER, HOST = SSHCertificateType.USER, SSHCertificateType.HOST
ALL = frozenset(Operation) - {Operation.ADMIN}
ADMIN_RULE = ServiceRule("admin-cli", frozenset({Operation.ADMIN}))
DEPLOY = ServiceRule("deploy", ALL, names=("*.web.internal",), principals=("deploy-*", "backup"))
ADMIN = Requester("admin-cli", ADMIN_RULE, Credential.LOCAL)


@cache
def ca(
    type_: SSHCertificateType,
    key_type: KeyType = KeyType.EC_P256,
    generation: Generation = Generation.ACTIVE,
) -> SSHIssuingKey:
    """Return the CA key of a type, the same one in the whole process."""
    private = pki.private_key(key_type, 500 + 10 * type_.value + list(Generation).index(generation))
    public = from_public_key(private.public_key())
    id_ = public.sha256.hex()[:16]
    return SSHIssuingKey(SSHAuthority(id_, type_, public, generation), FileSigner(private))


def keys() -> SSHKeys:
    """Return active user and host CAs, and a next user CA."""
    following = ca(USER, generation=Generation.NEXT).authority
    trusted = (ca(USER).authority, ca(HOST).authority, following)
    return SSHKeys((ca(USER), ca(HOST)), trusted)


def subject(number: int = 0, key_type: KeyType = KeyType.ED25519) -> SSHPublicKey:
    """Return a subject's key."""
    return from_public_key(pki.private_key(key_type, 600 + number).public_key())


@cache
def jwk() -> str:
    """Return a public JWK, as a provisioner has it."""
    key = ECKey.import_key(pki.private_key(KeyType.EC_P256, 700).public_key())
    return jose.public_key(key.as_dict(private=False)).jwk.decode()


def provisioners(claims: Claims = CLAIMS, **rules: object) -> tuple[object, ...]:
    """Return a provisioner of each type that tests look at."""
    return (
        ACMEProvisioner("acme"),
        JWKProvisioner("ops", jwk(), claims=claims, **rules),
        OIDCProvisioner("corp", "https://id.example", "mintmark", claims=claims, **rules),
        SSHPOPProvisioner("pop"),
    )


def policy(
    *rules: ServiceRule,
    given: tuple[object, ...] | None = None,
    ssh_profiles: tuple[SSHProfile, ...] = (),
    issuers: tuple[object, ...] = (),
) -> Policy:
    """Return a policy with provisioners and a few services."""
    return Policy.of(
        {profile.name: profile for profile in BUILT_IN},
        Whitelist((ADMIN_RULE, DEPLOY, *rules)),
        issuers or (pki.pki().issuer,),
        60,
        provisioners() if given is None else given,
        ssh_profiles,
    )


def equip(world, **options: object) -> None:
    """Give a test's authority SSH CAs and the policy of these tests."""
    authority = world.authority
    authority.ssh = keys()
    authority.policy = policy(issuers=authority.issuers, **options)
    for type_ in SSHCertificateType:
        act = Act(AuditRecord("ssh.authority.add", world.clock(), "ca"))
        world.run(world.store.add_ssh_authority(ca(type_).authority, act))


def approval(type_: SSHCertificateType = USER, **changes: object) -> SSHApproval:
    """Return an approval past policy, for whoever tests what comes behind it."""
    is_user = type_ is USER
    host = SSHProfile("ssh-host", HOST)
    facts = {
        "service": "deploy",
        "profile": SSH_USER if is_user else host,
        "key": subject(),
        "key_id": "deploy",
        "principals": ("deploy-1",) if is_user else ("a.web.internal",),
        "valid_after": pki.NOW - 60,
        "valid_before": pki.NOW + 3600,
        "authority": ca(type_).authority.id,
        "replaces": None,
        "metadata": None,
    }
    return SSHApproval(**(facts | changes), seal=SEAL)
