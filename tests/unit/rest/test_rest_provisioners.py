"""Provisioners added, replaced, rotated and removed while the servers run."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

from mintmark.authority.policy.limits import Limits
from mintmark.authority.policy.provisioners import ACME
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.workflow import provisioners
from mintmark.authority.workflow.provisioned import Provisioned
from mintmark.authority.workflow.provisioners import Origin
from mintmark.authority.workflow.secrets import PROVISIONERS, seal
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import (
    ACMEProvisioner,
    JWKProvisioner,
    Rules,
    StoredProvisioner,
    X5CProvisioner,
)
from mintmark.model.time import HOUR
from mintmark.server.upkeep import watch_provisioners
from mintmark.store.sqlite import SQLiteStore
from mintmark.wire import jose, jwe
from tests.unit.rest.world import LOCAL, RULES, csr, local_peer

ENCRYPTED = jwe.encrypt_key(b"{}", b"password", bytes, iterations=100_000)
SECRET = "client-secret-of-the-provider"


@pytest.fixture(autouse=True)
def _unlimited(world, monkeypatch):
    monkeypatch.setattr(world.authority, "limits", Limits(None, None))


@pytest.fixture(autouse=True)
def _removed(world):
    """Without the stored provisioners of other tests."""
    yield
    for one in world.run(provisioners.listed(world.authority)):
        if one.origin is Origin.STORED:
            world.run(provisioners.remove(world.authority, LOCAL, one.name))


def ask(world, method, path="", json=None, **request):
    request.setdefault("peer", local_peer())
    return world.ask(method, f"/provisioners{path}", json=json, **request)


def jwk(name, key=None, **entry):
    key = key or ec.generate_private_key(ec.SECP256R1())
    return {"name": name, "type": "jwk", "key": jose.jwk_of(key.public_key()).document(), **entry}


def oidc(name, **entry):
    return {
        "name": name,
        "type": "oidc",
        "configuration_endpoint": "https://dex.internal",
        "client_id": name,
        **entry,
    }


def add(world, entry):
    reply = ask(world, "POST", json={"provisioner": entry})
    assert reply.status == 201, reply.body
    return reply.json


def audited(world, action):
    reply = world.ask("GET", f"/audit?action={action}&limit=1000", peer=local_peer())
    return [one["record"] for one in reply.json["records"]]


def certify(world, key, name, issuer="robots"):
    """Ask for a certificate with a token of a provisioner's key."""
    token = world.jwt(name, key=key, iss=issuer, sans=[name])
    return world.ask("POST", "/certificates/request", token=token, json={"csr": csr(name, name)})


@pytest.fixture
def other(world):
    """Another server of the same authority, on the same database."""
    store = SQLiteStore(world.store._path, world.clock)
    world.run(store.open())
    found = replace(
        world.authority,
        store=store,
        policy=world.authority.provisioned.configured or world.authority.policy,
        provisioned=Provisioned(),
    )
    world.run(provisioners.refresh(found))
    yield found
    world.run(store.close())


# --- the life of a provisioner -----------------------------------------------------------------


def test_configured_and_stored_ones_are_listed_with_their_origin(world):
    add(world, oidc("dex", groups=["a:b"]))
    listed = {one["name"]: one for one in ask(world, "GET").json["provisioners"]}
    assert listed["acme"] == {
        "name": "acme",
        "type": "acme",
        "origin": "configuration",
        "version": 0,
        "updated_at": None,
        "problem": "",
        "provisioner": {"name": "acme", "type": "acme"},
    }
    assert listed["dex"]["origin"] == "stored"
    assert listed["dex"]["version"] % 2 == 1
    assert listed["dex"]["updated_at"] == "2027-01-15T08:00:00Z"
    assert listed["dex"]["provisioner"] == oidc("dex", groups=["a:b"])


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"name": "one", "type": "acme", "lifetime": "7d"}, id="acme"),
        pytest.param(jwk("one", encrypted_key=ENCRYPTED), id="jwk"),
        pytest.param(oidc("one", client_secret=SECRET, claims={"ssh": False}), id="oidc"),
        pytest.param({"name": "one", "type": "x5c"}, id="x5c"),
        pytest.param({"name": "one", "type": "sshpop"}, id="sshpop"),
        pytest.param(
            {"name": "one", "type": "token", "claims": {"tls": {"max": "1h"}}}, id="token"
        ),
    ],
)
def test_one_of_every_type_is_stored_and_in_force_at_once(world, entry):
    added = add(world, entry)
    assert ask(world, "GET", "/one").json == added
    assert added["provisioner"] == entry
    assert world.authority.policy.provisioners["one"].type == entry["type"]


