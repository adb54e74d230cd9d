"""schemathesis against our own description, on a real server, as everybody it knows.

Whatever it makes up out of the description: no defect (5xx), no answer that the description does
not have, nothing accepted that the description forbids.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endurance.servers import Server, make, serving
from tests.interop.programs import environment, run

pytestmark = [pytest.mark.endurance, pytest.mark.xdist_group("schema")]
SEED = 20261122
SETTINGS = """
whitelist:
  services:
    - {service_id: storm, names: ['*.storm.internal'], certificates_per_hour: 0}
limits: {certificates_per_hour: null, total_certificates_per_hour: null}
"""
# TRACE is answered with 501: RFC 9110 §9.1 lets a server have never heard of it.
CONFIGURATION = """
[phases.coverage]
unexpected-methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
[checks.negative_data_rejection]
expected-statuses = ["4xx"]
"""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection,"
    "unsupported_method,allow_header_conformance"
)


@pytest.fixture(scope="module")
def server(module_place: Path) -> Iterator[Server]:
    made = make(module_place, settings=SETTINGS)
    (made.authority.home / "schemathesis.toml").write_text(CONFIGURATION)
    with serving(made):
        yield made
    log = made.log.read_text()
    assert "Traceback" not in log
    assert " ERROR " not in log


@pytest.mark.parametrize("who", ["admin", "service", "nobody"])
def test_what_the_description_allows_is_answered_as_it_says(server, who):
    credentials = {
        "admin": (server.directory.admin.fullchain, server.directory.admin.key),
        "service": (server.files.fullchain, server.files.key),
    }
    shown = ()
    if who in credentials:
        certificate, key = credentials[who]
        shown = ("--request-cert", certificate, "--request-cert-key", key)
    done = run(
        Path(sys.executable).with_name("schemathesis"), "run",
        f"{server.authority.api}/openapi.json",
        "--tls-verify", server.authority.root, *shown, "--seed", str(SEED),
        "--max-examples", "8" if shown else "4",
        "--phases", "examples,coverage,fuzzing", "--checks", CHECKS,
        "--warnings", "off", "--no-color",
        cwd=server.authority.home, seconds=120, env=environment(),
    )  # fmt: skip
    assert done.status == 0, done.text[-6000:]
    assert server.is_healthy()
