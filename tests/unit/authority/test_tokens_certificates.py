"""Tokens signed by certificates' keys: X5C, renewal tokens and SSHPOP."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from mintmark.authority.issuance.ssh_keys import SSHIssuingKey
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer.file import FileSigner
from mintmark.authority.workflow.renew import renew
from mintmark.authority.workflow.tokens import Purpose
from mintmark.model.access import Credential, Operation, ServiceRule
from mintmark.model.certificate import Revocation
from mintmark.model.errors import Kind
from mintmark.model.profile import CLIENT, SERVER
from mintmark.model.provisioner import Claims, JWKProvisioner, Rules, SSHPOPProvisioner
from mintmark.model.ssh import (
    SSH_USER,
    BanKind,
    Generation,
    SSHAuthority,
    SSHBan,
    SSHCertificateType,
)
from mintmark.model.status import Reason
from mintmark.model.time import HOUR
from mintmark.wire import jose, jwt
from mintmark.wire.ssh.key import from_public_key
from tests import pki
from tests.unit.authority.token_world import HOST, HOSTS, KEY, MACHINES, SERVICES, STRANGER

FORGED = "the token is not signed by a provisioner of this authority"
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())


def pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def revoke(world, certificate) -> None:
    now = int(world.clock())
    revocation = Revocation(
        certificate.serial, certificate.issuer, now, Reason.UNSPECIFIED, certificate.not_after
    )
    world.run(world.store.commit(world.act(revocations=(revocation,))))


# --- X5C ---------------------------------------------------------------------------------------


def chain(world, leaf) -> tuple[bytes, ...]:
    return leaf.der, world.hierarchy.issuer.der


def test_a_certificate_of_ours_vouches_for_its_own_names(world):
    leaf = world.leaf(LEAF_KEY, "web.example.internal", "10.0.0.1", service="web")
    verified = world.ask(world.x5c(LEAF_KEY, *chain(world, leaf)))
    requester = verified.requester
    assert requester.credential is Credential.X5C
    assert requester.service == "x5c.machines.web"
    assert [str(one) for one in requester.identifiers] == ["web.example.internal"]
    assert requester.expires_at == leaf.not_after
    assert requester.serial == leaf.serial
    assert requester.rule.operations == {Operation.REQUEST}
    assert verified.stored is None


@pytest.mark.parametrize(
    "claims", [{"sub": "root.example.internal"}, {"sans": ["web.example.internal", "admin"]}]
)
def test_a_certificate_does_not_vouch_for_names_of_others(world, claims):
    leaf = world.leaf(LEAF_KEY)
    text = world.x5c(LEAF_KEY, *chain(world, leaf), **claims)
    assert world.refused(text).kind is Kind.REJECTED_IDENTIFIER
    world.provision(replace(MACHINES, rules=Rules(names=("*.example.internal",))))
    if "sub" in claims:
        assert world.ask(text)
    else:
        assert world.refused(text).kind is Kind.REJECTED_IDENTIFIER


def test_whoever_the_token_is_for_the_service_is_the_certificates(world):
    world.provision(replace(MACHINES, rules=Rules(names=("*.example.internal",))))
    leaf = world.leaf(LEAF_KEY, service="web")
    text = world.x5c(LEAF_KEY, *chain(world, leaf), sub="alice.example.internal")
    assert world.ask(text).requester.service == "x5c.machines.web"


@pytest.mark.parametrize(
    "service", ["struck-off", "oidc.people.alice", "jwk.gone.web", "x5c.machines.web"]
)
def test_a_token_is_no_way_around_a_service_that_may_not_renew(world, service):
    """A person who left would have new certificates by the last one for ever."""
    leaf = world.leaf(LEAF_KEY, service=service)
    error = world.refused(world.x5c(LEAF_KEY, *chain(world, leaf)))
    assert error.kind is Kind.FORBIDDEN
    assert service in error.detail


@pytest.mark.parametrize("service", ["web", "jwk.services.web", "acme.acme.x4kq"])
def test_certificates_of_services_that_may_renew_sign(world, service):
    leaf = world.leaf(LEAF_KEY, service=service)
    assert world.ask(world.x5c(LEAF_KEY, *chain(world, leaf))).requester.expires_at


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    ],
)
def test_certificates_with_keys_of_every_kind_sign(world, key):  # fmt: skip
    leaf = world.leaf(key)
    assert world.ask(world.x5c(key, *chain(world, leaf)))


def test_the_signature_is_by_the_leafs_key(world):
    leaf = world.leaf(LEAF_KEY)
    assert world.refused(world.x5c(STRANGER, *chain(world, leaf))).detail == FORGED
    assert world.refused(world.x5c(KEY, *chain(world, leaf))).detail == FORGED


def test_a_certificate_that_is_not_on_record_is_not_ours(world):
    leaf = world.leaf(LEAF_KEY, stored=False)
    assert world.refused(world.x5c(LEAF_KEY, *chain(world, leaf))).detail == FORGED


def test_a_revoked_certificate_vouches_for_nothing(world):
    leaf = world.leaf(LEAF_KEY)
    revoke(world, leaf)
    error = world.refused(world.x5c(LEAF_KEY, *chain(world, leaf)))
    assert error.kind is Kind.BAD_TOKEN
    assert "revoked" in error.detail


@pytest.mark.parametrize(
    "times", [{"not_before": -7200, "not_after": -1}, {"not_before": 60, "not_after": 7200}]
)
def test_a_certificate_vouches_while_it_is_valid(world, times):  # fmt: skip
    now = int(world.clock())
    leaf = world.leaf(LEAF_KEY, **{name: now + at for name, at in times.items()})
    assert world.refused(world.x5c(LEAF_KEY, *chain(world, leaf))).detail == FORGED


def test_a_certificate_for_servers_vouches_for_nothing(world):
    leaf = world.leaf(LEAF_KEY, profile=SERVER)
    assert world.refused(world.x5c(LEAF_KEY, *chain(world, leaf))).detail == FORGED
    assert world.ask(world.x5c(LEAF_KEY, *chain(world, world.leaf(LEAF_KEY, profile=CLIENT))))


def test_an_issuer_is_no_holder_of_certificates(world):
    hierarchy = world.hierarchy
    key = pki.private_key(number=1)
    text = world.x5c(key, hierarchy.issuer.der, hierarchy.root_der)
    assert world.refused(text).detail == FORGED
    text = world.x5c(pki.private_key(number=0), hierarchy.root_der)
    assert world.refused(text).detail == FORGED


def test_a_chain_of_another_authority_leads_nowhere(world):
    other = pki.pki(now=int(world.clock()) - HOUR, number=7, name="Example")
    now = int(world.clock())
    leaf = pki.leaf(other.issuing, profile=CLIENT, subject=pki.key(number=9), not_before=now - 60,
                    not_after=now + HOUR)  # fmt: skip
    key = pki.private_key(number=9)
    for certificates in ((leaf.der,), (leaf.der, other.issuer.der),
                         (leaf.der, other.issuer.der, other.root_der),
                         (leaf.der, other.issuer.der, world.hierarchy.issuer.der)):  # fmt: skip
        text = world.x5c(key, *certificates, sub="web.example.internal")
        assert world.refused(text).detail == FORGED
    world.provision(replace(MACHINES, roots=pem(other.root_der)))
    requester = world.ask(world.x5c(key, leaf.der, other.issuer.der)).requester
    assert requester.service == "x5c.machines.web.example.internal"
    assert requester.serial is None
    ours = world.leaf(LEAF_KEY)
    assert world.refused(world.x5c(LEAF_KEY, *chain(world, ours))).detail == FORGED


def test_roots_that_are_ours_by_name_ask_for_the_record_too(world):
    world.provision(replace(MACHINES, roots=pem(world.hierarchy.root_der)))
    unknown = world.leaf(LEAF_KEY, stored=False)
    assert world.refused(world.x5c(LEAF_KEY, *chain(world, unknown))).detail == FORGED
    leaf = world.leaf(LEAF_KEY)
    assert world.ask(world.x5c(LEAF_KEY, *chain(world, leaf)))
    revoke(world, leaf)
    assert "revoked" in world.refused(world.x5c(LEAF_KEY, *chain(world, leaf))).detail


@pytest.mark.parametrize(
    "header",
    [None, "", [], {}, 5, [5], [None], [""], ["!"], ["AAAA"], ["AAAA"] * 9, [["AAAA"]],
     "MIIB", [base64.b64encode(b"\x30\x80" * 500).decode()], ["\u00e9"], [{"x": 1}]],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x5c", "x5cInsecure", "sshpop"])
def test_a_header_that_holds_no_certificates_is_refused(world, header, name):
    for issuer in ("machines", "hosts", "step-ca-client/1.0"):
        text = jwt.sign({name: header}, world.claims(iss=issuer), LEAF_KEY)
        for purpose in Purpose:
            error = world.refused(text, purpose)
            assert (error.kind, error.detail) == (Kind.BAD_TOKEN, FORGED)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "services"}, {"iss": None}, {"iss": "hosts"},
        {"aud": f"https://{HOST}/1.0/sign#x5c/others"},
        {"aud": f"https://{HOST}/1.0/sign#sshpop/machines"},
        {"aud": f"https://{HOST}/1.0/sign#machines"},
        {"aud": f"https://evil.test/1.0/sign#x5c/machines"},  # noqa: F541 - beside its likes
        {"aud": f"https://{HOST}/1.0/revoke#x5c/machines"},
        {"exp": None}, {"sub": None},
    ],
)  # fmt: skip
def test_a_certificates_token_is_for_its_provisioner(world, claims):
    leaf = world.leaf(LEAF_KEY)
    assert world.refused(world.x5c(LEAF_KEY, *chain(world, leaf), **claims)).kind is Kind.BAD_TOKEN


def test_a_certificates_token_may_name_its_provisioner_by_issuer_alone(world):
    leaf = world.leaf(LEAF_KEY)
    assert world.ask(world.x5c(LEAF_KEY, *chain(world, leaf), aud=f"https://{HOST}/sign"))


def test_a_certificates_token_is_used_once(world):
    leaf = world.leaf(LEAF_KEY)
    text = world.x5c(LEAF_KEY, *chain(world, leaf))
    world.burn(world.ask(text))
    assert "used up" in world.refused(text).detail


def test_a_certificate_revokes_what_is_its_own(world):
    leaf = world.leaf(LEAF_KEY, service="web")
    own = world.leaf(STRANGER, service="x5c.machines.web")
    foreign = world.leaf(STRANGER, service="x5c.machines.db")

    def token(certificate):
        return world.x5c(
            LEAF_KEY,
            *chain(world, leaf),
            sub=str(int.from_bytes(certificate.serial)),
            aud=f"https://{HOST}/1.0/revoke#x5c/machines",
        )

    assert world.ask(token(own), Purpose.REVOKE).stored.certificate == own
    for other in (foreign, leaf):
        assert world.refused(token(other), Purpose.REVOKE).kind is Kind.FORBIDDEN


def test_principals_of_a_certificate_are_made_of_its_names(world):
    leaf = world.leaf(LEAF_KEY, "web.example.internal", "alice@example.com")
    ssh = {"principals": ["alice", "root", "web.example.internal", "db.example.internal"]}

    def ask(step):
        text = world.x5c(LEAF_KEY, *chain(world, leaf), step={"ssh": step}, sub="x")
        return world.ask(text, Purpose.SSH_SIGN).requester.ssh

    grant = ask(ssh)
    assert grant.user_principals == ("alice",)
    assert grant.host_principals == ("web.example.internal",)
    assert grant.key_id == "web.example.internal"
    assert not grant.any_principals
    rules = Rules(names=("db.example.internal",), principals=("ro*",))
    world.provision(replace(MACHINES, rules=rules))
    grant = ask(ssh)
    assert "root" in grant.user_principals
    assert "db.example.internal" in grant.host_principals
    text = world.x5c(
        LEAF_KEY, *chain(world, leaf), step={"ssh": {"principals": ["bob"], "certType": "user"}}
    )
    assert world.refused(text, Purpose.SSH_SIGN).kind is Kind.FORBIDDEN


def test_a_certificate_of_a_host_is_no_login_of_its_name(world):
    """Whoever gets one for a host `deploy` would be the user `deploy` on every host."""
    leaf = world.leaf(LEAF_KEY, "deploy", "deploy.example.internal")
    for type_ in ("user", "host"):
        ssh = {"principals": ["deploy"], "certType": type_}
        text = world.x5c(LEAF_KEY, *chain(world, leaf), step={"ssh": ssh})
        if type_ == "host":
            assert world.ask(text, Purpose.SSH_SIGN).requester.ssh.host_principals == ("deploy",)
        else:
            assert world.refused(text, Purpose.SSH_SIGN).kind is Kind.FORBIDDEN


# --- renewal tokens ----------------------------------------------------------------------------


def test_a_certificate_is_renewed_by_its_key(world):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
    verified = world.ask(world.renewal(LEAF_KEY, leaf), Purpose.RENEW)
    assert verified.stored.certificate == leaf
    assert verified.requester.service == leaf.service
    assert verified.requester.serial == leaf.serial
    assert verified.requester.identifiers == leaf.identifiers
    assert verified.requester.may(Operation.RENEW)
    assert not verified.requester.may(Operation.REQUEST)
    assert verified.provisioner.name == "services"
    assert verified.requester.lifetimes == SERVICES.claims.tls


def test_a_certificate_of_the_whitelist_speaks_for_itself(world):
    leaf = world.leaf(LEAF_KEY, service="db")
    verified = world.ask(world.renewal(LEAF_KEY, leaf), Purpose.RENEW)
    assert verified.provisioner is None
    assert verified.requester.lifetimes is None
    assert not verified.requester.may(Operation.RENEW)  # the whitelist does not name it


@pytest.mark.parametrize(
    "operations", [{Operation.ADMIN}, {Operation.RENEW, Operation.REQUEST}, {Operation.REQUEST}]
)
def test_a_renewal_token_of_the_whitelist_is_for_renewal_alone(world, operations):
    rules = (ServiceRule("web", frozenset(operations)),)
    world.authority.policy = replace(world.authority.policy, whitelist=Whitelist(rules))
    leaf = world.leaf(LEAF_KEY, service="web")
    verified = world.ask(world.renewal(LEAF_KEY, leaf), Purpose.RENEW)
    assert not verified.requester.is_admin
    assert not verified.requester.may(Operation.REQUEST)
    if operations == {Operation.REQUEST}:
        assert not verified.requester.may(Operation.RENEW)
        return
    successor = world.run(renew(world.authority, verified.requester, verified.stored))
    assert successor.identifiers == leaf.identifiers
    assert (
        "used up"
        in world.refused(
            world.renewal(LEAF_KEY, leaf, jti=verified.claims.get("jti")), Purpose.RENEW
        ).detail
    )


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.RENEW])
def test_a_renewal_token_does_nothing_else(world, purpose):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
    text = world.renewal(LEAF_KEY, leaf, aud=f"https://{HOST}/1.0/{purpose.value}")
    assert world.refused(text, purpose).kind is Kind.BAD_TOKEN
    assert world.refused(text, Purpose.RENEW).kind is Kind.BAD_TOKEN


def test_an_expired_certificate_is_renewed_where_that_is_claimed(world, clock):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
    clock.advance(2 * HOUR)
    error = world.refused(world.renewal(LEAF_KEY, leaf), Purpose.RENEW)
    assert error.kind is Kind.BAD_TOKEN
    assert "certificate expired on" in error.detail
    late = JWKProvisioner("services", SERVICES.key, claims=Claims(renewal_after_expiry=True))
    world.provision(late)
    assert world.ask(world.renewal(LEAF_KEY, leaf), Purpose.RENEW).stored
    begun = int(clock()) - HOUR
    other = world.leaf(STRANGER, service="web", not_before=begun, not_after=begun + 600)
    assert "expired" in world.refused(world.renewal(STRANGER, other), Purpose.RENEW).detail
    revoke(world, leaf)
    assert "revoked" in world.refused(world.renewal(LEAF_KEY, leaf), Purpose.RENEW).detail


def test_a_renewal_token_is_of_a_certificate_on_record_and_its_key(world):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
    unknown = world.leaf(LEAF_KEY, service="jwk.services.web", stored=False)
    twin = world.leaf(STRANGER, service="jwk.services.web", stored=False)
    forged = structs.replace(twin, der=twin.der.replace(twin.serial, leaf.serial))
    for text in (
        world.renewal(STRANGER, leaf),
        world.renewal(LEAF_KEY, unknown),
        world.renewal(STRANGER, forged),
        world.renewal(LEAF_KEY, structs.replace(leaf, der=leaf.der + b"\0")),
        world.renewal(LEAF_KEY, structs.replace(leaf, der=leaf.der[:-1])),
        world.renewal(KEY, leaf),
    ):
        assert world.refused(text, Purpose.RENEW).detail == FORGED


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "evil"}, {"iss": None}, {"sub": "other.example.internal"}, {"sub": None},
        {"sub": ["web.example.internal"]}, {"iss": ["step-ca-client/1.0"]},
        {"iss": "others"}, {"exp": None}, {"aud": f"https://{HOST}/sign"},
        {"aud": "https://evil.test/renew"}, {"aud": f"https://{HOST}/renew#jwk/services"},
    ],
)  # fmt: skip
def test_a_renewal_token_says_whose_it_is(world, claims):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
    text = world.renewal(LEAF_KEY, leaf, **claims)
    assert world.refused(text, Purpose.RENEW).kind is Kind.BAD_TOKEN


def test_a_renewal_token_may_name_its_provisioner(world):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
    assert world.ask(world.renewal(LEAF_KEY, leaf, iss="services"), Purpose.RENEW)


def test_a_certificate_without_a_common_name_is_renewed(world):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web", common_name="")
    for subject in (None, "", "web.example.internal"):
        text = world.renewal(LEAF_KEY, leaf, sub=subject)
        assert world.ask(text, Purpose.RENEW).stored


def test_a_server_certificate_asks_for_no_renewal_by_token(world):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web", profile=SERVER)
    error = world.refused(world.renewal(LEAF_KEY, leaf), Purpose.RENEW)
    assert "not for clients" in error.detail


def test_a_renewal_token_is_used_once(world):
    leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
    text = world.renewal(LEAF_KEY, leaf)
    world.burn(world.ask(text, Purpose.RENEW))
    assert "used up" in world.refused(text, Purpose.RENEW).detail


# --- SSHPOP ------------------------------------------------------------------------------------

RENEWING = [(Purpose.SSH_RENEW, "renew"), (Purpose.SSH_REKEY, "rekey"),
            (Purpose.SSH_REVOKE, "revoke")]  # fmt: skip


@pytest.mark.parametrize(("purpose", "method"), RENEWING)
def test_an_ssh_certificate_speaks_for_itself(world, purpose, method):
    certificate = world.ssh_certificate(LEAF_KEY, "web.example.internal", "10.0.0.1")
    verified = world.ask(world.possession(LEAF_KEY, certificate, method), purpose)
    requester = verified.requester
    assert verified.stored.certificate == certificate
    assert (requester.credential, requester.service) == (Credential.SSHPOP, certificate.service)
    assert requester.serial == certificate.serial
    wanted = Operation.REVOKE if purpose is Purpose.SSH_REVOKE else Operation.RENEW
    assert requester.rule.operations == {wanted}
    assert requester.ssh.types == {SSHCertificateType.HOST}
    assert requester.ssh.host_principals == certificate.principals
    assert requester.ssh.key_id == certificate.key_id


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP521R1()),
    ],
)
def test_ssh_keys_of_every_kind_sign(world, key):  # fmt: skip
    certificate = world.ssh_certificate(key)
    assert world.ask(world.possession(key, certificate), Purpose.SSH_RENEW)


@pytest.mark.parametrize(("purpose", "method"), RENEWING)
def test_the_serial_binds_the_token_for_all_three(world, purpose, method):
    certificate = world.ssh_certificate(LEAF_KEY)
    victim = world.ssh_certificate(STRANGER, "db.example.internal", service="jwk.services.db")
    for serial in (victim.number, certificate.number + 1, f"0{certificate.number}",
                   f"+{certificate.number}", hex(certificate.number), "", None, "web"):  # fmt: skip
        sub = serial if serial is None else str(serial)
        text = world.possession(LEAF_KEY, certificate, method, sub=sub)
        assert world.refused(text, purpose).kind is Kind.BAD_TOKEN


@pytest.mark.parametrize(("purpose", "method"), RENEWING)
def test_a_token_for_one_of_the_three_is_not_for_another(world, purpose, method):
    certificate = world.ssh_certificate(LEAF_KEY)
    text = world.possession(LEAF_KEY, certificate, method)
    for other in Purpose:
        if other is not purpose:
            assert world.refused(text, other).kind is Kind.BAD_TOKEN


def test_an_ssh_certificate_signs_no_new_ones(world):
    certificate = world.ssh_certificate(LEAF_KEY)
    for purpose in (Purpose.SSH_SIGN, Purpose.SIGN):
        text = world.possession(LEAF_KEY, certificate, aud=f"https://{HOST}/1.0/{purpose.value}")
        assert world.refused(text, purpose).kind is Kind.BAD_TOKEN


def other_ca(type_: SSHCertificateType) -> SSHIssuingKey:
    private = ec.generate_private_key(ec.SECP256R1())
    public = from_public_key(private.public_key())
    authority = SSHAuthority(public.sha256.hex()[:16], type_, public, Generation.ACTIVE)
    return SSHIssuingKey(authority, FileSigner(private))


def test_an_ssh_certificate_of_another_ca_is_worth_nothing(world):
    certificate = world.ssh_certificate(
        LEAF_KEY, signer=other_ca(SSHCertificateType.HOST), stored=False
    )
    assert (
        world.refused(world.possession(LEAF_KEY, certificate), Purpose.SSH_RENEW).detail == FORGED
    )


def test_a_ca_of_hosts_vouches_for_no_user(world):
    host_key = world.ssh.active(SSHCertificateType.HOST)
    forged = replace(host_key.authority, type=SSHCertificateType.USER)
    signer = SSHIssuingKey(forged, host_key.signer)
    certificate = world.ssh_certificate(
        LEAF_KEY, "root", profile=SSH_USER, signer=signer, stored=False
    )
    assert (
        world.refused(world.possession(LEAF_KEY, certificate), Purpose.SSH_RENEW).detail == FORGED
    )


def test_an_ssh_certificate_that_is_not_on_record_is_worth_nothing(world):
    certificate = world.ssh_certificate(LEAF_KEY, stored=False)
    assert (
        world.refused(world.possession(LEAF_KEY, certificate), Purpose.SSH_RENEW).detail == FORGED
    )


def test_the_signature_is_by_the_ssh_certificates_key(world):
    certificate = world.ssh_certificate(LEAF_KEY)
    for key in (STRANGER, KEY, pki.private_key(number=61)):
        text = world.possession(key, certificate)
        assert world.refused(text, Purpose.SSH_RENEW).detail == FORGED


def test_a_bare_key_is_no_certificate(world):
    blob = from_public_key(LEAF_KEY.public_key()).blob
    header = {"sshpop": base64.b64encode(blob).decode()}
    text = jwt.sign(header, world.claims(iss="hosts"), LEAF_KEY)
    assert world.refused(text, Purpose.SSH_RENEW).detail == FORGED


def test_a_revoked_or_banned_ssh_certificate_is_worth_nothing(world):
    certificates = [world.ssh_certificate(LEAF_KEY) for _ in range(2)]
    revoke(world, certificates[0])
    error = world.refused(world.possession(LEAF_KEY, certificates[0]), Purpose.SSH_RENEW)
    assert "revoked" in error.detail
    assert world.ask(world.possession(LEAF_KEY, certificates[1]), Purpose.SSH_RENEW)
    now = int(world.clock())
    ban = SSHBan(BanKind.KEY, certificates[1].key_sha256, now, Reason.KEY_COMPROMISE)
    world.run(world.store.commit(world.act(bans=(ban,))))
    for purpose, method in RENEWING:
        text = world.possession(LEAF_KEY, certificates[1], method)
        assert "revoked" in world.refused(text, purpose).detail


def test_an_expired_ssh_certificate_is_renewed_where_that_is_claimed(world, clock):
    certificate = world.ssh_certificate(LEAF_KEY)
    clock.advance(2 * HOUR)
    error = world.refused(world.possession(LEAF_KEY, certificate), Purpose.SSH_RENEW)
    assert "certificate expired on" in error.detail
    world.provision(SSHPOPProvisioner("hosts", Claims(renewal_after_expiry=True)), SERVICES)
    assert world.ask(world.possession(LEAF_KEY, certificate), Purpose.SSH_RENEW).stored
    early = world.ssh_certificate(LEAF_KEY, after=600)
    assert "begins" in world.refused(world.possession(LEAF_KEY, early), Purpose.SSH_RENEW).detail


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "services"}, {"iss": "machines"}, {"iss": None},
        {"aud": f"https://{HOST}/1.0/ssh/renew#sshpop/others"},
        {"aud": f"https://{HOST}/1.0/ssh/renew#x5c/hosts"},
        {"aud": f"https://{HOST}/1.0/renew#sshpop/hosts"},
        {"aud": "https://evil.test/1.0/ssh/renew#sshpop/hosts"},
        {"exp": None},
    ],
)  # fmt: skip
def test_a_token_of_possession_is_for_its_provisioner(world, claims):
    certificate = world.ssh_certificate(LEAF_KEY)
    text = world.possession(LEAF_KEY, certificate, **claims)
    assert world.refused(text, Purpose.SSH_RENEW).kind is Kind.BAD_TOKEN


def test_possession_needs_a_provisioner(world):
    certificate = world.ssh_certificate(LEAF_KEY)
    text = world.possession(LEAF_KEY, certificate)
    world.provision(SERVICES, MACHINES)
    assert world.refused(text, Purpose.SSH_RENEW).detail == FORGED
    world.provision(HOSTS)
    assert world.ask(text, Purpose.SSH_RENEW)


def test_a_token_of_possession_is_used_once(world):
    certificate = world.ssh_certificate(LEAF_KEY)
    for jti in ("one", None):
        text = world.possession(LEAF_KEY, certificate, jti=jti)
        world.burn(world.ask(text, Purpose.SSH_RENEW))
        assert "used up" in world.refused(text, Purpose.SSH_RENEW).detail


def test_two_ways_to_verify_a_token_are_none(world):
    leaf = world.leaf(LEAF_KEY)
    encoded = [base64.b64encode(leaf.der).decode()]
    header = {"x5c": encoded, "x5cInsecure": encoded}
    for claims in (world.claims(iss="machines"), world.claims(iss="step-ca-client/1.0")):
        for purpose in (Purpose.SIGN, Purpose.RENEW):
            assert world.refused(jwt.sign(header, claims, LEAF_KEY), purpose).detail == FORGED
    kid = jose.jwk_of(KEY.public_key()).key_id
    text = jwt.sign({"x5c": encoded, "kid": kid}, world.claims(), KEY)
    assert world.refused(text).detail == FORGED
    assert json.loads(SERVICES.key)["kid"] == kid


# --- whatever is in the header -----------------------------------------------------------------


def test_a_certificate_of_an_unknown_version_is_refused(world):
    leaf = world.leaf(LEAF_KEY)
    der = leaf.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01", 1)
    for purpose, text in (
        (Purpose.SIGN, world.x5c(LEAF_KEY, der, world.hierarchy.issuer.der)),
        (Purpose.RENEW, world.renewal(LEAF_KEY, structs.replace(leaf, der=der))),
    ):
        assert world.refused(text, purpose).detail == FORGED


@given(place=st.integers(0, 2000), value=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_certificate_with_one_octet_changed_is_refused(world, place, value, cut):
    if not hasattr(world, "examples"):
        leaf = world.leaf(LEAF_KEY, service="jwk.services.web")
        world.examples = leaf, world.ssh_certificate(LEAF_KEY)
    leaf, certificate = world.examples
    for whole, token, purpose in (
        (leaf, lambda one: world.x5c(LEAF_KEY, *chain(world, one)), Purpose.SIGN),
        (leaf, lambda one: world.renewal(LEAF_KEY, one), Purpose.RENEW),
        (certificate, lambda one: world.possession(LEAF_KEY, one), Purpose.SSH_RENEW),
    ):
        at = place % len(whole.der)
        changed = whole.der[:at] + (b"" if cut else bytes([value])) + whole.der[at + 1 :]
        if changed != whole.der:
            text = token(structs.replace(whole, der=changed))
            assert world.refused(text, purpose).kind is Kind.BAD_TOKEN


@given(octets=st.binary(max_size=300), count=st.integers(1, 9))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_octets_that_are_no_certificate_are_refused(world, octets, count):
    encoded = base64.b64encode(octets).decode()
    for header, issuer in (
        ({"x5c": [encoded] * count}, "machines"),
        ({"x5cInsecure": [encoded] * count}, "step-ca-client/1.0"),
        ({"sshpop": encoded}, "hosts"),
    ):
        text = jwt.sign(header, world.claims(iss=issuer), LEAF_KEY)
        for purpose in (Purpose.SIGN, Purpose.RENEW, Purpose.SSH_RENEW):
            assert world.refused(text, purpose).detail == FORGED