def test_a_provisioner_that_is_added_is_used_at_once_and_refused_when_removed(world):
    key = ec.generate_private_key(ec.SECP256R1())
    assert certify(world, key, "a.internal").status == 401
    add(world, jwk("robots", key))
    issued = certify(world, key, "a.internal")
    assert issued.status == 201, issued.body
    assert issued.json["service_name"].startswith("jwk.robots.")
    assert ask(world, "DELETE", "/robots").status == 200
    certify(world, key, "b.internal").problem(401, "bad-token")
    ask(world, "GET", "/robots").problem(404, "not-found")
    add(world, jwk("robots", key))
    assert certify(world, key, "b.internal").status == 201


def test_a_rotated_key_replaces_the_old_one_at_once(world):
    old, new = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    added = add(world, jwk("robots", old, rules={"names": ["*.internal"]}))
    assert certify(world, old, "a.internal").status == 201
    rotated = ask(
        world, "POST", "/robots/rotate", {"key": jwk("", new)["key"], "encrypted_key": ENCRYPTED}
    ).json
    assert rotated["version"] == added["version"] + 1
    assert rotated["provisioner"]["rules"] == {"names": ["*.internal"]}
    assert rotated["provisioner"]["encrypted_key"] == ENCRYPTED
    certify(world, old, "a.internal").problem(401, "bad-token")
    assert certify(world, new, "a.internal").status == 201
    again = ask(world, "POST", "/robots/rotate", {"key": jwk("", new)["key"]})
    assert "this key already" in again.problem(409, "conflict")["detail"]


def test_a_replaced_one_means_something_else_at_once(world):
    key = ec.generate_private_key(ec.SECP256R1())
    added = add(world, jwk("robots", key))
    entry = jwk("robots", key, rules={"names": ["*.b.internal"]})
    wish = {"provisioner": entry, "version": added["version"]}
    replaced = ask(world, "POST", "/robots/replace", wish)
    assert replaced.json["version"] == added["version"] + 1
    certify(world, key, "a.internal").problem(422, "rejected-identifier")
    assert certify(world, key, "a.b.internal").status == 201


def test_the_name_of_a_replacement_may_be_left_to_the_path(world):
    add(world, {"name": "x", "type": "x5c"})
    wish = {"provisioner": {"type": "x5c", "claims": {"ssh": False}}}
    assert ask(world, "POST", "/x/replace", wish).json["name"] == "x"
    wish["provisioner"]["name"] = "y"
    ask(world, "POST", "/x/replace", wish).problem(400, "malformed")


def test_an_acme_server_may_be_stored(world):
    add(world, {"name": "edge", "type": "acme", "names": ["*.edge.internal"]})
    found = world.authority.policy.provisioner("edge", ACME)
    assert found is not None
    assert found.settings == ACMEProvisioner("edge", names=("*.edge.internal",))


# --- several servers, and the configuration ----------------------------------------------------


def test_another_server_takes_up_what_changed(world, other):
    add(world, {"name": "x", "type": "x5c"})
    assert "x" not in other.policy.provisioners
    world.run(provisioners.refresh(other))
    assert other.policy.provisioners["x"].settings == X5CProvisioner("x")
    assert ask(world, "DELETE", "/x").status == 200
    world.run(provisioners.refresh(other))
    assert "x" not in other.policy.provisioners


