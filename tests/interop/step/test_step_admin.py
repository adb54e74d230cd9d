"""Commands of step-ca's admin API, which is not here: they end at once, with a sentence."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.interop

TOLD = "'mintmark provisioner'"


@pytest.mark.parametrize(
    "command",
    [
        ("admin", "list"),
        ("admin", "add", "alice@example.internal", "admin"),
        ("policy", "authority", "view"),
        ("policy", "authority", "x509", "allow", "dns", "*.example.internal"),
        ("policy", "provisioner", "view", "--provisioner", "admin"),
        ("acme", "eab", "list", "acme"),
        ("acme", "eab", "add", "acme", "key"),
        ("provisioner", "webhook", "add", "admin", "hook", "--url", "https://localhost:1"),
    ],
    ids=" ".join,
)
def test_administration_is_refused_with_what_there_is_instead(host, command):
    host.variables["PAGER"] = "cat"
    host.step(
        "ca", *command, "--admin-provisioner", "admin", "--admin-subject", "step",
        "--admin-password-file", host.password,
    ).refused(TOLD)  # fmt: skip


@pytest.mark.parametrize("command", [("remove", "admin"), ("update", "admin", "--x509-max-dur=1h")])
def test_provisioners_are_not_changed_by_step(host, command):
    # It looks for the file of a step-ca on this host when the authority has no admin API.
    host.step("ca", "provisioner", *command).refused("ca.json: no such file")

    assert '"admin"' in host.step("ca", "provisioner", "list").succeeded()
