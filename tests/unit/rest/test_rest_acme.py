"""What an admin does about ACME: keys, accounts, pauses, renewal windows."""

from __future__ import annotations

import base64
import hashlib

import pytest

from mintmark.authority.policy.limits import Limits
from mintmark.authority.workflow import renewal_windows
from mintmark.authority.workflow.secrets import EXTERNAL_KEYS, unseal
from mintmark.model.acme import Account, AccountStatus, Pause
from mintmark.model.act import Act
from mintmark.model.errors import Error
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from tests.unit.rest.world import NOW, local_peer


@pytest.fixture(autouse=True)
def _unlimited(world, monkeypatch):
    """Without rate limits, which remember a future that a test has been to."""
    monkeypatch.setattr(world.authority, "limits", Limits(None, None))


def ask(world, method, path, json=None):
    return world.ask(method, path, peer=local_peer(), json=json)


def audited(world, action):
    reply = ask(world, "GET", f"/audit?action={action}&limit=1000")
    return [entry["record"] for entry in reply.json["records"]]


# --- external account keys -----------------------------------------------------------------------


def make_key(world, **wish):
    reply = ask(world, "POST", "/acme/external-keys", wish)
    assert reply.status == 201, reply.body
    return reply


def test_an_external_key_tells_its_secret_once(world):
    made = make_key(world, name="Büro 4")
    assert made.headers["cache-control"] == "no-store"
    assert made.json["status"] == "unused"
    listed = ask(world, "GET", "/acme/external-keys?limit=1000")
    (found,) = (one for one in listed.json["external_keys"] if one["key_id"] == made.json["key_id"])
    assert found == {k: v for k, v in made.json.items() if k != "hmac_key"}


def test_the_secret_is_sealed_in_the_store_and_in_no_audit_record(world):
    made = make_key(world, name="sealed").json
    secret = base64.urlsafe_b64decode(made["hmac_key"] + "=")
    assert len(secret) == 32
    stored = world.run(world.store.external_key(made["key_id"]))
    assert secret not in stored.hmac_key
    assert unseal(world.authority, EXTERNAL_KEYS, stored.hmac_key, stored.id) == secret
    with pytest.raises(Error, match="cannot be decrypted"):
        unseal(world.authority, EXTERNAL_KEYS, stored.hmac_key, "another")
    record = next(
        one for one in audited(world, "acme.external-key.create") if made["key_id"] in str(one)
    )
    assert made["hmac_key"] not in str(record)


def test_external_keys_are_paged_by_provisioner(world):
    mine = {make_key(world, provisioner="other").json["key_id"] for _ in range(5)}
    seen, cursor = [], ""
    while True:
        reply = ask(world, "GET", f"/acme/external-keys?provisioner=other&limit=2{cursor}").json
        seen += [one["key_id"] for one in reply["external_keys"]]
        if reply["next_cursor"] is None:
            break
        cursor = f"&cursor={reply['next_cursor']}"
    assert seen == sorted(mine)


def test_a_revoked_external_key_stays_revoked(world):
    key_id = make_key(world).json["key_id"]
    revoked = ask(world, "DELETE", f"/acme/external-keys/{key_id}").json
    assert (revoked["status"], revoked["revoked_at"]) == ("revoked", "2027-01-15T08:00:00Z")
    again = ask(world, "DELETE", f"/acme/external-keys/{key_id}")
    again.problem(409, "already-revoked")
    assert sum(key_id in str(one) for one in audited(world, "acme.external-key.revoke")) == 1


@pytest.mark.parametrize(
    ("wish", "status", "kind"),
    [
        ({"provisioner": "nope"}, 404, "not-found"),
        ({"provisioner": ""}, 400, "malformed"),
        ({"name": "a\nb"}, 400, "malformed"),
        ({"name": "x" * 129}, 400, "malformed"),
        ({"hmac_key": "mine"}, 400, "malformed"),
    ],
)
def test_external_keys_that_cannot_be_are_refused(world, wish, status, kind):
    ask(world, "POST", "/acme/external-keys", wish).problem(status, kind)


def test_an_unknown_external_key_cannot_be_revoked(world):
    for key_id in ("nothing", "a%00", "x" * 500):
        ask(world, "DELETE", f"/acme/external-keys/{key_id}").problem(404, "not-found")


# --- accounts and pauses -------------------------------------------------------------------------


