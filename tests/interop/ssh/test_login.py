"""`mintmark ssh login` with a provider, an agent and an sshd: in, refused, and out again."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.authority import Authority
from tests.interop.oidc.provider import OpenIDProvider
from tests.interop.programs import program, run, until
from tests.interop.ssh.host import Host, let_in, require_openssh, shown
from tests.interop.ssh.people import Person, entry

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def served(place: Path, openid: OpenIDProvider) -> Iterator[tuple[Authority, Host]]:
    """An authority whose people sign in at the provider, and a host that trusts it."""
    require_openssh()
    path = place / "login"
    authority = Authority.create(path)
    with authority.serving():
        file = authority.home / "staff.yaml"
        file.write_text(entry(openid))
        authority.mintmark("provisioner", "add", "staff", "--file", file).succeeded()
        host = Host.create(path / "host", authority)
        host.certify()
        host.allow("deploy")
        with host.serving():
            yield authority, host


def new_home(place: Path) -> Path:
    """Return an empty directory; sockets have short names."""
    return Path(tempfile.mkdtemp(prefix="h", dir=place))


@pytest.fixture
def person(
    served: tuple[Authority, Host], provider: OpenIDProvider, place: Path
) -> Iterator[Person]:
    """Alice, on a new machine with an agent."""
    made = Person(new_home(place), served[0], provider)
    with made.agent():
        yield made


@pytest.fixture
def host(served: tuple[Authority, Host]) -> Host:
    """The host."""
    return served[1]


def test_a_person_signs_in_once_and_logs_in(person: Person, host: Host):
    text = person.login(*person.first).succeeded()
    assert f"sign in at {person.provider.issuer}/auth?" in text
    assert "signed in as alice@example.com; log in as alice, deploy" in text
    assert "in 15 hours" in text
    let_in(host.ssh(agent=str(person.socket)))
    told = run(program("ssh-add"), "-l", env=person.environment).succeeded()
    assert "mintmark alice@example.com (ED25519-CERT)" in told
    # Neither the key nor the token is in a file.
    files = {path.name for path in person.home.rglob("*") if path.is_file()}
    assert files == {"agent.log", "ca.pem", "server"}


def test_the_second_sign_in_needs_no_address_and_replaces_the_first(person: Person):
    run(
        program("ssh-keygen"), "-q", "-N", "", "-t", "ed25519", "-f", person.home / "own",
        "-C", "mintmark is not who made this",
    ).succeeded()  # fmt: skip
    run(program("ssh-add"), person.home / "own", env=person.environment).succeeded()
    person.login(*person.first).succeeded()
    first = person.held().splitlines()
    person.login().succeeded()
    second = person.held().splitlines()
    assert len(first) == len(second) == 2
    assert len(set(first) & set(second)) == 1  # the person's own key stays
    inspected = run(
        "sh", "-c", "ssh-add -L | mintmark ssh inspect -", env=person.environment
    ).succeeded()
    assert re.search(r"^trusted +yes$", inspected, re.MULTILINE)


def test_a_person_signs_in_on_another_device(person: Person):
    person.login(*person.first).succeeded()
    waiting = person.start(
        "ssh", "login", "--device", "--provider-ca", str(person.provider.root), "--json"
    )
    assert waiting.stdout is not None
    lines = [waiting.stdout.readline() for _ in range(2)]
    assert "on any device, open" in lines[0]
    found = re.search(r"or open (\S+)", lines[1])
    assert found, lines
    person.provider.sign_in(found[1])
    rest, _ = waiting.communicate(timeout=30)
    assert '"replaced": 1' in rest


def test_who_left_the_group_gets_nothing_more(person: Person, host: Host):
    person.login(*person.first).succeeded()
    person.provider.says(groups=["guests"])
    person.login().refused("is in no group")
    person.login("--no-agent", "--out", person.home / "none").refused("is in no group")
    assert not (person.home / "none").exists()
    let_in(host.ssh(agent=str(person.socket)))  # what is there goes on until it ends


def test_a_principal_that_the_sign_in_does_not_give_is_refused(person: Person):
    person.login(*person.first, "--principal", "root").refused("principal 'root' is not among")
    assert "no identities" in person.held()


def test_the_agent_forgets_the_key_when_the_certificate_ends(
    served: tuple[Authority, Host], provider: OpenIDProvider, place: Path
):
    made = Person(new_home(place), served[0], provider)
    with made.agent(speed=100):
        text = made.login(*made.first, "--lifetime", "5m").succeeded()
        assert "ssh-agent has the certificate until" in text
        until(lambda: "no identities" in made.held(), "five minutes are over in three seconds")


def test_files_are_written_where_there_is_no_agent(person: Person, host: Host):
    key = person.home / "today"
    person.login(*person.first, "--no-agent", "--out", key).succeeded()
    assert 'Key ID: "alice@example.com"' in shown(Path(f"{key}-cert.pub"))
    assert key.stat().st_mode & 0o777 == 0o600
    let_in(host.ssh(key))
    person.login("--no-agent", "--out", key).refused("exists already")


def test_a_wrong_fingerprint_is_refused_and_nothing_is_remembered(person: Person):
    server, url, option, digest = person.first
    wrong = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    person.login(server, url, option, wrong).refused("has no root with fingerprint")
    person.login().refused("no server is known here yet")


def test_without_an_agent_nobody_is_asked_to_sign_in(person: Person):
    person.socket.rename(person.home / "gone")
    try:
        text = person.login(*person.first).refused("no ssh-agent at")
        assert "sign in at" not in text
    finally:
        (person.home / "gone").rename(person.socket)


def test_a_provider_that_is_down_is_named(served, person: Person, place: Path):
    authority, _ = served
    entry_of = "type: oidc\nconfiguration_endpoint: https://localhost:1\nclient_id: x\n"
    file = person.home / "down.yaml"
    file.write_text(entry_of)
    authority.mintmark("provisioner", "add", "down", "--file", file).succeeded()
    try:
        until(
            lambda: "--provisioner" in person.login(*person.first).refused("several places"),
            "the new provisioner is known",
        )
        person.login("--provisioner", "down").refused("no answer from the OpenID provider")
    finally:
        authority.mintmark("provisioner", "remove", "down").succeeded()