def test_two_servers_do_not_overwrite_each_other(world, other, monkeypatch):
    added = add(world, {"name": "x", "type": "x5c"})

    async def blind(_authority):
        """The moment before the other server asks the database."""

    monkeypatch.setattr(provisioners, "refresh", blind)
    with pytest.raises(Error) as caught:
        world.run(provisioners.add(other, LOCAL, X5CProvisioner("x", roots="")))
    assert caught.value.kind is Kind.CONFLICT
    stale = replace(other.provisioned)
    stale.rows = tuple(
        replace(row, version=row.version - 1) for row in world.authority.provisioned.rows
    )
    other.provisioned = stale
    with pytest.raises(Error) as caught:
        world.run(provisioners.remove(other, LOCAL, "x"))
    assert caught.value.kind is Kind.CONFLICT
    monkeypatch.undo()
    assert ask(world, "GET", "/x").json == added


def test_nothing_is_read_while_nothing_changed(world, monkeypatch):
    world.run(provisioners.refresh(world.authority))
    before = world.authority.policy
    monkeypatch.setattr(world.store, "provisioners", None)
    world.run(provisioners.refresh(world.authority))
    assert world.authority.policy is before


def test_a_look_that_a_change_overtook_is_forgotten(world, monkeypatch):
    add(world, {"name": "x", "type": "x5c"})
    read = world.store.provisioners

    async def late():
        found = await read()
        monkeypatch.setattr(world.store, "provisioners", read)
        await provisioners.remove(world.authority, LOCAL, "x")
        return found

    world.authority.provisioned.version = -1
    monkeypatch.setattr(world.store, "provisioners", late)
    world.run(provisioners.refresh(world.authority))
    assert "x" not in world.authority.policy.provisioners
    world.run(provisioners.refresh(world.authority))
    assert "x" not in world.authority.policy.provisioners


def test_a_reload_of_the_configuration_keeps_stored_ones(world):
    add(world, {"name": "x", "type": "x5c"})
    configured = world.authority.provisioned.configured
    changed = replace(configured, whitelist=Whitelist(RULES[:1]))
    provisioners.configure(world.authority, changed)
    assert "x" in world.authority.policy.provisioners
    assert world.authority.policy.whitelist is changed.whitelist
    provisioners.configure(world.authority, configured)


def test_another_part_of_the_policy_is_replaced_without_them(world):
    add(world, {"name": "x", "type": "x5c"})
    before = world.authority.policy
    world.authority.policy = replace(before, backdate=61)
    world.run(provisioners.refresh(world.authority))
    assert world.authority.policy.backdate == 61
    listed = {one.name: one for one in world.run(provisioners.listed(world.authority))}
    assert (listed["x"].origin, listed["x"].problem) == (Origin.STORED, "")
    provisioners.configure(world.authority, replace(before, provisioners=_configured(world)))


def _configured(world):
    return world.authority.provisioned.configured.provisioners


def test_the_configuration_wins_over_a_stored_one_of_its_name(world, caplog):
    add(world, {"name": "x", "type": "x5c"})
    configured = world.authority.provisioned.configured
    settings = [one.settings for one in configured.provisioners.values()]
    with caplog.at_level(logging.WARNING):
        provisioners.configure(
            world.authority, configured.with_provisioners([*settings, ACMEProvisioner("x")])
        )
        world.run(provisioners.refresh(world.authority))
    assert world.authority.policy.provisioners["x"].type == "acme"
    assert len([one for one in caplog.records if "'x' is not in force" in one.message]) == 1
    both = [one for one in ask(world, "GET").json["provisioners"] if one["name"] == "x"]
    assert [(one["origin"], bool(one["problem"])) for one in both] == [
        ("configuration", False),
        ("stored", True),
    ]
    assert ask(world, "DELETE", "/x").json["origin"] == "stored"
    provisioners.configure(world.authority, configured)


