"""What an operator does, as clients meet it."""

from __future__ import annotations

import pytest
from cryptography import x509

from mintmark.authority.workflow.acme_accounts import revoke_account, unpause
from mintmark.authority.workflow.external_keys import create_external_key, revoke_external_key
from mintmark.authority.workflow.renewal_windows import Selection, move_windows
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.acme import Pause
from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import ACMEProvisioner
from mintmark.wire.identifiers import parse_any
from tests.unit.acme.test_acme_accounts import binding
from tests.unit.acme.test_acme_renewal_info import certid

ADMIN = Requester(
    "admin-cli", ServiceRule("admin-cli", frozenset(Operation)), Credential.CERTIFICATE
)
NAME = "www.example.internal"


def made_key(world, provisioner="acme"):
    return world.run(
        create_external_key(world.authority, ADMIN, provisioner=provisioner, name="rack 7")
    )


def test_a_key_that_an_operator_made_binds_one_account(world):
    world.provision(ACMEProvisioner("acme", external_account_binding=True))
    key, hmac_key = made_key(world)
    first, second = world.stranger(), world.stranger()
    assert first.post("new-account", binding(first, hmac_key, key.id)).status == 201
    second.post("new-account", binding(second, hmac_key, key.id)).problem("unauthorized")
    bound = world.run(world.store.external_key(key.id))
    assert bound.account


def test_a_revoked_key_binds_nothing_and_leaves_its_account_alone(world):
    unused, hmac_key = made_key(world)
    world.run(revoke_external_key(world.authority, ADMIN, unused.id))
    stranger = world.stranger()
    stranger.post("new-account", binding(stranger, hmac_key, unused.id)).problem("unauthorized")

    used, hmac_key = made_key(world)
    owner = world.stranger()
    owner.kid = owner.post("new-account", binding(owner, hmac_key, used.id)).headers["location"]
    world.run(revoke_external_key(world.authority, ADMIN, used.id))
    assert owner.post(owner.kid).json["status"] == "valid"


def test_a_revoked_account_gets_nothing_any_more(world, client):
    location, order = client.ready(NAME)
    world.run(revoke_account(world.authority, ADMIN, client.account_id))
    for url in (client.kid, location, order["finalize"], "new-order"):
        client.post(url, {}).problem("unauthorized", 403)
    world.stranger(client.key).post("new-account", {}).problem("unauthorized")


def test_an_unpaused_account_orders_again(world, client):
    now = int(world.clock())
    pauses = tuple(Pause(client.account_id, one, 100, now, now) for one in (NAME, "b.internal"))
    world.run(world.store.commit(Act(changes=pauses)))
    client.order(NAME).problem("rateLimited")
    count = world.run(unpause(world.authority, ADMIN, client.account_id, parse_any(f"*.{NAME}")))
    assert count == 1
    assert client.order(NAME).status == 201
    client.order("b.internal").problem("rateLimited")


def test_a_moved_window_is_what_renewal_information_says(world, client):
    certificate = x509.load_pem_x509_certificate(client.certificate(NAME))
    before = client.get(f"renewal-info/{certid(certificate)}")
    assert "explanationURL" not in before.json
    world.run(
        move_windows(
            world.authority, ADMIN, Selection(name=NAME), over=0, explanation_url="https://why/"
        )
    )
    reply = client.get(f"renewal-info/{certid(certificate)}")
    assert reply.json["suggestedWindow"]["start"] < before.json["suggestedWindow"]["start"]
    assert reply.json["explanationURL"] == "https://why/"
    assert int(reply.headers["retry-after"]) < int(before.headers["retry-after"])


@pytest.mark.parametrize(
    "act",
    [
        lambda a, who: create_external_key(a, who, provisioner="acme", name=""),
        lambda a, who: revoke_external_key(a, who, "x"),
        lambda a, who: revoke_account(a, who, "x"),
        lambda a, who: unpause(a, who, "x"),
        lambda a, who: move_windows(a, who, Selection(), over=0),
    ],
)
def test_only_an_admin_may(world, act):
    rule = ServiceRule("web", frozenset(Operation) - {Operation.ADMIN})
    with pytest.raises(Error) as caught:
        world.run(act(world.authority, Requester("web", rule, Credential.CERTIFICATE)))
    assert caught.value.kind is Kind.FORBIDDEN
