"""A service that fetches its own certificates, as docs/how-to/enroll-a-service.md has it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.authority import Authority, Files
from tests.interop.programs import Daemon, Result, program, run, until

pytestmark = pytest.mark.interop
PAGE = "how-to/enroll-a-service.md"


@pytest.fixture(scope="module")
def own(place: Path) -> Iterator[tuple[Authority, Daemon]]:
    """An authority whose configuration a page may change, and its server."""
    made = Authority.create(place / "enrolling")
    with made.serving() as daemon:
        yield made, daemon


def test_the_enrollment_page_works_as_it_is_written(own: tuple[Authority, Daemon], place: Path):
    program("curl")
    program("openssl")
    authority, daemon = own
    words = {"pki.example.internal:8443": f"localhost:{authority.https_port}"}
    sandbox = pages.Sandbox(place / "enrollment-page", words)
    (sandbox.host("pki") / "mintmark").symlink_to(authority.directory)

    def scp(command: str) -> Result:
        *files, host = command.split()[1:]
        for file in files:
            shutil.copy2(sandbox.host("pki") / file, sandbox.host(host.removesuffix(":")))
        return Result(0, "")

    def systemctl(command: str) -> Result:
        assert command == "systemctl reload mintmark"
        settings = authority.directory / "mintmark.yaml"
        ports = settings.read_text()
        settings.write_text(ports + sandbox.path("mintmark.yaml").read_text())
        daemon.signal(signal.SIGHUP)
        until(lambda: "the configuration was taken up" in daemon.said(), "the server reloaded")
        return Result(0, "")

    sandbox.handlers = {"scp": scp, "systemctl": systemctl}
    sandbox.follow(PAGE)


class Service:
    """A service that speaks to the API with curl, as docs/reference/rest-api.md says.

    Args:
        authority: whose API it is.
        shown: its certificate and key; none for nobody.
    """

    def __init__(self, authority: Authority, *shown: Path) -> None:
        self._authority = authority
        options = zip(("--cert", "--key"), shown, strict=False)
        self._command = (
            program("curl"), "--silent", "--show-error", "--max-time", "10",
            "--cacert", authority.root, *(part for option in options for part in option),
        )  # fmt: skip

    @classmethod
    def of(cls, authority: Authority, files: Files) -> Service:
        """Return the service that has a certificate."""
        return cls(authority, files.fullchain, files.key)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        """Return status and document of one request."""
        sent = ("--header", "Content-Type: application/json", "--data", json.dumps(body))
        answer = run(
            *self._command, "--request", method, *(sent if body is not None else ()),
            "--write-out", r"\n%{http_code}", self._authority.api + path,
        ).succeeded()  # fmt: skip
        text, _, status = answer.rpartition("\n")
        return int(status), json.loads(text)


def test_a_service_renews_downloads_and_revokes_its_own(authority: Authority):
    files = authority.issue("catalog", profile="peer")
    service = Service.of(authority, files)
    status, renewed = service.ask("POST", "/certificates/catalog/renew", {"lifetime": "12h"})
    assert (status, renewed["service_name"]) == (201, "catalog")
    assert renewed["replaces"] == f"cert_{files.serial:040x}"
    status, page = service.ask("GET", "/certificates/")
    assert {one["service_name"] for one in page["certificates"]} == {"catalog"}
    revoke = f"/certificates/{renewed['certificate_id']}/revoke"
    status, revoked = service.ask("DELETE", revoke, {"reason": "superseded"})
    assert (status, revoked["revocation_reason"]) == (200, "superseded")
    status, checked = service.ask("GET", f"/crl/check/{renewed['serial_number']}")
    assert (status, checked["status"]) == (200, "revoked")


def test_a_service_cannot_touch_anothers_certificate(authority: Authority, good: Files):
    service = Service.of(authority, authority.issue("curious", profile="peer"))
    for method, path in (
        ("GET", f"/certificates/cert_{good.serial:040x}"),
        ("POST", f"/certificates/cert_{good.serial:040x}/renew"),
        ("DELETE", "/certificates/worker/revoke"),
    ):
        status, problem = service.ask(method, path)
        assert (status, problem["type"]) == (404, "urn:mintmark:error:not-found")


def test_a_revoked_service_is_locked_out_at_its_next_request(authority: Authority):
    files = authority.issue("dismissed", profile="peer")
    service = Service.of(authority, files)
    assert service.ask("GET", "/certificates/dismissed")[0] == 200
    authority.mintmark("revoke", files.path, "--reason", "privilege-withdrawn").succeeded()
    status, problem = service.ask("GET", "/certificates/dismissed")
    assert (status, problem["type"]) == (401, "urn:mintmark:error:unauthenticated")


def test_nobody_without_a_certificate_gets_one(authority: Authority):
    status, problem = Service(authority).ask(
        "POST", "/certificates/request", {"common_name": "anybody.example.internal"}
    )
    assert (status, problem["type"]) == (401, "urn:mintmark:error:unauthenticated")


def test_the_api_ends_the_handshake_of_other_certificates(
    authority: Authority, foreign: Files, expired: Files
):
    for files, reason in ((foreign, "alert unknown ca"), (expired, "alert certificate expired")):
        answer = run(
            program("curl"), "--silent", "--show-error", "--max-time", "10",
            "--cacert", authority.root, "--cert", files.fullchain, "--key", files.key,
            f"{authority.api}/certificates/",
        )  # fmt: skip
        answer.refused(reason)


def test_a_token_is_good_once(authority: Authority):
    token = authority.home / "once.token"
    authority.mintmark("token", "once", "--out", token).succeeded()

    def enroll(directory: str) -> Result:
        return authority.mintmark("issue", "once", "--token-file", token, "--out", directory)

    enroll("first").succeeded()
    enroll("second").refused("the token is unknown, used up or expired")


def test_the_request_of_the_reference_is_answered_as_it_says(authority: Authority, tmp_path: Path):
    blocks = [block for block in pages.page("reference/rest-api.md") if block.kind == "json"]
    wish = next(json.loads(block.text) for block in blocks if '"csr"' in block.text)
    key, csr = tmp_path / "key.pem", tmp_path / "request.csr"
    run(
        program("openssl"), "req", "-new", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr, "-subj", "/",
    ).succeeded()  # fmt: skip
    files = authority.directory / "admin"
    admin = Service(authority, files / "fullchain.pem", files / "key.pem")
    status, issued = admin.ask("POST", "/certificates/request", wish | {"csr": csr.read_text()})
    assert status == 201, issued
    assert issued["service_name"] == wish["service_name"]
    assert issued["common_name"] == wish["common_name"]
    assert issued["metadata"] == wish["metadata"]
    names = {name["value"] for name in issued["names"]}
    assert names == {wish["common_name"], *wish["san_dns"], *wish["san_ip"]}
    leaf = tmp_path / "leaf.pem"
    leaf.write_text(issued["certificate"] + issued["chain"])
    verified = run(
        program("openssl"), "verify", "-CAfile", authority.root, "-untrusted", leaf, leaf
    )
    assert verified.succeeded() == f"{leaf}: OK\n"
