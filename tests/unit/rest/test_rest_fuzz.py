"""The API answers whatever its own description lets clients send, as the description says."""

from __future__ import annotations

import json
from http.client import responses as reasons
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for

from mintmark.protocol.rest.openapi import describe
from mintmark.protocol.rest.table import ROUTES
from tests.unit.rest.world import local_peer

DESCRIPTION = json.loads(describe(ROUTES))
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}
# Keys that the server makes cost a second each, and what is tested here is the form.
SLOW = {"rsa-2048", "rsa-3072", "rsa-4096"}
SETTINGS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def described(operation, reply):
    """Assert that a reply is one that the description has, and of its schema."""
    known = operation.definition.raw["responses"]
    assert str(reply.status) in known, (reply.status, reply.body)
    content = known[str(reply.status)].get("content", {})
    if reply.status == 304:
        return
    assert reply.response.content_type in content, (reply.status, reply.response.content_type)
    schema = content[reply.response.content_type]["schema"]
    if "$ref" in schema:
        schema = {**schema, "components": DESCRIPTION["components"]}
        validator_for(schema).validate(reply.json)


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_operation_answers_as_described(world, label):
    operation = OPERATIONS[label]

    @SETTINGS
    @given(case=operation.as_strategy())
    def run(case):
        body = case.body if isinstance(case.body, dict) else None
        if body and (body.get("key_type") in SLOW or body.get("key_size")):
            body = {**body, "key_type": "ed25519", "key_size": None}
        headers = {name.lower(): value for name, value in (case.headers or {}).items()}
        headers.pop("authorization", None)
        if len((case.path_parameters or {}).get("id", "?")) % 2 == 0:
            case.path_parameters["id"] = world.certificate("fuzzed").id
        path = case.formatted_path.removeprefix("/api/v1")
        query = urlencode({k: v for k, v in (case.query or {}).items() if v is not None})
        reply = world.ask(
            case.method,
            f"{path}?{query}",
            peer=local_peer(),
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        described(operation, reply)

    run()


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "\0", "get"]),
    path=st.one_of(
        st.text(max_size=60),
        st.sampled_from([route.path for route in ROUTES]),
        st.builds("/certificates/{}/{}".format, st.text(max_size=50), st.text(max_size=10)),
        st.builds("/crl/check/{}".format, st.text(max_size=50)),
    ),
    query=st.text(max_size=60),
    body=st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=10),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=10), inner, max_size=3)
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    headers=st.dictionaries(
        st.sampled_from(
            ["content-type", "authorization", "idempotency-key", "if-none-match", "sec-fetch-site"]
        ),
        st.text(max_size=40),
    ),
    local=st.booleans(),
)
def test_anything_at_all_gets_an_answer(world, method, path, query, body, headers, local):
    request = world.request(
        method, path, peer=local_peer() if local else None, body=body, headers=headers
    )
    request.query = query
    response = world.run(world.api.handle(request))
    assert response.status in reasons
    assert response.status != 500, response.body
    for name, value in response.headers:
        assert not set("\r\n") & set(name + value)


@pytest.mark.parametrize("depth", [17, 1000, 100_000])
def test_a_deep_document_is_refused(world, depth):
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        body = opened * depth + b"1" + closed * depth
        reply = world.ask("POST", "/tokens", peer=local_peer(), body=body)
        assert reply.status in {400, 413}


def test_a_repeated_member_is_refused(world):
    body = b'{"service_name": "webapp", "service_name": "db"}'
    world.ask("POST", "/tokens", peer=local_peer(), body=body).problem(400, "malformed")
