"""Policy: deny by default, and say what would be accepted."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from mintmark.authority.policy.approve import Policy, approve
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.profile import BUILT_IN, SERVER
from mintmark.model.request import IssuanceRequest
from mintmark.model.time import DAY, YEAR
from tests import pki

ALL = frozenset(Operation) - {Operation.ADMIN}
WEB = ServiceRule("web", ALL, names=("*.web.internal", "10.0.0.0/8"))
ADMIN = ServiceRule("admin-cli", frozenset({Operation.ADMIN}))
ISSUER = pki.pki().issuer
WILD = replace(SERVER, name="wild", wildcards=True)
NARROW = replace(
    SERVER,
    name="narrow",
    names=("*.narrow.internal",),
    identifier_types=(IdentifierType.DNS,),
    lifetime=DAY,
    lifetime_max=2 * DAY,
)
POLICY = Policy.of(
    {profile.name: profile for profile in (*BUILT_IN, WILD, NARROW)},
    Whitelist([WEB, ADMIN]),
    (ISSUER,),
    backdate=60,
)


def web(**changes):
    return structs.replace(Requester("web", WEB, Credential.CERTIFICATE), **changes)


def admin():
    return Requester("admin-cli", ADMIN, Credential.CERTIFICATE)


def request(*names, service="web", profile="server", **changes):
    names = names or ("a.web.internal",)
    wanted = IssuanceRequest(service, profile, pki.key(), pki.identifiers(*names))
    return structs.replace(wanted, **changes)


def decide(requester, wanted, *, operation=Operation.REQUEST, issuer=ISSUER, now=pki.NOW):
    return approve(POLICY, requester, wanted, operation=operation, issuer=issuer, now=now)


def refusal(requester, wanted, **circumstances):
    with pytest.raises(Error) as refused:
        decide(requester, wanted, **circumstances)
    return refused.value


def test_a_service_gets_the_names_that_its_rule_allows():
    approval = decide(web(), request("a.web.internal", "10.1.2.3"))

    assert [str(name) for name in approval.identifiers] == ["a.web.internal", "10.1.2.3"]
    assert approval.service == "web"


def test_a_service_may_always_ask_for_its_own_id():
    rule = structs.replace(WEB, pattern="web-1", names=())

    assert decide(web(service="web-1", rule=rule), request("web-1", service="web-1"))


@pytest.mark.parametrize("name", ["web.internal", "a.b.web.internal", "db.internal", "11.0.0.1"])
def test_a_name_outside_the_rule_is_refused(name):
    refused = refusal(web(), request(name))

    assert refused.kind is Kind.REJECTED_IDENTIFIER
    assert name in refused.detail


def test_every_refused_name_is_named():
    refused = refusal(web(), request("a.web.internal", "x.example", "y.example"))

    assert [one.kind for one in refused.subproblems] == [Kind.REJECTED_IDENTIFIER] * 2
    assert "x.example" in refused.subproblems[0].detail
    assert "y.example" in refused.subproblems[1].detail


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_one_bad_name_is_refused_wherever_it_stands(data):
    """Let's Encrypt 2020: a loop over names checked one of them as often as there were names."""
    good = [f"n{number}.web.internal" for number in range(data.draw(st.integers(0, 99)))]
    place = data.draw(st.integers(0, len(good)))
    names = [*good[:place], "bad.example", *good[place:]]

    refused = refusal(web(), request(*names))

    assert refused.kind is Kind.REJECTED_IDENTIFIER
    assert "bad.example" in refused.detail
    assert "n0" not in refused.detail


def test_names_of_the_presented_certificate_may_be_asked_for_again():
    requester = web(identifiers=pki.identifiers("old.example"))

    assert decide(requester, request("old.example"))


def test_an_acme_account_gets_what_it_showed_control_of_and_nothing_else():
    account = Requester(
        "acme.acme.x", WEB, Credential.ACME, identifiers=pki.identifiers("shown.example")
    )
    rules = ServiceRule("acme.*", ALL, names=("**.example",))
    policy = replace(POLICY, whitelist=Whitelist([], [rules]))

    for name in ("other.example", "acme.acme.x"):
        wanted = request("shown.example", name, service="acme.acme.x")
        with pytest.raises(Error) as refused:
            approve(
                policy,
                account,
                wanted,
                operation=Operation.REQUEST,
                issuer=ISSUER,
                now=pki.NOW,
            )
        assert refused.value.kind is Kind.REJECTED_IDENTIFIER
        assert name in refused.value.detail


def test_a_service_without_a_rule_gets_nothing():
    stranger = Requester("x", ServiceRule("x", frozenset()), Credential.CERTIFICATE)

    assert refusal(stranger, request("x", service="x")).kind is Kind.FORBIDDEN


def test_a_service_cannot_act_for_another():
    assert refusal(web(), request("a.web.internal", service="db")).kind is Kind.FORBIDDEN


