"""OpenSSH's own programs with certificates of a real authority: who is let in, and who is not."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.authority import MINTMARK, Authority
from tests.interop.programs import Daemon, Result, program, run, until
from tests.interop.ssh.host import (
    ME,
    Host,
    keygen,
    let_in,
    reload,
    require_openssh,
    shown,
)

pytestmark = pytest.mark.interop

SETTINGS = """
ssh:
  profiles:
    forced: {critical_options: ["force-command=echo forced"]}
    elsewhere: {critical_options: ["source-address=192.0.2.0/24"]}
    nearby: {critical_options: ["source-address=127.0.0.0/8"]}
"""


@dataclass(frozen=True)
class People:
    """Who has keys for logging in.

    Args:
        authority: who certifies them.
        path: where their keys are.
        server: the process that serves it.
    """

    authority: Authority
    path: Path
    server: Daemon

    def user(self, name: str, *more: str | Path) -> Path:
        """Certify a new key with principal `deploy`, and return its file."""
        principal = () if "--principal" in more else ("--principal", "deploy")
        self.authority.mintmark(
            "ssh", "user", name, "--out", self.path / name, *principal, *more
        ).succeeded()
        return self.path / name


@pytest.fixture(scope="module")
def people(place: Path) -> Iterator[People]:
    """An authority with SSH CA keys, served; it was made four days ago."""
    require_openssh()
    program("faketime")
    path = place / "openssh"
    authority = Authority.create(path, late_by="4d", settings=SETTINGS)
    keys = path / "keys"
    keys.mkdir()
    ended = (
        "--lifetime", "1h", "--offline", "--passphrase-file", authority.passphrase,
    )  # fmt: skip
    for what, name, *more in (("user", "expired", "--principal", "deploy"), ("host", "asleep")):
        authority.mintmark(
            "ssh", what, name, "--out", keys / name, *more, *ended, late_by="2d"
        ).succeeded()
    with authority.serving() as server:
        yield People(authority, keys, server)


@pytest.fixture(scope="module")
def served(people: People) -> Iterator[tuple[Host, Daemon]]:
    """A host whose certificate lives for four days, and three of them are over."""
    host = Host.create(people.path / "host", people.authority)
    host.certify("--lifetime", "4d", late_by="3d")
    host.allow("deploy", "alice")
    with host.serving() as daemon:
        yield host, daemon


@pytest.fixture
def host(served: tuple[Host, Daemon]) -> Host:
    """The host alone."""
    return served[0]


@pytest.fixture(scope="module")
def good(people: People) -> Path:
    """A key that may log in."""
    return people.user("alice")


def refused(result: Result) -> str:
    """Assert that sshd let nobody in."""
    assert "let in" not in result.text.splitlines()
    return result.refused("Permission denied (publickey)")


# --- users -------------------------------------------------------------------------------------


def test_a_certificate_lets_in_and_sshd_logs_its_key_id(
    served: tuple[Host, Daemon], good: Path, people: People
):
    host, daemon = served
    let_in(host.ssh(good))
    serial = re.search(r"Serial: (\d+)", shown(Path(f"{good}-cert.pub")))
    assert serial
    assert f'ID "alice" (serial {serial[1]})' in daemon.said()


@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param("expired", None, id="a certificate that ended"),
        pytest.param("stranger", ("--principal", "nobody-here"), id="another principal"),
        pytest.param("elsewhere", ("--profile", "elsewhere"), id="from another network"),
    ],
)
def test_a_certificate_does_not_let_in(
    host: Host, people: People, name: str, more: tuple[str, ...] | None
):
    key = people.path / name if more is None else people.user(name, *more)
    refused(host.ssh(key))


def test_a_key_without_a_certificate_does_not_let_in(host: Host, people: People):
    key = people.path / "bare"
    keygen("-t", "ed25519", "-f", key).succeeded()
    refused(host.ssh(key))


def test_a_certificate_of_another_authority_does_not_let_in(host: Host, place: Path):
    other = Authority.create(place / "openssh-other")
    other.mintmark("ssh", "init", "--passphrase-file", other.passphrase)
    key = other.home / "alice"
    other.mintmark(
        "ssh", "user", "alice", "--out", key, "--principal", "deploy",
        "--offline", "--passphrase-file", other.passphrase,
    ).succeeded()  # fmt: skip
    refused(host.ssh(key))


def test_a_host_certificate_lets_nobody_in(host: Host, people: People):
    key = people.path / "pretender"
    people.authority.mintmark("ssh", "host", "deploy", "--out", key).succeeded()
    refused(host.ssh(key))


def test_an_account_without_a_file_of_principals_lets_no_certificate_in(host: Host, people: People):
    """docs/explanation/ssh-access-tiers.md: it does not fall back to the account's name."""
    key = people.user("self", "--principal", ME)
    file = host.path / "principals" / ME
    file.rename(host.path / "aside")
    try:
        refused(host.ssh(key))
    finally:
        (host.path / "aside").rename(file)


