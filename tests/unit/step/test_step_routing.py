"""One router decides whose a path is; nobody stands in another's way."""

from __future__ import annotations

import pytest

from mintmark.server.app import http_app, https_app
from mintmark.wire.http import Peer, Request, Response


class Known:
    """Answers with its name and the path that it was asked for."""

    def __init__(self, name):
        self.name = name

    def handle(self, request):
        return Response(200, f"{self.name} {request.path}".encode())


PARTS = {name: Known(name) for name in ("api", "acme", "repository", "step", "ocsp")}
HTTPS = https_app(PARTS["api"], PARTS["acme"], PARTS["repository"], PARTS["step"])
HTTP = http_app(PARTS["ocsp"], PARTS["repository"], PARTS["step"])


def whose(app, path):
    return app(Request("GET", path, "", {}, b"", Peer("127.0.0.1"))).body.decode().split()


def test_every_path_of_the_protocol_is_answered_by_it(world):
    for route in world.step.routes:
        for prefix in ("/", "/1.0/"):
            path = prefix + route.path.replace("{", "").replace("}", "")
            assert whose(HTTPS, path) == ["step", path]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/api/v1/health", "api"),
        ("/acme/acme/directory", "acme"),
        ("/crl/0123456789abcdef.crl", "repository"),
        ("/crl/all.pem", "repository"),
        ("/issuer/0123456789abcdef.cer", "repository"),
        ("/ssh/krl", "repository"),
        ("/ssh/user_ca.pub", "repository"),
        ("/ssh/host_ca.pub", "repository"),
        ("/ssh/../api", "step"),
        ("/crl", "step"),
        ("/", "step"),
        ("/apis", "step"),
    ],
)
def test_paths_of_others_stay_theirs(path, part):
    assert whose(HTTPS, path) == [part, path]


def test_old_clients_look_for_acme_under_a_number():
    assert whose(HTTPS, "/2.0/acme/acme/directory") == ["acme", "/acme/acme/directory"]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/crl", "step"),
        ("/1.0/crl", "step"),
        ("/crl/all.pem", "repository"),
        ("/health", "repository"),
        ("/ocsp", "ocsp"),
        ("/ssh/krl", "repository"),
        ("/sign", "repository"),
        ("/1.0/sign", "repository"),
        ("/provisioners", "repository"),
    ],
)
def test_without_tls_only_what_is_signed_is_answered(path, part):
    assert whose(HTTP, path) == [part, path]