def account(world, name, **fields):
    made = Account(
        name,
        fields.pop("provisioner", "acme"),
        b"{}",
        hashlib.sha256(name.encode()).digest(),
        AccountStatus.VALID,
        ("mailto:ops@example.internal",),
        terms_agreed=True,
        external_key=None,
        created_at=int(NOW),
    )
    pauses = fields.pop("pauses", ())
    world.run(world.store.commit(Act(changes=(made, *pauses))))
    return made


def test_accounts_are_listed_with_the_service_of_their_certificates(world):
    account(world, "listed1", provisioner="other")
    account(world, "listed2", provisioner="other")
    first = ask(world, "GET", "/acme/accounts?provisioner=other&limit=1").json
    rest = ask(world, "GET", f"/acme/accounts?provisioner=other&cursor={first['next_cursor']}").json
    (one,), (two,) = first["accounts"], rest["accounts"]
    assert one == {
        "account_id": "listed1",
        "provisioner": "other",
        "status": "valid",
        "service_name": "acme.other.listed1",
        "contacts": ["mailto:ops@example.internal"],
        "created_at": "2027-01-15T08:00:00Z",
        "external_key": None,
    }
    assert two["account_id"] == "listed2"
    assert rest["next_cursor"] is None


def test_a_revoked_account_is_locked_out_for_good(world):
    account(world, "villain")
    assert ask(world, "DELETE", "/acme/accounts/villain").json["status"] == "revoked"
    assert world.run(world.store.account("villain")).status is AccountStatus.REVOKED
    ask(world, "DELETE", "/acme/accounts/villain").problem(409, "conflict")
    assert [one["details"]["account"] for one in audited(world, "acme.account.revoke")] == [
        "villain"
    ]


def paused(account_id, *identifiers):
    return tuple(Pause(account_id, one, 100, int(NOW), int(NOW)) for one in identifiers)


def test_pauses_are_listed_page_by_page(world):
    account(world, "p1", pauses=paused("p1", "a.internal", "2001:db8::1"))
    account(world, "p2", pauses=paused("p2", "b.internal"))
    seen, cursor = [], ""
    while True:
        reply = ask(world, "GET", f"/acme/paused?limit=1{cursor}").json
        seen += [(one["account_id"], one["identifier"]) for one in reply["paused"]]
        if reply["next_cursor"] is None:
            break
        cursor = f"&cursor={reply['next_cursor']}"
    assert [one for one in seen if one[0] in {"p1", "p2"}] == [
        ("p1", "2001:db8::1"),
        ("p1", "a.internal"),
        ("p2", "b.internal"),
    ]


def test_an_account_is_unpaused_for_one_identifier_or_all(world):
    account(world, "u1", pauses=paused("u1", "a.internal", "b.internal", "c.internal"))
    one = ask(
        world, "POST", "/acme/unpause", {"account_id": "u1", "identifier": "*.B.internal"}
    ).json
    assert one == {"account_id": "u1", "identifiers": 1}
    left = world.run(world.store.pauses("u1", ["a.internal", "b.internal"]))
    assert [pause.identifier for pause in left] == ["a.internal"]
    assert ask(world, "POST", "/acme/unpause", {"account_id": "u1"}).json["identifiers"] == 2
    assert ask(world, "POST", "/acme/unpause", {"account_id": "u1"}).json["identifiers"] == 0
    assert len(audited(world, "acme.unpause")) == 3


def test_nobody_is_unpaused_when_the_audit_record_cannot_be_written(world, monkeypatch):
    account(world, "u2", pauses=paused("u2", "a.internal"))

    async def fail(act):
        raise RuntimeError("no audit")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.store), "commit", lambda self, act: fail(act))
        with pytest.raises(RuntimeError):
            ask(world, "POST", "/acme/unpause", {"account_id": "u2"})
    assert world.run(world.store.pauses("u2", ["a.internal"]))


# --- renewal windows -----------------------------------------------------------------------------


def move(world, **wish):
    reply = ask(world, "POST", "/renewal-windows", wish)
    assert reply.status == 200, reply.body
    return reply.json


def window(world, certificate):
    return world.run(world.store.renewal_window(certificate.serial))


