"""The client's calls about ACME, against the API in this process."""

from __future__ import annotations

import pytest

from mintmark.authority.workflow import renewal_windows
from mintmark.client import api
from mintmark.client.documents import ExternalKeyRequest, RenewalWindowsRequest
from mintmark.model.errors import Error, Kind
from tests.unit.client.test_client_api import client, world

__all__ = ["client", "world"]  # fixtures


def test_external_keys_walk_over_all_pages(client, monkeypatch):
    monkeypatch.setattr(api, "PAGE", 2)
    wish = ExternalKeyRequest(provisioner="other", name="rack")
    made = sorted(client.create_external_key(wish).key_id for _ in range(5))
    assert [one.key_id for one in client.external_keys(provisioner="other")] == made
    assert [one.key_id for one in client.external_keys(provisioner="other", limit=3)] == made[:3]
    assert list(client.external_keys(provisioner="acme")) == []
    assert client.revoke_external_key(made[0]).status == "revoked"


def test_renewal_windows_are_moved_over_all_pages(client, world, monkeypatch):
    monkeypatch.setattr(renewal_windows, "PAGE", 2)
    for _ in range(5):
        world.certificate("moved")
    assert client.move_renewal_windows(RenewalWindowsRequest(service_name="moved")) == 5


def test_empty_lists_end(client):
    assert list(client.accounts()) == []
    assert list(client.paused()) == []


@pytest.mark.parametrize("name", ["..", ".", "a/../b", "", "a b", "\x00"])
def test_a_name_is_one_segment_of_a_path(client, name):
    for call in (client.revoke_external_key, client.revoke_account):
        with pytest.raises(Error) as caught:
            call(name)
        assert caught.value.kind is Kind.NOT_FOUND
