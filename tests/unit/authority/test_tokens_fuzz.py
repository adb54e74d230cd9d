"""Whatever a good key signs: taken, or refused in words, and never a defect."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintmark.authority.workflow.tokens import Purpose
from mintmark.model.errors import Error, Family
from mintmark.model.provisioner import GroupMapping
from tests.unit.authority.token_world import HOST, PEOPLE, PROVISIONERS, SERVICES

KEY = ec.generate_private_key(ec.SECP256R1())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20) | st.sampled_from(["services", "a1", "mintmark", "alice@example.com"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each,
                                                              max_size=3),
    max_leaves=6,
)  # fmt: skip
CLAIMS = st.dictionaries(
    st.sampled_from(
        ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sans", "step", "cnf", "azp", "nonce",
         "groups", "email", "email_verified", "department", "preferred_username", "user", "sha"]
    ),
    JSON,
    max_size=8,
)  # fmt: skip
STEP = st.fixed_dictionaries(
    {}, optional={"ssh": st.dictionaries(
        st.sampled_from(["certType", "keyID", "principals", "validAfter"]), JSON, max_size=4)}
)  # fmt: skip
ALL_GATES = replace(
    PEOPLE,
    groups=("a1",),
    admins=("alice@example.com",),
    required_claims={"department": ("a1",)},
    mappings=(GroupMapping(("a1",), {"user": "a1"}, principals=("{preferred_username}",)),),
)


@pytest.fixture
def tokens(world):
    """Return what makes tokens of every kind from claims."""
    leaf = world.leaf(KEY, service="jwk.services.web")
    ssh = world.ssh_certificate(KEY)
    world.open = replace(PEOPLE, name="open", client_id="open")
    world.provision(*(one for one in PROVISIONERS if one is not PEOPLE), ALL_GATES, world.open)
    return (
        world.token,
        world.id_token,
        lambda **claims: world.id_token(**({"aud": "open"} | claims)),
        lambda **claims: world.x5c(KEY, leaf.der, world.hierarchy.issuer.der, **claims),
        lambda **claims: world.renewal(KEY, leaf, **claims),
        lambda **claims: world.possession(KEY, ssh, **claims),
        lambda **claims: world.token(
            **({"aud": f"https://{HOST}/revoke", "sub": str(int.from_bytes(leaf.serial))} | claims)
        ),
    )


@given(claims=CLAIMS, step=STEP)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_good_key_signs_is_taken_or_refused(world, tokens, claims, step):
    for make in tokens:
        text = make(**({"step": step} | claims))
        for purpose in (Purpose.SIGN, Purpose.SSH_SIGN, Purpose.RENEW, Purpose.SSH_RENEW,
                        Purpose.REVOKE):  # fmt: skip
            try:
                verified = world.ask(text, purpose)
            except Error as error:
                assert error.kind.family is Family.REQUESTER  # noqa: PT017 - both are fine
                assert len(error.detail) < 1000  # noqa: PT017
                assert error.detail.isprintable()  # noqa: PT017
            else:
                assert verified.requester.burns is not None
                assert not verified.requester.rule.pattern.startswith("admin")


def test_the_examples_are_taken_as_they_are(world, tokens):
    jwk, gated, open_, x5c, renewal, possession, revoking = (make() for make in tokens)
    assert world.ask(jwk)
    assert world.refused(gated)
    assert world.ask(open_, Purpose.SSH_SIGN)
    assert world.ask(x5c)
    assert world.ask(renewal, Purpose.RENEW)
    assert world.ask(possession, Purpose.SSH_RENEW)
    assert world.ask(revoking, Purpose.REVOKE).stored
    assert SERVICES.name == "services"