def store(world, row, name="broken"):
    """Write a row past the workflow, as who can write to the database could."""
    rows = world.run(world.store.provisioners())
    version = next((one.version for one in rows if one.name == name), 0) + 1
    row = row(version)
    act = Act(AuditRecord("provisioner.add", 0.0, "somebody"), provisioner=row)
    world.run(world.store.commit(act))
    world.run(provisioners.refresh(world.authority))


def sealed(world, type_, document):
    """Return what makes a row of a document that this authority sealed."""

    def row(version):
        octets = seal(world.authority, PROVISIONERS, document, f"{type_} broken {version}")
        return StoredProvisioner("broken", type_, octets, version, 0)

    return row


@pytest.mark.parametrize(
    ("type_", "document", "words"),
    [
        pytest.param("x5c", b"nonsense", "cannot be read", id="no JSON"),
        pytest.param("x5c", b"[]", "cannot be read", id="another shape"),
        pytest.param("saml", b'{"name":"broken"}', "not known here", id="unknown type"),
        pytest.param(
            "x5c", b'{"name":"broken","rules":{"names":["10.0.0.1/8"]}}', "network", id="bad rule"
        ),
        pytest.param("jwk", b'{"name":"broken","key":"{}"}', "key", id="bad key"),
        pytest.param(
            "oidc",
            b'{"name":"broken","configuration_endpoint":"https://a","client_id":"mintmark"}',
            "client id",
            id="a client id that is taken",
        ),
    ],
)
def test_what_is_stored_wrongly_is_left_out_and_named(world, type_, document, words):
    store(world, sealed(world, type_, document))
    add(world, {"name": "x", "type": "x5c"})
    assert "broken" not in world.authority.policy.provisioners
    assert "x" in world.authority.policy.provisioners
    ask(world, "POST", json={"provisioner": jwk("broken")}).problem(409, "conflict")
    found = ask(world, "GET", "/broken").json
    assert words in found["problem"]
    assert ask(world, "DELETE", "/broken").status == 200


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"document": b'{"name":"broken","key":"{}"}'}, id="in the clear"),
        pytest.param({"name": "broken"}, id="another name"),
        pytest.param({"type": "token"}, id="another type"),
        pytest.param({"version": 5}, id="another version"),
    ],
)
def test_who_can_write_to_the_database_makes_no_provisioner(world, forged, monkeypatch):
    add(world, {"name": "robots", "type": "x5c"})
    (true,) = (one for one in world.authority.provisioned.rows if one.name == "robots")
    false = replace(true, **forged)

    async def rows():
        return [false]

    async def version():
        return 1 << 40

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "provisioners", rows)
        patched.setattr(world.store, "provisioners_version", version)
        world.run(provisioners.refresh(world.authority))
        assert false.name not in world.authority.policy.provisioners
        (found,) = (
            one for one in world.run(provisioners.listed(world.authority)) if one.name == false.name
        )
        assert "cannot be decrypted" in found.problem
        assert found.settings is None
    world.run(provisioners.refresh(world.authority))
    assert "robots" in world.authority.policy.provisioners


def test_the_database_holds_no_secret_of_a_provisioner_in_the_clear(world):
    add(world, oidc("dex", client_secret=SECRET))
    rows = {row.name: row for row in world.run(world.store.provisioners())}
    assert SECRET.encode() not in rows["dex"].document


@pytest.mark.parametrize("name", ["one", "a-2"])
def test_what_is_stored_says_the_whole_provisioner(world, name):
    every = (
        {"name": name, "type": "acme", "lifetime": "7d", "challenges": ["dns-01"]},
        jwk(name, encrypted_key=ENCRYPTED, claims={"tls": {"max": "2h"}, "renewal": False}),
        oidc(
            name,
            required_claims={"department": ["ops"]},
            mappings=[{"claims": {"a": "b"}, "principals": ["{email}"], "lifetime": "1h"}],
            rules={"names": ["*.a"], "profiles": ["client", "peer"], "ssh_profiles": []},
        ),
    )
    for entry in every:
        add(world, entry)
        world.authority.provisioned.version = -1  # read again from the database
        assert ask(world, "GET", f"/{name}").json["provisioner"] == entry
        ask(world, "DELETE", f"/{name}")