def test_an_operation_that_is_not_allowed_is_refused():
    rule = structs.replace(WEB, operations=frozenset({Operation.RENEW}))

    assert refusal(web(rule=rule), request()).kind is Kind.FORBIDDEN
    assert decide(web(rule=rule), request(), operation=Operation.RENEW)


def test_an_admin_may_ask_for_any_service_and_name():
    assert decide(admin(), request("anything.example", service="other"))


def test_even_an_admin_gets_no_unknown_profile():
    refused = refusal(admin(), request(profile="ca"))

    assert refused.kind is Kind.BAD_PROFILE
    assert "narrow" in refused.hint


def test_a_profile_of_the_operator_is_closed_to_services_that_do_not_name_it():
    open_rule = structs.replace(WEB, profiles=("narrow",), names=("*.narrow.internal",))

    assert refusal(web(), request(profile="narrow")).kind is Kind.BAD_PROFILE
    refused = refusal(web(rule=open_rule), request("a.web.internal", profile="narrow"))
    assert refused.kind is Kind.REJECTED_IDENTIFIER


def test_a_token_is_bound_to_its_profiles():
    enrolling = web(credential=Credential.TOKEN, profiles=("client",))

    assert refusal(enrolling, request()).kind is Kind.BAD_PROFILE
    assert decide(enrolling, request(profile="client"))


def test_a_wildcard_needs_a_profile_that_says_so():
    assert refusal(web(), request("*.web.internal")).kind is Kind.REJECTED_IDENTIFIER
    assert decide(admin(), request("*.web.internal", profile="wild"))


def test_a_kind_of_name_that_the_profile_does_not_carry_is_refused():
    assert refusal(admin(), request("10.0.0.1", profile="narrow")).kind is Kind.REJECTED_IDENTIFIER


def test_a_certificate_without_names_is_refused():
    assert refusal(web(), request(identifiers=())).kind is Kind.REJECTED_IDENTIFIER


def test_more_than_a_hundred_names_are_refused():
    names = [f"n{number}.web.internal" for number in range(101)]

    assert "101" in refusal(web(), request(*names)).detail


def test_a_common_name_has_to_be_one_of_the_names():
    """PostgreSQL takes the common name for the login: `postgres` must not slip in there."""
    refused = refusal(web(), request("a.web.internal", common_name="postgres"))

    assert refused.kind is Kind.REJECTED_IDENTIFIER
    assert decide(web(), request("a.web.internal", common_name="a.web.internal"))


def test_the_key_of_an_issuer_is_never_certified():
    own = pki.pki()
    policy = replace(POLICY, authority_keys=frozenset({own.issuer.spki_sha256}))
    wanted = structs.replace(request(), key=pki.subject_key(own.issuing.signer.spki))

    with pytest.raises(Error) as refused:
        approve(
            policy,
            admin(),
            wanted,
            operation=Operation.REQUEST,
            issuer=own.issuer,
            now=pki.NOW,
        )

    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


def test_validity_begins_a_little_in_the_past_and_lasts_the_default():
    approval = decide(web(), request())

    assert approval.not_before == pki.NOW - 60
    assert approval.not_after - approval.not_before == SERVER.lifetime


def test_a_life_shorter_than_the_backdating_is_not_over_when_it_begins():
    late = replace(POLICY, backdate=3600)

    approval = approve(
        late,
        web(),
        request(lifetime=600),
        operation=Operation.REQUEST,
        issuer=ISSUER,
        now=pki.NOW,
    )

    assert approval.not_before == pki.NOW - 450
    assert approval.not_after == pki.NOW + 150


@pytest.mark.parametrize("lifetime", [0, -1, 299, 398 * DAY + 1, 2**63])
def test_a_lifetime_outside_the_profile_is_refused(lifetime):
    assert refusal(web(), request(lifetime=lifetime)).kind is Kind.BAD_LIFETIME


def test_a_default_lifetime_is_cut_at_the_issuers_end():
    """Design rule 6: a leaf never outlives its issuer."""
    near = ISSUER.not_after - 30 * DAY

    assert decide(web(), request(), now=near).not_after == ISSUER.not_after


def test_a_lifetime_that_was_asked_for_is_not_cut_but_refused():
    near = ISSUER.not_after - 30 * DAY

    refused = refusal(web(), request(lifetime=60 * DAY), now=near)

    assert refused.kind is Kind.BAD_LIFETIME
    assert "outlive" in refused.detail


def test_an_issuer_that_has_ended_issues_nothing():
    assert refusal(web(), request(), now=ISSUER.not_after + 1).kind is Kind.BAD_LIFETIME


def test_validity_never_begins_before_the_issuers():
    early = ISSUER.not_before - YEAR

    approval = decide(web(), request(), now=early)

    assert approval.not_before == ISSUER.not_before
