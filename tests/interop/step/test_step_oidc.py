"""People who sign in with `step`: an OpenID provider, a browser of one line, no questions."""

from __future__ import annotations

import re

import pytest
from cryptography import x509

from tests.interop.oidc.provider import ALICE, STEP, STEP_SECRET, OpenIDProvider
from tests.interop.programs import Daemon, program, run, running, until
from tests.interop.step.service import Host
from tests.interop.step.sshd import ME, ssh, sshd

pytestmark = pytest.mark.interop

EMAIL = ALICE["email"]


@pytest.fixture
def person(host: Host, provider: OpenIDProvider) -> Host:
    """Alice's machine, with a browser that follows where it is sent."""
    programs = host.home / "bin"
    programs.mkdir()
    browser = programs / "xdg-open"
    browser.write_text(f'#!/bin/sh\n{provider.browser} "$1" >/dev/null &\n')
    browser.chmod(0o755)
    host.variables["SSL_CERT_FILE"] = str(provider.root)  # of the provider and of nobody else
    host.variables["PATH"] = f"{programs}:{host.environment['PATH']}"
    return host


def certificate(person: Host):
    return person.step(
        "ca", "certificate", EMAIL, "me.crt", "me.key", "--force", "--provisioner", "people"
    )


def login(person: Host):
    return person.step("ssh", "login", EMAIL, "--provisioner", "people")


def test_certificate_by_oidc(person, provider):
    certificate(person).succeeded()

    names = (
        person.certificate("me")
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    # A fragment is no part of an absolute URI (RFC 3986 §4.3).
    assert {str(one.value) for one in names} == {
        EMAIL,
        f"{provider.issuer}#alice",
    }


def test_ssh_login_by_oidc(person, agent):
    login(person).succeeded()

    public = person.file("shown.pub")
    public.write_text(
        next(line for line in agent.listed().splitlines() if "-cert-v01@openssh.com" in line)
    )
    text = run(program("ssh-keygen"), "-L", "-f", public).succeeded()
    assert f'Key ID: "{EMAIL}"' in text
    principals = text.partition("Principals:")[2].partition("Critical")[0].split()
    assert principals == ["alice", EMAIL]


def test_ssh_login_of_somebody_who_says_no_name(person, agent):
    person.step("ssh", "login", "--provisioner", "people").succeeded()

    person.file("shown.pub").write_text(agent.listed())
    assert f'Key ID: "{EMAIL}"' in person.step("ssh", "inspect", "shown.pub").succeeded()


def test_ssh_login_on_another_device(person, provider, agent):
    command = (program("step"), "ssh", "login", "--provisioner", "people", "--console")
    options = {"cwd": person.home, "env": person.environment}
    waiting = Daemon(command, person.file("login.log"), options)
    told = re.compile(r"^Visit (https://\S+):$", re.MULTILINE)

    with running(waiting, lambda: told.search(waiting.said())):
        provider.sign_in(told.search(waiting.said())[1])
        until(lambda: "-cert-v01@openssh.com" in agent.listed(), "the certificate is in the agent")


def test_the_first_connection_signs_in_by_itself(person, agent):
    # Whoever may log in as an account need not be called like it, and ssh has no other name.
    person.step("ssh", "config", "--set", f"User={ME}", "--set", "Provisioner=people").succeeded()

    with sshd(person, principals="alice") as (port, daemon):
        assert "let in" in ssh(person, port, "echo let in").succeeded(), daemon.said()
        assert f'ID "{EMAIL}"' in daemon.said()
    assert agent.listed().count("-cert-v01@openssh.com") == 1


def test_the_name_of_an_account_is_nobodys_principal(person, agent):
    person.step("ssh", "config", "--set", f"User={ME}", "--set", "Provisioner=people").succeeded()

    with sshd(person) as (port, daemon):
        ssh(person, port, "true").refused("Permission denied")
        assert "name is not a listed principal" in daemon.said()


def test_who_left_the_group_is_refused_at_the_next_login(person, provider, agent):
    login(person).succeeded()
    provider.says(groups=["guests"])

    person.step(
        "ssh", "login", EMAIL, "--provisioner", "people", "--force"
    ).refused("is in no group that provisioner 'people' is open to")  # fmt: skip
    certificate(person).refused("operators")


def test_an_address_that_nobody_verified_is_no_name(person, provider, agent):
    provider.says(email_verified=False)

    login(person).refused("not verified", "no principals", "forbidden")


def test_an_id_token_is_used_once(person, provider):
    said = person.step(
        "oauth", "--oidc", "--bare", "--provider", provider.issuer,
        "--client-id", STEP, "--client-secret", STEP_SECRET,
    ).succeeded()  # fmt: skip
    token = said.split()[-1]
    given = ("ca", "certificate", EMAIL, "me.crt", "me.key", "--force", "--token", token)
    url = ("--ca-url", person.service.url)

    person.step(*given, *url).succeeded()

    person.step(*given, *url).refused("lacked necessary authorization")