def test_servers_look_every_second_and_outlive_a_database_that_is_away(world, monkeypatch, caplog):
    looks = []

    async def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 4:
            raise asyncio.CancelledError

    async def away():
        if len(looks) in {1, 2}:
            raise Error(Kind.UNAVAILABLE, "the database is away")
        return 0

    monkeypatch.setattr(world.store, "provisioners_version", away)
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        world.run(watch_provisioners(world.authority, sleep))
    assert looks == [1.0] * 4
    assert [one.message for one in caplog.records] == [
        "provisioners cannot be read: the database is away"
    ]


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda a, who: provisioners.add(a, who, X5CProvisioner("y")),
        lambda a, who: provisioners.change(a, who, X5CProvisioner("x")),
        lambda a, who: provisioners.rotate(a, who, JWKProvisioner("x", "{}")),
        lambda a, who: provisioners.remove(a, who, "x"),
    ],
    ids=["add", "change", "rotate", "remove"],
)
def test_nobody_but_an_admin_changes_anything(world, act):
    add(world, {"name": "x", "type": "x5c"})
    stranger = structs.replace(LOCAL, service="webapp", rule=RULES[1])
    with pytest.raises(Error) as caught:
        world.run(act(world.authority, stranger))
    assert caught.value.kind is Kind.FORBIDDEN
    assert "x" in world.authority.policy.provisioners


def test_a_rule_that_means_nothing_is_refused_before_it_is_stored(world):
    wrong = X5CProvisioner("x", rules=Rules(names=("10.0.0.1/8",)))
    with pytest.raises(Error, match="is not a network") as caught:
        world.run(provisioners.add(world.authority, LOCAL, wrong))
    assert caught.value.kind is Kind.MALFORMED


@pytest.mark.parametrize(
    "call",
    [
        ("GET", "", None),
        ("POST", "", {"provisioner": {"name": "x", "type": "x5c"}}),
        ("GET", "/acme", None),
        ("POST", "/acme/replace", {"provisioner": {}}),
        ("POST", "/acme/rotate", {"key": {}}),
        ("DELETE", "/acme", None),
    ],
)
def test_a_service_neither_sees_nor_changes_provisioners(world, call):
    method, path, body = call
    ask(world, method, path, body, peer=world.peer("webapp")).problem(403, "forbidden")
    world.ask(method, f"/provisioners{path}", json=body).problem(401, "unauthenticated")


def test_a_provisioners_own_token_is_no_credential_here(world):
    reply = ask(world, "GET", peer=None, token=world.jwt("admin-cli"))
    reply.problem(401, "unauthenticated")


