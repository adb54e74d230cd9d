"""The commands `step ssh …`, unmodified, against our server, with a real agent and sshd."""

from __future__ import annotations

import base64
import os
import struct

import pytest

from tests.interop.programs import Result, program, run, until
from tests.interop.step.service import Host
from tests.interop.step.sshd import ME, NAME, certified, ssh, sshd

pytestmark = pytest.mark.interop

BY_POSSESSION = ("--provisioner", "sshpop")  # the page adds another one


def shown(host: Host, name: str) -> str:
    """Return what ssh-keygen shows of a certificate."""
    return run(program("ssh-keygen"), "-L", "-f", host.file(name)).succeeded()


def serial(host: Host, name: str) -> str:
    """Return the serial of a certificate."""
    line = next(line for line in shown(host, name).splitlines() if "Serial:" in line)
    return line.split()[-1]


def user(host: Host, *more: str, subject: str = "alice@example.internal") -> Result:
    """Get a user certificate as `id` and `id-cert.pub`."""
    return host.step(
        "ssh", "certificate", subject, "id", "--no-password", "--insecure", "--force", "--no-agent",
        *more, *host.by_password(),
    )  # fmt: skip


# --- certificates --------------------------------------------------------------------------------


def test_ssh_certificate_of_a_user(host):
    user(host, "--principal", "alice").succeeded()

    text = shown(host, "id-cert.pub")
    assert "user certificate" in text
    assert 'Key ID: "alice@example.internal"' in text
    assert text.partition("Principals:")[2].split()[0] == "alice"
    assert "permit-pty" in text


def test_ssh_certificate_with_the_principals_of_its_subject(host):
    user(host).succeeded()

    principals = shown(host, "id-cert.pub").partition("Principals:")[2].partition("Critical")[0]
    assert principals.split() == ["alice", "alice@example.internal"]


def test_ssh_certificate_of_a_host(host):
    certified(host, "web01.example.internal", "--principal", "web01.example.internal",
              "--principal", "10.0.0.1")  # fmt: skip

    text = shown(host, "host-cert.pub")
    assert "host certificate" in text
    assert "10.0.0.1" in text
    assert "permit-" not in text


def test_ssh_certificate_with_a_certificate_that_makes_the_user(host):
    user(host, "--principal", "alice", "--add-user").succeeded()

    text = shown(host, "id-provisioner-cert.pub")
    assert 'Key ID: "alice-provisioner"' in text
    assert "force-command sudo useradd -m alice; nc -q0 localhost 22" in text
    assert "permit-" not in text


def test_ssh_certificate_for_too_long(host):
    user(host, "--not-after", "1000h").refused("forbidden by the certificate authority")


def test_ssh_certificate_for_a_key_that_is_there(host):
    key = host.file("own")
    run(program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key).succeeded()

    host.step(
        "ssh", "certificate", "alice", "own.pub", "--sign", "--no-agent", "--not-after", "1h",
        *host.by_password(),
    ).succeeded()  # fmt: skip

    text = shown(host, "own-cert.pub")
    public = run(program("ssh-keygen"), "-l", "-f", host.file("own.pub")).succeeded().split()[1]
    assert f"Public key: ED25519-CERT {public}" in text


def test_ssh_certificate_for_a_security_key(host):
    name = b"sk-ssh-ed25519@openssh.com"
    parts = (name, os.urandom(32), b"ssh:")
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    line = f"{name.decode()} {base64.b64encode(blob).decode()} token\n"
    host.file("token.pub").write_text(line)

    host.step(
        "ssh", "certificate", "alice", "token.pub", "--sign", "--no-agent", *host.by_password()
    ).succeeded()

    assert "sk-ssh-ed25519-cert-v01@openssh.com user" in shown(host, "token-cert.pub")


@pytest.mark.parametrize(("kty", "kind"), [("OKP", "ED25519-CERT"), ("RSA", "RSA-CERT")])
def test_ssh_certificate_with_a_key_of_another_kind(host, kty, kind):
    user(host, "--kty", kty).succeeded()

    assert f"Public key: {kind}" in shown(host, "id-cert.pub")