def test_windows_of_a_service_are_moved_and_spread(world):
    chosen = [world.certificate("mover", f"m{at}.internal") for at in range(8)]
    other = world.certificate("stayer")
    assert move(world, service_name="mover", over="2h", reason="drill") == {
        "moved": 8,
        "next_cursor": None,
    }
    windows = [window(world, one) for one in chosen]
    assert len({one.start for one in windows}) == 8
    for one in windows:
        assert NOW <= one.start < one.end <= NOW + 2 * HOUR
        assert one.end - one.start == 2 * HOUR // 30
    assert window(world, other) is None
    (record,) = audited(world, "acme.renewal-window.move")
    assert record["details"]["count"] == 8
    assert record["details"]["reason"] == "drill"


def test_windows_are_selected_by_name_profile_issuer_and_time(world):
    old = world.certificate("picky", "old.picky.internal", profile="client")
    world.clock.now += 2 * DAY
    new = world.certificate("picky", "new.picky.internal", profile="server")
    mine = {"service_name": "picky"}
    for narrow, count in (
        ({"name": "NEW.picky.internal"}, 1),
        ({"profile": "client"}, 1),
        ({"issuer": old.issuer}, 2),
        ({"issuer": "0" * 16}, 0),
        ({"issued_before": "2027-01-16T09:00:00+01:00"}, 1),
    ):
        assert move(world, **mine, **narrow)["moved"] == count, narrow
    assert window(world, old)
    assert window(world, new)


def test_revoked_expired_and_replaced_certificates_are_passed_over(world):
    from mintmark.authority.workflow.renew import renew
    from mintmark.authority.workflow.revoke import revoke
    from tests.unit.rest.world import LOCAL

    revoked, replaced = world.certificate("past"), world.certificate("past")
    world.run(revoke(world.authority, LOCAL, world.stored(revoked.id), Reason.SUPERSEDED))
    successor = world.run(renew(world.authority, LOCAL, world.stored(replaced.id)))
    assert move(world, service_name="past")["moved"] == 1
    assert window(world, successor)
    assert not window(world, replaced)
    world.clock.now += 5 * 365 * DAY
    assert move(world, service_name="past")["moved"] == 0


def test_no_window_is_moved_behind_two_thirds_of_a_life(world):
    certificate = world.certificate("short")
    lifetime = certificate.not_after - certificate.not_before
    latest = certificate.not_before + lifetime * 2 // 3
    assert move(world, service_name="short", over="50y")["moved"] == 1
    assert window(world, certificate).end <= latest
    world.clock.now = latest + 10
    move(world, service_name="short", over="50y")
    assert window(world, certificate).start == latest + 10


def test_over_all_eternity_is_no_defect(world):
    world.certificate("eternal")

    assert move(world, service_name="eternal", over="999999999999y")["moved"] == 1


def test_over_nothing_asks_for_renewal_at_once(world):
    certificate = world.certificate("hasty")
    url = "https://wiki.example.internal/incident-7"
    move(world, service_name="hasty", over="0s", explanation_url=url)
    found = window(world, certificate)
    assert (found.start, found.end, found.explanation_url) == (NOW, NOW + 1, url)


def test_windows_are_moved_page_by_page(world, monkeypatch):
    monkeypatch.setattr(renewal_windows, "PAGE", 2)
    chosen = [world.certificate("paged") for _ in range(5)]
    moved, cursor, calls = 0, None, 0
    while calls == 0 or cursor:
        answer = move(world, service_name="paged", cursor=cursor)
        moved, cursor, calls = moved + answer["moved"], answer["next_cursor"], calls + 1
    assert (moved, calls) == (5, 3)
    assert all(window(world, one) for one in chosen)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"over": "2h"},
        {"all": True, "over": "soon"},
        {"all": True, "explanation_url": "javascript:alert(1)"},
        {"all": True, "explanation_url": 'https://x/">'},
        {"all": True, "reason": "a\0b"},
        {"all": True, "issued_before": "yesterday"},
        {"all": True, "issued_before": "2026-11-22T10:00:00"},
        {"all": True, "cursor": "cert_" + "0" * 40},
        {"all": True, "cursor": "x"},
        {"issuer": "nope"},
    ],
)
def test_selections_that_cannot_be_are_refused(world, wish):
    ask(world, "POST", "/renewal-windows", wish).problem(400, "malformed")


@pytest.mark.parametrize(
    "path",
    [
        "/acme/accounts?cursor=a%00",
        "/acme/external-keys?provisioner=%00",
        "/acme/paused?cursor=nothing",
        "/acme/paused?cursor=a/%00",
        "/acme/paused?limit=1001",
    ],
)
def test_bad_acme_list_parameters_are_refused(world, path):
    ask(world, "GET", path).problem(400, "malformed")