PUBLIC = jwk("p")["key"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "../x", "type": "x5c"}, "'provisioner.name' is '../x'"),
        ({"name": "x/../../y", "type": "x5c"}, "'provisioner.name'"),
        ({"name": "a" * 49, "type": "x5c"}, "'provisioner.name'"),
        ({"name": "x\u0000", "type": "x5c"}, "'provisioner.name'"),
        ({"name": "\u202ex", "type": "x5c"}, "'provisioner.name'"),
        ({"name": "-", "type": "x5c"}, "'provisioner.name'"),
        ({"type": "x5c"}, "'provisioner' needs the key 'name'"),
        ({"name": "x", "type": "saml"}, "'provisioner.type'"),
        ({"name": "x", "type": "x5c", "admin": True}, "unknown key 'provisioner.admin'"),
        ({"name": "x", "type": "x5c", "claims": []}, "'provisioner.claims' is a list"),
        ({"name": "x", "type": "x5c", "claims": {"tls": {"max": 3600}}}, "is not a duration"),
        (
            {"name": "x", "type": "x5c", "rules": {"profiles": ["ocsp-responder"]}},
            "unknown profile",
        ),
        (jwk("x") | {"key": {**PUBLIC, "d": "AAAA"}}, "private member 'd'"),
        (jwk("x") | {"key": {"kty": "oct", "k": "AAAA"}}, "private member 'k'"),
        (jwk("x") | {"key": {**PUBLIC, "kid": "x"}}, "thumbprint"),
        (jwk("x") | {"key": {"kty": "RSA", "e": "AQAB", "n": "_" * 170 + "w"}}, "bits"),
        (jwk("x") | {"key": 5}, "it has to be a mapping"),
        (jwk("x") | {"encrypted_key": "plain"}, "no compact JWE"),
        (oidc("x", configuration_endpoint="http://evil.example"), "it has to be https"),
        (oidc("x", mappings=[{"principals": ["root,admin"]}]), "no principal can be"),
        (oidc("x", mappings=[{"profiles": ["server"]}]), "'rules.profiles'"),
        ({"name": "x", "type": "acme", "challenges": ["dns-persist-01"]}, "dns-persist-01"),
    ],
)
def test_what_cannot_be_a_provisioner_is_refused(world, entry, words):
    reply = ask(world, "POST", json={"provisioner": entry})
    assert words in reply.problem(400, "malformed")["detail"]
    ask(world, "GET", "/x").problem(404, "not-found")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"[]", 400, "malformed"),
        (b"{}", 400, "malformed"),
        (b'{"provisioner":[]}', 400, "malformed"),
        (b'{"provisioner":{"name":"x","name":"y"}}', 400, "malformed"),
        (b'{"provisioner":{},"more":1}', 400, "malformed"),
        (b'{"provisioner":' + b'{"a":' * 40 + b"1" + b"}" * 41, 413, "too-large"),
        (json.dumps({"provisioner": {"name": "x" * 1_000_000}}).encode(), 413, "too-large"),
    ],
    ids=["a list", "nothing", "no object", "a name twice", "another field", "depth", "a megabyte"],
)
def test_a_hostile_body_is_refused(world, body, status, kind):
    ask(world, "POST", body=body).problem(status, kind)


def test_a_name_is_taken_once_over_all_types_and_origins(world):
    for name in ("acme", "ACME"):
        taken = ask(world, "POST", json={"provisioner": {"name": name, "type": "x5c"}})
        assert "already" in taken.problem(409, "conflict")["detail"]
    add(world, {"name": "x", "type": "x5c"})
    ask(world, "POST", json={"provisioner": oidc("x")}).problem(409, "conflict")


def test_a_client_id_is_taken_once_over_all_origins(world):
    configured = ask(world, "POST", json={"provisioner": oidc("x", client_id="mintmark")})
    assert "'people'" in configured.problem(409, "conflict")["detail"]
    add(world, oidc("dex"))
    ask(world, "POST", json={"provisioner": oidc("x", client_id="dex")}).problem(409, "conflict")
    add(world, oidc("keycloak"))
    wish = {"provisioner": oidc("keycloak", client_id="dex")}
    ask(world, "POST", "/keycloak/replace", wish).problem(409, "conflict")


def test_a_configured_one_is_changed_in_the_configuration_alone(world):
    for method, path, body in (
        ("DELETE", "/acme", None),
        ("POST", "/acme/replace", {"provisioner": {"name": "acme"}}),
        ("POST", "/deploy/rotate", {"key": PUBLIC}),
    ):
        refused = ask(world, method, path, body).problem(409, "conflict")
        assert "stands in the configuration" in refused["detail"]
        assert "mintmark.yaml" in refused["hint"]


def test_a_change_of_another_version_is_refused(world):
    version = add(world, jwk("robots"))["version"]
    stale = {"version": version + 1}
    for method, path, body in (
        ("DELETE", "/robots", stale),
        ("POST", "/robots/replace", {"provisioner": jwk("robots"), **stale}),
        ("POST", "/robots/rotate", {"key": PUBLIC, **stale}),
    ):
        refused = ask(world, method, path, body).problem(409, "conflict")
        assert f"has version {version}, not {version + 1}" in refused["detail"]
    assert ask(world, "DELETE", "/robots", {"version": version}).status == 200