def test_ssh_certificate_by_a_token(host, fresh_path):
    token = host.token("web01.example.internal", "--ssh", "--host",
                       "--principal", "web01.example.internal")  # fmt: skip
    new = Host(fresh_path, host.service)  # has nothing but the token

    new.step(
        "ssh", "certificate", "web01.example.internal", "host", "--host", "--no-password",
        "--insecure", "--token", token,
    ).succeeded()  # fmt: skip

    assert "web01.example.internal" in shown(new, "host-cert.pub")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--principal", "root"), "principal 'root' is not among those"),
        (("--host",), "profile 'ssh-host' is not open"),
    ],
)
def test_a_token_for_ssh_is_good_for_no_more_than_it_says(host, more, reason):
    token = host.token("alice", "--ssh", "--principal", "alice")

    host.step(
        "ssh", "certificate", "alice", "id", "--no-password", "--insecure", "--no-agent",
        "--token", token, *more,
    ).refused(reason)  # fmt: skip


def test_a_token_for_ssh_makes_no_tls_certificate(host):
    token = host.token("web01.example.internal", "--ssh", "--host")

    host.step(
        "ca", "certificate", "web01.example.internal", "web.crt", "web.key", "--token", token
    ).refused("forbidden", "lacked necessary authorization")


def test_ssh_certificate_of_a_host_by_x5c(host):
    host.obtain("web07.example.internal")
    ask = (
        "ssh", "certificate", "web07.example.internal", "host", "--host", "--no-password",
        "--insecure", "--force", "--provisioner", "hosts", "--x5c-cert", "web.crt",
        "--x5c-key", "web.key", "--not-after", "1h",
    )  # fmt: skip

    host.step(*ask).succeeded()

    assert "web07.example.internal" in shown(host, "host-cert.pub")
    host.step(*ask, "--principal", "web08.example.com").refused("no principal of the token is one")


def test_ssh_inspect_fingerprint_and_needs_renewal(host):
    user(host, "--principal", "alice").succeeded()

    inspected = host.step("ssh", "inspect", "id-cert.pub").succeeded()
    assert "(using ssh-ed25519)" in inspected
    assert f"Serial: {serial(host, 'id-cert.pub')}" in inspected
    printed = host.step("ssh", "fingerprint", "id-cert.pub").succeeded()
    assert printed.split()[1] in shown(host, "id-cert.pub")
    assert host.step("ssh", "needs-renewal", "id-cert.pub").status == 1
    assert host.step("ssh", "needs-renewal", "id-cert.pub", "--expires-in", "24h").status == 0


def test_ssh_certificate_goes_into_the_agent_and_out_again(host, agent):
    host.step(
        "ssh", "certificate", "alice@example.internal", "id", "--no-password", "--insecure",
        *host.by_password(),
    ).succeeded()  # fmt: skip
    assert agent.listed().count("-cert-v01@openssh.com") == 1
    raw = host.step("ssh", "list", "--raw", "alice@example.internal").succeeded()
    assert raw.split()[1] == host.file("id-cert.pub").read_text().split()[1]

    host.step("ssh", "logout", "alice@example.internal").succeeded()

    assert "no identities" in agent.listed()


def test_ssh_login_with_several_principals_and_again(host, agent):
    login = ("ssh", "login", "alice", "--principal", "alice", "--principal", "ops")
    host.step(*login, "--not-after", "1h", *host.by_password()).succeeded()
    host.file("shown.pub").write_text(agent.listed())

    text = shown(host, "shown.pub")
    assert text.partition("Principals:")[2].partition("Critical")[0].split() == ["alice", "ops"]
    again = host.step(*login, *host.by_password()).succeeded()
    assert "already present in the SSH agent" in again


def test_ssh_login(host, agent):
    host.step(
        "ssh", "login", "alice@example.internal", "--principal", "alice", *host.by_password()
    ).succeeded()

    assert "-cert-v01@openssh.com" in agent.listed()
    assert "alice@example.internal" in host.step("ssh", "list").succeeded()


# --- hosts and configuration ---------------------------------------------------------------------


def test_ssh_config_of_a_user(host, agent):
    host.step("ssh", "login", "alice", "--principal", "alice", *host.by_password()).succeeded()

    host.step("ssh", "config").succeeded()

    assert "Include" in (host.home / ".ssh" / "config").read_text()
    written = (host.step_path / "ssh" / "config").read_text()
    assert "User alice" in written
    assert "ProxyCommand step ssh proxycommand %r %h %p" in written
    assert (host.step_path / "ssh" / "known_hosts").read_text().startswith("@cert-authority * ")


def test_ssh_config_with_what_the_user_sets(host):
    given = ("--set", "User=alice", "--set", "Provisioner=admin")

    told = host.step("ssh", "config", "--dry-run", *given).succeeded()

    assert "User alice" in told
    assert "ProxyCommand step ssh proxycommand --provisioner admin %r %h %p" in told
    host.step("ssh", "config", "--dry-run", "--set", "User=alice -o ProxyCommand=id").refused(
        "variable 'User'"
    )


