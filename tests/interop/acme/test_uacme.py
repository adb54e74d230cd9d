"""uacme from Debian, as docs/how-to/acme-uacme.md has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.acme.host import Host, webroot
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service
from tests.interop.programs import Daemon, Result, free_port, listens, program, run, running

pytestmark = pytest.mark.interop
PAGE = "how-to/acme-uacme.md"
STORE = Path("/etc/ssl/certs/ca-certificates.crt")
HOOK = Path("/usr/share/uacme/uacme.sh")


def equip(host: Host) -> None:
    """Install uacme on a host whose system store is a file of its own.

    The file lies over the real one in a mount namespace, which is what `update-ca-certificates`
    comes to for uacme.
    """
    store = host.root / "ca-certificates.crt"
    store.write_bytes(STORE.read_bytes() if STORE.exists() else b"")
    unshare = (program("unshare"), "--mount", *(("--map-root-user",) if os.geteuid() else ()))
    mount = f'mount --bind {store} {STORE} && exec "$@"'
    if run(*unshare, "sh", "-c", f"mount --bind {store} {STORE}").status:
        pytest.skip(f"no mount over {STORE} is allowed here, and uacme has no option for a root")
    configuration = host.path("/etc/ssl/uacme")
    configuration.mkdir(parents=True)
    host.wrap("uacme", *unshare, "sh", "-c", mount, "sh", program("uacme"), "-c", configuration)

    def update(_: str) -> Result:
        added = host.path("/usr/local/share/ca-certificates").glob("*.crt")
        with store.open("ab") as file:
            file.writelines(one.read_bytes() for one in added)
        return Result(0, "1 added, 0 removed; done.\n")

    host.handlers = {**host.handlers, "update-ca-certificates": update}


@pytest.fixture(scope="module")
def host(place: Path, service: Service) -> Host:
    """A host whose uacme has an account."""
    made = Host(place / "uacme", service)
    equip(made)
    with (made.root / "ca-certificates.crt").open("ab") as store:
        store.write(service.root.read_bytes())
    challenges = made.path("/var/www/html/.well-known/acme-challenge")
    challenges.mkdir(parents=True)
    made.variables = {**made.variables, "UACME_CHALLENGE_PATH": str(challenges)}
    made.type(uacme("-y new a@example.internal")).succeeded()
    return made


def uacme(*arguments: str, provisioner: str = "acme") -> str:
    """Return a command line."""
    directory = f"https://pki.example.internal:8443/acme/{provisioner}/directory"
    return " ".join(("uacme", "-v", "-a", directory, *arguments))


def issued(host: Host, name: str) -> Issued:
    """Return a certificate of the host."""
    return Issued(host.service, host.path(f"/etc/ssl/uacme/{name}/cert.pem"))


def test_the_uacme_page_works_as_it_is_written(place: Path, service: Service):
    program("nsupdate")
    host = Host(place / "uacme-page", service)
    host.words["10.0.0.7"] = "127.0.0.1"
    equip(host)
    with webroot(host.path("/var/www/html"), service.http_port):
        host.follow(PAGE)
    assert host.did() == ["reload nginx"]
    (old,) = host.path("/etc/ssl/uacme/www.example.internal").glob("revoked-*.pem")
    revoked = Issued(service, old).verify("www.example.internal", "shop.example.internal")
    assert revoked.status() == "superseded"
    wildcard = issued(host, "apps.example.internal")
    assert wildcard.verify("apps.example.internal", "*.apps.example.internal").status() == "good"
    issued(host, "127.0.0.1").verify("127.0.0.1")


def test_uacme_orders_renews_and_revokes(host: Host, service: Service):
    issue = uacme(f"-h {HOOK} issue one.example.internal two.example.internal")
    with webroot(host.path("/var/www/html"), service.http_port):
        host.type(issue).succeeded()
        found = issued(host, "one.example.internal")
        serial = found.verify("one.example.internal", "two.example.internal").serial
        assert host.type(issue).status == 1, "it is not due"
        host.type(issue.replace(" -v", " -v -f")).succeeded()
    assert found.verify("one.example.internal", "two.example.internal").serial != serial
    kept = host.home / "kept.pem"
    kept.write_bytes(found.path.read_bytes())
    host.type(uacme(f"-r 5 revoke {found.path}")).succeeded()
    assert Issued(service, kept).status() == "cessationOfOperation"


def test_uacme_takes_the_chain_with_the_root_where_it_is_asked_to(host: Host, service: Service):
    with webroot(host.path("/var/www/html"), service.http_port):
        host.type(uacme(f"-l 1 -h {HOOK} issue whole.example.internal")).succeeded()
    found = issued(host, "whole.example.internal").verify("whole.example.internal")
    assert found.path.read_text().endswith(service.root.read_text())


def test_uacme_sees_a_revocation_and_orders_anew(host: Host, service: Service):
    issue = uacme(f"-h {HOOK} issue seen.example.internal")
    with webroot(host.path("/var/www/html"), service.http_port):
        host.type(issue).succeeded()
        serial = issued(host, "seen.example.internal").serial
        service.authority.mintmark("revoke", f"cert_{serial:040x}").succeeded()
        assert "REVOKED" in host.type(issue).succeeded()
    assert issued(host, "seen.example.internal").serial != serial


def test_uacme_revokes_with_the_key_of_the_certificate(host: Host, service: Service):
    with webroot(host.path("/var/www/html"), service.http_port):
        host.type(uacme(f"-h {HOOK} -t EC issue key.example.internal")).succeeded()
    kept = host.home / "key.pem"
    kept.write_bytes(issued(host, "key.example.internal").path.read_bytes())
    private = host.path("/etc/ssl/uacme/private/key.example.internal/key.pem")
    host.type(uacme(f"-r 1 revoke {kept} {private}")).succeeded()
    (moved,) = host.home.glob("revoked-*.pem")
    assert Issued(service, moved).status() == "keyCompromise"


def test_uacme_changes_the_key_of_its_account(host: Host, service: Service):
    key = host.path("/etc/ssl/uacme/private/key.pem")
    before = key.read_bytes()
    host.type(uacme("newkey")).succeeded()
    assert key.read_bytes() != before
    with webroot(host.path("/var/www/html"), service.http_port):
        host.type(uacme(f"-h {HOOK} issue after.example.internal")).succeeded()
    issued(host, "after.example.internal").verify("after.example.internal")
    host.type(uacme("update b@example.internal")).succeeded()


def test_uacme_orders_by_tls_with_its_responder(host: Host, service: Service):
    port, path = service.https_port, host.root / "ualpn.sock"
    host.wrap("ualpn", program("ualpn"), "-s", path)
    responder = Daemon(
        (
            program("ualpn"), "-v", "-s", str(path), "-S", "0666",
            "-b", f"127.0.0.1@{port}", "-c", f"127.0.0.1@{free_port()}",
        ),
        host.root / "ualpn.log",
    )  # fmt: skip
    with running(responder, lambda: listens(port) and path.exists()):
        host.type(uacme("-h /usr/share/uacme/ualpn.sh issue tls.example.internal")).succeeded()
    issued(host, "tls.example.internal").verify("tls.example.internal")


def test_uacme_gives_up_its_account(place: Path, service: Service):
    host = Host(place / "uacme-leaving", service)
    equip(host)
    with (host.root / "ca-certificates.crt").open("ab") as store:
        store.write(service.root.read_bytes())
    host.type(uacme("-y new")).succeeded()
    host.type(uacme("deactivate")).succeeded()
    issue = host.type(uacme(f"-h {HOOK} issue late.example.internal"))
    issue.refused("the account of this key is deactivated")
