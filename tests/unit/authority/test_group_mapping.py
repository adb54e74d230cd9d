"""What groups and claims give, and to whom they give nothing."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintmark.authority.issuance.ssh_lints import principal_fault
from mintmark.authority.policy.mapping import MAX_GROUPS, entitle, person, principals_of
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import GroupMapping, Lifetimes, OIDCProvisioner, Rules
from mintmark.model.ssh import SSHCertificateType

PEOPLE = OIDCProvisioner("people", "https://idp.example.internal", "mintmark")
ALICE = {
    "sub": "a1",
    "email": "alice@example.com",
    "email_verified": True,
    "groups": ["staff", "ops"],
    "preferred_username": "alice.l",
    "department": "platform",
}


def settings(**more) -> OIDCProvisioner:
    return replace(PEOPLE, **more)


def entitled(provisioner, **claims):
    said = {name: value for name, value in (ALICE | claims).items() if value is not None}
    return entitle(provisioner, person(provisioner, said))


def refused(provisioner, **claims) -> Error:
    with pytest.raises(Error) as error:
        entitled(provisioner, **claims)
    return error.value


def test_without_mappings_principals_are_made_of_the_address():
    got = entitled(PEOPLE)
    assert got.principals == ("alice", "alice@example.com")
    assert got.profiles == PEOPLE.rules.profiles
    assert got.ssh_profiles == PEOPLE.rules.ssh_profiles
    assert not got.admin


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        ("alice@example.com", ("alice", "alice@example.com")),
        ("Alice.Liddell@example.com",
         ("aliceliddell", "Alice.Liddell", "Alice.Liddell@example.com")),
        ("a+b@example.com", ("a_b", "a+b", "a+b@example.com")),
        ("deploy", ("deploy",)),
        ("web.example.internal", ("webexampleinternal", "web.example.internal")),
        ("*@example.com", ("_",)),
        ("a,root", ("a_root",)),
        ("ro.ot@example.com", ("ro.ot", "ro.ot@example.com")),
        ("root@example.com", ("root@example.com",)),
        ("ROOT@example.com", ("ROOT", "ROOT@example.com")),
        ("root", ()),
        ("", ()),
        ("@", ("@",)),
    ],
)  # fmt: skip
def test_a_subject_stands_for_login_names(subject, names):
    assert principals_of(subject) == names


@given(st.text(max_size=300))
def test_whatever_the_subject_says_every_principal_is_one_and_none_is_root(subject):
    for name in principals_of(subject):
        assert name != "root"
        assert not principal_fault(SSHCertificateType.USER, name)


@pytest.mark.parametrize("verified", [False, None, "true", "True", 1, 1.0, ["true"], {}])
def test_an_address_that_is_not_verified_counts_for_nothing(verified):
    assert entitled(PEOPLE, email_verified=verified).principals == ()
    assert not entitled(settings(admins=("alice@example.com",)), email_verified=verified).admin
    gate = settings(domains=("example.com",))
    assert "not verified" in refused(gate, email_verified=verified).detail
    mapping = settings(mappings=(GroupMapping(principals=("{email.local}", "{email}")),))
    assert entitled(mapping, email_verified=verified).principals == ()
    claim = settings(required_claims={"email": ("alice@example.com",)})
    assert refused(claim, email_verified=verified).kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    "email",
    [
        "alice@evil-example.com",
        "alice@example.com.evil.test",
        "alice@sub.example.com",
        "alice@example.com@evil.test",
        "alice@evil.test@example.com",
        '"alice@example.com"@evil.test',
        "alice@evil.test\n@example.com",
        "alice@example.com\n",
        "alice@example.com,bob@evil.test",
        "@example.com",
        "alice@",
        "example.com",
        "",
        None,
        5,
        ["alice@example.com"],
        {"alice@example.com": 1},
    ],
)
def test_only_the_whole_domain_of_one_address_opens_the_gate(email):
    assert refused(settings(domains=("example.com",)), email=email).kind is Kind.FORBIDDEN


@pytest.mark.parametrize("email", ["alice@example.com", "alice@EXAMPLE.com", "a.b+c@Example.Com"])
def test_a_domain_is_compared_without_regard_to_case(email):
    assert entitled(settings(domains=("Example.com",)), email=email)


def test_a_group_opens_the_gate():
    assert entitled(settings(groups=("ops", "root-admins")))
    error = refused(settings(groups=("ops", "dba")), groups=["staff", "Ops", "ops "])
    assert error.kind is Kind.FORBIDDEN
    assert "dba, ops" in error.detail


@pytest.mark.parametrize("groups", ["ops", {"ops": 1}, 5, ["ops", 5], ["ops", ["dba"]], True])
def test_groups_that_are_no_list_of_texts_are_refused(groups):
    assert refused(settings(groups=("ops",)), groups=groups).kind is Kind.BAD_TOKEN
    assert entitled(PEOPLE, groups=groups)  # who asks for no group does not look


@pytest.mark.parametrize("groups", [None, []])
def test_nobody_without_groups_passes_a_gate_of_groups(groups):
    assert refused(settings(groups=("ops",)), groups=groups).kind is Kind.FORBIDDEN


def test_a_huge_list_of_groups_is_looked_at_once():
    gate = settings(
        groups=tuple(f"open-{number}" for number in range(1000)),
        mappings=tuple(
            GroupMapping(groups=(f"open-{number}",), principals=(f"p{number}",))
            for number in range(1000)
        ),
    )
    groups = [f"group-{number}" for number in range(MAX_GROUPS - 1)] + ["open-999"]
    began = time.process_time()
    assert entitled(gate, groups=groups).principals == ("p999",)
    assert time.process_time() - began < 0.5
    assert refused(gate, groups=[*groups, "one-more"]).kind is Kind.BAD_TOKEN
    assert refused(gate, groups=["x"] * 100_000).kind is Kind.BAD_TOKEN


def test_a_refusal_lists_a_few_groups_only():
    gate = settings(groups=tuple(f"group-{number:04}" for number in range(5000)))
    detail = refused(gate).detail
    assert "and 4990 more" in detail
    assert len(detail) < 400


@pytest.mark.parametrize(
    ("required", "claims"),
    [
        ({"department": ("platform", "ops")}, {}),
        ({"roles": ("ca",)}, {"roles": ["x", "ca"]}),
        ({"employee": ("true",)}, {"employee": True}),
        ({"level": ("3",)}, {"level": 3}),
        ({"email": ("alice@example.com",)}, {}),
    ],
)
def test_a_required_claim_opens_the_gate(required, claims):
    assert entitled(settings(required_claims=required), **claims)


@pytest.mark.parametrize(
    "claims",
    [
        {"department": None},
        {"department": "Platform"},
        {"department": "platform-guests"},
        {"department": {"platform": 1}},
        {"department": [["platform"]]},
        {"department": 10**400},
    ],
)
def test_a_required_claim_is_compared_as_it_is(claims):
    error = refused(settings(required_claims={"department": ("platform",)}), **claims)
    assert error.kind is Kind.FORBIDDEN
    assert "platform" in error.detail


def test_every_mapping_that_fits_adds_up_and_the_shortest_lifetime_holds():
    provisioner = settings(
        mappings=(
            GroupMapping(("staff",), principals=("{email.local}",), ssh_profiles=("ssh-user",),
                         lifetime=57600),
            GroupMapping(("ops", "dba"), principals=("deploy", "root"), profiles=("client",),
                         lifetime=3600),
            GroupMapping(("dba",), principals=("postgres",), lifetime=60),
            GroupMapping(claims={"department": "platform"}, principals=("{preferred_username}",)),
            GroupMapping(claims={"department": "sales"}, principals=("crm",)),
        ),
        rules=Rules(profiles=("peer", "client")),
    )  # fmt: skip
    got = entitled(provisioner)
    assert got.principals == ("alice", "deploy", "root", "alice.l")
    assert (got.profiles, got.ssh_profiles) == (("client",), ("ssh-user",))
    assert got.lifetime == 3600
    assert got.within(Lifetimes(300, 86400, 57600)) == Lifetimes(300, 3600, 3600)
    assert got.within(Lifetimes(7200, 86400, 57600)) == Lifetimes(3600, 3600, 3600)


def test_somebody_whom_no_mapping_fits_gets_nothing_and_hears_what_would_do():
    provisioner = settings(
        mappings=(
            GroupMapping(("dba",), principals=("postgres",)),
            GroupMapping(claims={"contract": "signed"}, principals=("x",)),
        )
    )
    error = refused(provisioner)
    assert error.kind is Kind.FORBIDDEN
    assert "dba" in error.detail
    assert "contract" in error.detail
    assert "signed" not in error.detail


def test_mappings_give_no_profile_that_the_rules_do_not_have():
    mapping = GroupMapping(("staff",), profiles=("server", "peer"), ssh_profiles=("ssh-root",))
    got = entitled(settings(mappings=(mapping,)))
    assert (got.profiles, got.ssh_profiles) == (("peer",), ())


@pytest.mark.parametrize("admins", [("alice@example.com",), ("ops",), ("nobody", "ops")])
def test_admins_are_known_by_address_or_group(admins):
    got = entitled(settings(admins=admins, mappings=(GroupMapping(("dba",)),)))
    assert got.admin
    assert got.profiles == PEOPLE.rules.profiles


@pytest.mark.parametrize("admins", [("alice",), ("Alice@example.com",), ("op",), ("",), ("a1",)])
def test_nothing_near_an_admin_is_one(admins):
    assert not entitled(settings(admins=admins)).admin
    assert not entitled(settings(admins=admins), email=None, groups=[]).admin


def test_admins_pass_the_same_gates():
    gate = settings(admins=("ops",), groups=("dba",))
    assert refused(gate).kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    ("template", "claims", "principal"),
    [
        ("{preferred_username}", {}, "alice.l"),
        ("adm-{preferred_username}", {}, "adm-alice.l"),
        ("{email.local}-{department}", {}, "alice-platform"),
        ("root", {}, "root"),
        ("{preferred_username}", {"preferred_username": "root"}, None),
        ("{a}{b}", {"a": "ro", "b": "ot"}, None),
        ("{missing}", {}, None),
        ("x{missing}", {}, None),
        ("{groups}", {}, None),
        ("{department}", {"department": ["root"]}, None),
        ("{department}", {"department": {"root": 1}}, None),
        ("{department}", {"department": 5}, None),
        ("{department}", {"department": ""}, None),
        ("{department}", {"department": "{preferred_username}"}, "{preferred_username}"),
        ("{email.domain}", {}, None),
        ("{__class__}", {}, None),
        ("{0}", {}, None),
        ("{}", {}, None),
        ("{department!r}", {}, None),
        ("{department:>99999999}", {}, None),
    ],
)
def test_templates_take_texts_of_claims_and_nothing_else(template, claims, principal):
    got = entitled(settings(mappings=(GroupMapping(principals=(template,)),)), **claims)
    assert got.principals == ((principal,) if principal else ())