def test_versions_go_on_after_a_removal(world):
    version = add(world, {"name": "x", "type": "x5c"})["version"]
    ask(world, "DELETE", "/x")
    assert add(world, {"name": "x", "type": "x5c"})["version"] == version + 2
    ask(world, "DELETE", "/x", {"version": version}).problem(409, "conflict")


def test_a_type_stays(world):
    add(world, {"name": "x", "type": "x5c"})
    refused = ask(world, "POST", "/x/replace", {"provisioner": oidc("x")}).problem(409, "conflict")
    assert "of type 'x5c' and stays so" in refused["detail"]


def test_only_a_key_is_rotated(world):
    add(world, {"name": "x", "type": "x5c"})
    refused = ask(world, "POST", "/x/rotate", {"key": PUBLIC}).problem(409, "conflict")
    assert "has no key" in refused["detail"]


@pytest.mark.parametrize("name", ["nothing", "..%2fx", "x%00", "x" * 500, "..."])
def test_one_that_is_not_there_is_named_with_those_that_are(world, name):
    for method, path, body in (
        ("GET", f"/{name}", None),
        ("DELETE", f"/{name}", None),
        ("POST", f"/{name}/rotate", {"key": PUBLIC}),
    ):
        refused = ask(world, method, path, body).problem(404, "not-found")
        assert "acme" in refused["hint"]


def test_there_is_room_for_so_many(world, monkeypatch):
    add(world, {"name": "x", "type": "x5c"})
    monkeypatch.setattr(provisioners, "MOST", 1)
    full = ask(world, "POST", json={"provisioner": {"name": "y", "type": "x5c"}})
    assert "which is the limit" in full.problem(409, "conflict")["detail"]


# --- what is on record -------------------------------------------------------------------------


def test_every_change_is_audited_without_secrets(world):
    entry = jwk("audited", encrypted_key=ENCRYPTED, claims={"tls": {"max": "1h"}})
    add(world, entry)
    ask(world, "POST", "/audited/replace", {"provisioner": entry})
    ask(world, "POST", "/audited/rotate", {"key": PUBLIC, "encrypted_key": ENCRYPTED})
    ask(world, "DELETE", "/audited")
    add(world, oidc("audited-dex", client_secret=SECRET, groups=["a:b"]))
    for action in ("add", "replace", "rotate", "remove"):
        records = audited(world, f"provisioner.{action}")
        assert SECRET not in json.dumps(records)
        assert ENCRYPTED not in json.dumps(records)
        (found,) = (
            one for one in records if one.get("details", {}).get("provisioner") == "audited"
        )
        assert found["service"] == "admin-cli"
        assert found["details"]["type"] == "jwk"
        if action == "add":
            assert found["details"]["settings"]["claims"]["tls"]["maximum"] == HOUR
        if action == "rotate":
            assert PUBLIC["kid"] in found["details"]["settings"]["key"]
    dex = audited(world, "provisioner.add")[0]["details"]["settings"]
    assert dex["groups"] == ["a:b"]


def test_what_is_refused_leaves_no_record(world):
    before = len(audited(world, "provisioner.add"))
    ask(world, "POST", json={"provisioner": {"name": "acme", "type": "x5c"}})
    ask(world, "POST", json={"provisioner": {"name": "../x", "type": "x5c"}})
    assert len(audited(world, "provisioner.add")) == before


def test_secrets_of_a_provider_do_not_stand_in_messages(world):
    add(world, oidc("dex", client_secret=SECRET))
    assert SECRET not in repr(world.authority.policy.provisioners["dex"].settings)
    refused = ask(world, "POST", json={"provisioner": oidc("dex", client_secret=SECRET)})
    assert SECRET.encode() not in refused.body