def test_a_forced_command_of_the_profile_is_what_runs(host: Host, people: People):
    key = people.user("backup", "--profile", "forced")
    assert "force-command echo forced" in shown(Path(f"{key}-cert.pub"))
    text = let_in(host.ssh(key, command="echo chosen"), "forced")
    assert "chosen" not in text.splitlines()


def test_a_source_address_of_the_profile_lets_its_network_in(host: Host, people: People):
    let_in(host.ssh(people.user("nearby", "--profile", "nearby")))


def test_a_security_key_is_certified(people: People):
    """Made by hand, since no token is plugged in here: PROTOCOL.u2f."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from mintmark.wire.ssh.encoding import base64_text, string

    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    type_ = "sk-ecdsa-sha2-nistp256@openssh.com"
    octets = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    blob = b"".join(map(string, (type_.encode(), b"nistp256", octets, b"ssh:")))
    public = people.path / "token.pub"
    public.write_text(f"{type_} {base64_text(blob)} alice, token 1\n")
    people.authority.mintmark(
        "ssh", "user", "alice", "--public-key", public, "--principal", "deploy"
    ).succeeded()
    text = shown(people.path / "token-cert.pub")
    assert "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com user certificate" in text
    assert "deploy" in text


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-3072"])
def test_every_kind_of_key_lets_in(host: Host, people: People, key_type: str):
    let_in(host.ssh(people.user(f"of-{key_type}", "--key-type", key_type)))


# --- revocation --------------------------------------------------------------------------------


def revoke(people: People, *what: str | Path) -> None:
    people.authority.mintmark("ssh", "revoke", *what).succeeded()


def listed(people: People, *keys: Path) -> None:
    """Wait until the served KRL names the certificates of keys."""
    krl = people.path / "served.krl"
    certificates = [f"{key}-cert.pub" for key in keys]

    def named() -> bool:
        krl.write_bytes(people.authority.fetch("/ssh/krl"))
        answer = run(program("ssh-keygen"), "-Q", "-f", krl, *certificates)
        return answer.text.count("REVOKED") == len(keys)

    until(named, "the KRL names them", 60)


@pytest.fixture(scope="module")
def revoked(served: tuple[Host, Daemon], people: People) -> dict[str, Path]:
    """Keys that could log in until they were revoked, by how they were."""
    host, _ = served
    keys = {by: people.user(f"revoked-{by}") for by in ("file", "serial", "key-id", "public-key")}
    for key in keys.values():
        let_in(host.ssh(key))
    serial = re.search(r"Serial: (\d+)", shown(Path(f"{keys['serial']}-cert.pub")))
    assert serial
    revoke(people, f"{keys['file']}-cert.pub")
    revoke(people, serial[1])
    revoke(people, "--key-id", "revoked-key-id")
    revoke(people, "--public-key", f"{keys['public-key']}.pub")
    listed(people, *keys.values())
    host.refresh()
    return keys


@pytest.mark.parametrize("by", ["file", "serial", "key-id", "public-key"])
def test_a_revoked_certificate_does_not_let_in_once_the_host_has_the_list(
    host: Host, people: People, good: Path, revoked: dict[str, Path], by: str
):
    key = revoked[by]
    refused(host.ssh(key))
    let_in(host.ssh(good))
    told = people.authority.mintmark("ssh", "inspect", f"{key}-cert.pub").succeeded()
    assert re.search(r"^status +revoked$", told, re.MULTILINE)


def test_an_empty_list_of_revoked_keys_revokes_nobody(host: Host, people: People):
    """docs/explanation/ssh-access-tiers.md says so; mintmark never writes one."""
    key = people.user("emptied")
    revoke(people, f"{key}-cert.pub")
    listed(people, key)
    host.refresh()
    refused(host.ssh(key))
    (host.trust / "revoked.krl").write_bytes(b"")
    try:
        let_in(host.ssh(key))
    finally:
        host.refresh()
    refused(host.ssh(key))


@pytest.mark.parametrize("text", [None, b"SSHKRL\n\0 and then nothing"])
def test_a_list_of_revoked_keys_that_is_none_keeps_everybody_out(
    host: Host, good: Path, tmp_path: Path, text: bytes | None
):
    """docs/explanation/ssh-access-tiers.md says so; mintmark never leaves one like that."""
    token = tmp_path / "token"
    keygen("-t", "ed25519", "-f", token).succeeded()
    (host.path / "authorized_keys").write_text(token.with_suffix(".pub").read_text())
    let_in(host.ssh(token))
    file = host.trust / "revoked.krl"
    file.unlink()
    if text is not None:
        file.write_bytes(text)
    try:
        refused(host.ssh(good))
        refused(host.ssh(token))
    finally:
        host.refresh()
    let_in(host.ssh(good))
    let_in(host.ssh(token))


# --- hosts -------------------------------------------------------------------------------------


def test_a_client_trusts_a_host_by_its_ca_only(host: Host, good: Path, tmp_path: Path):
    known_hosts = host.known_hosts
    assert known_hosts.read_text().startswith("@cert-authority * ")
    let_in(host.ssh(good, known_hosts=known_hosts))
    empty = tmp_path / "nobody"
    empty.touch()
    host.ssh(good, known_hosts=empty).refused("Host key verification failed")


def test_a_client_does_not_trust_the_users_ca_for_hosts(host: Host, good: Path, tmp_path: Path):
    user_ca = (host.trust / "user_ca.pub").read_text().splitlines()[0]
    wrong = tmp_path / "known_hosts"
    wrong.write_text(f"@cert-authority * {user_ca}\n")
    host.ssh(good, known_hosts=wrong).refused("Host key verification failed")


def test_a_client_refuses_a_host_certificate_for_another_name(host: Host, good: Path):
    host.ssh(good, name="127.0.0.1").refused("Host key verification failed")


def host_serial(host: Host, good: Path) -> str:
    """Return the serial of the certificate that the host shows now."""
    text = let_in(host.ssh(good))
    found = re.search(r"Server host certificate: \S+ \S+, serial (\d+) ID", text)
    assert found, text
    return found[1]


def test_a_host_certificate_is_renewed_by_the_timer_and_seen_served(
    served: tuple[Host, Daemon], good: Path, people: People
):
    host, daemon = served
    before = host_serial(host, good)
    marker = people.path / "reloaded"

    def by_timer(command: str = f"touch {marker}") -> Result:
        url = f"https://localhost:{people.authority.https_port}"
        # Nobody's credential but the host's own key.
        return run(
            MINTMARK, "ssh", "renew", "--timer", host.certificate,
            "--reload", command, "--server", url, "--ca", people.authority.root,
            cwd=people.path,
        )  # fmt: skip

    by_timer("false").refused("ended with status 1")
    assert by_timer().succeeded() == ""  # the certificate is new, the reload was owed
    assert marker.exists()
    reload(daemon)
    after = host_serial(host, good)
    assert after != before
    marker.unlink()
    assert by_timer().succeeded() == ""  # not due, and nothing owed
    assert not marker.exists()
    reload(daemon)
    assert host_serial(host, good) == after


def test_a_host_that_slept_too_long_renews_nothing(people: People):
    certificate = people.path / "asleep-cert.pub"
    before = certificate.read_text()
    people.authority.mintmark("ssh", "renew", "--timer", certificate).refused("expired")
    assert certificate.read_text() == before


# --- rollover ----------------------------------------------------------------------------------


def test_the_users_ca_is_rolled_over_without_locking_anybody_out(host: Host, people: People):
    def step(*more: str) -> None:
        people.authority.mintmark(
            "ssh", "rollover", "user", *more, "--passphrase-file", people.authority.passphrase
        ).succeeded()
        people.server.signal(signal.SIGHUP)  # it would look by itself within ten seconds

    def trusts(number: int, what: str) -> None:
        """Wait until so many keys are trusted, and have the host do so."""
        told = people.authority.fetch
        until(lambda: len(told("/ssh/user_ca.pub").splitlines()) == number, what)
        host.refresh()

    def signs() -> str:
        told = people.authority.mintmark("ssh", "ca").succeeded()
        found = re.search(r"^user +active +\S+ +(\S+)$", told, re.MULTILINE)
        return found[1] if found else ""

    old, first = people.user("before-rollover"), signs()
    trusts(1, "the active key is trusted")
    step()
    trusts(2, "the next key is trusted")
    let_in(host.ssh(old))
    step("--activate")
    until(lambda: signs() != first, "the next key signs")
    new = people.user("after-rollover")
    trusts(2, "both are trusted")
    let_in(host.ssh(old))
    let_in(host.ssh(new))
    people.authority.mintmark("ssh", "rollover", "user", "--retire").refused(
        "need the previous key"
    )
    step("--retire", "--force")
    trusts(1, "the previous key is retired")
    refused(host.ssh(old))
    let_in(host.ssh(new))