def test_ssh_config_of_a_host(host):
    told = host.step(
        "ssh", "config", "--host", "--dry-run", "--set", "Certificate=c.pub", "--set", "Key=k"
    ).succeeded()

    assert "TrustedUserCAKeys /etc/ssh/ca.pub" in told
    assert "HostCertificate /etc/ssh/c.pub" in told
    host.step("ssh", "config", "--host", "--dry-run").refused(
        "required variable 'Certificate' is missing"
    )


@pytest.mark.parametrize("what", ["--roots", "--federation"])
@pytest.mark.parametrize("of_hosts", [(), ("--host",)])
def test_ssh_config_roots(host, what, of_hosts):
    line = host.step("ssh", "config", what, *of_hosts).succeeded().split()

    file = "host" if of_hosts else "user"
    public = (host.service.authority.directory / "ssh" / f"{file}.pub").read_text()
    assert line[1] == public.split()[1]
    assert base64.b64decode(line[1])


def test_ssh_hosts_and_check_host(host):
    name = f"h{os.urandom(4).hex()}.example.internal"
    assert host.step("ssh", "check-host", name).status == 1

    certified(host, name)

    assert host.step("ssh", "check-host", "--verbose", name).succeeded() == "true\n"
    until(lambda: name in host.step("ssh", "hosts").succeeded(), "it is listed", 20)


def test_ssh_proxycommand(host, agent):
    login = ("ssh", "login", ME, "--principal", ME, *host.by_password())
    host.step(*login).succeeded()
    host.step("ssh", "config").succeeded()

    with sshd(host) as (port, daemon):
        assert "let in" in ssh(host, port, "echo let in").succeeded(), daemon.said()
        assert f"Accepted publickey for {ME}" in daemon.said()


def test_ssh_login_without_a_certificate(host, agent):
    certified(host)
    with sshd(host) as (port, _):
        key = host.file("own")
        run(program("ssh-keygen"), "-q", "-N", "", "-f", key).succeeded()
        run(
            program("ssh"), "-F", "none", "-p", str(port), "-i", key, "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            f"{ME}@{NAME}", "true", env=host.environment,
        ).refused("Permission denied")  # fmt: skip


# --- possession ----------------------------------------------------------------------------------


def test_ssh_renew(host):
    certified(host)
    before = serial(host, "host-cert.pub")

    host.step("ssh", "renew", "host-cert.pub", "host", "--force", *BY_POSSESSION).succeeded()

    assert serial(host, "host-cert.pub") != before
    assert "web01.example.internal" in shown(host, "host-cert.pub")


def test_ssh_renew_into_another_file(host):
    certified(host)
    before = serial(host, "host-cert.pub")

    host.step(
        "ssh", "renew", "host-cert.pub", "host", "--out", "new-cert.pub", *BY_POSSESSION
    ).succeeded()

    assert serial(host, "host-cert.pub") == before
    assert serial(host, "new-cert.pub") != before


def test_ssh_renew_of_a_user(host):
    user(host, "--principal", "alice").succeeded()

    host.step("ssh", "renew", "id-cert.pub", "id", "--force", *BY_POSSESSION).refused(
        "sshpop certificate must be a host ssh certificate"
    )


def test_ssh_rekey(host):
    certified(host)
    before = host.file("host.pub").read_text().split()[1]

    host.step(
        "ssh",
        "rekey",
        "host-cert.pub",
        "host",
        "--force",
        "--no-password",
        "--insecure",
        *BY_POSSESSION,
    ).succeeded()

    assert host.file("host.pub").read_text().split()[1] != before
    assert "web01.example.internal" in shown(host, "host-cert.pub")


def test_ssh_revoke(host):
    certified(host)
    number = serial(host, "host-cert.pub")

    host.step(
        "ssh",
        "revoke",
        number,
        "--sshpop-cert",
        "host-cert.pub",
        "--sshpop-key",
        "host",
        *BY_POSSESSION,
    ).succeeded()

    host.step("ssh", "renew", "host-cert.pub", "host", "--force", *BY_POSSESSION).refused(
        "lacked necessary authorization"
    )
    status = host.service.authority.mintmark("ssh", "list", "--json").text
    assert '"revoked"' in status


def test_ssh_revoke_by_a_token(host):
    user(host, "--principal", "alice").succeeded()
    number = serial(host, "id-cert.pub")
    revoke = ("ssh", "revoke", number, "--reasonCode", "1", *host.by_password())

    host.step(*revoke).succeeded()

    host.step(*revoke).refused(f"certificate with serial number '{number}' is already revoked")
