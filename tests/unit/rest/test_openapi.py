"""The OpenAPI description says what the route table does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mintmark.client import documents, ssh_documents
from mintmark.model.errors import Kind
from mintmark.model.status import Reason
from mintmark.protocol.rest.openapi import describe
from mintmark.protocol.rest.routes import Access
from mintmark.protocol.rest.table import ROUTES
from mintmark.wire.json import decode


@pytest.fixture(scope="module")
def description():
    return json.loads(describe(ROUTES))


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_route_is_described_and_nothing_else(description):
    described = {
        (method.upper(), path) for path, item in description["paths"].items() for method in item
    }
    assert described == {(route.method, f"/api/v1{route.path}") for route in ROUTES}


def test_every_operation_has_the_parts_openapi_asks_for(description):
    assert description["openapi"].startswith("3.1.")
    seen = set()
    for path, item in description["paths"].items():
        for operation in item.values():
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])
            assert operation["summary"].endswith(".")
            for response in operation["responses"].values():
                assert response["description"]
            in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            for parameter in operation["parameters"]:
                assert parameter["schema"]
                assert parameter["description"], parameter


def test_every_reference_has_its_schema(description):
    for reference in references(description):
        name = reference.removeprefix("#/components/schemas/")
        assert name in description["components"]["schemas"], reference


def test_every_property_of_every_schema_is_explained(description):
    for name, schema in description["components"]["schemas"].items():
        assert "Args:" not in schema.get("description", ""), name


def test_public_routes_and_only_they_have_no_security(description):
    for route in ROUTES:
        operation = description["paths"][f"/api/v1{route.path}"][route.method.lower()]
        assert (operation["security"] == []) is (route.access is Access.PUBLIC)
        assert ({"token": []} in operation["security"]) is route.tokens
        assert ({"provisionerToken": []} in operation["security"]) is bool(route.purposes)
        assert ("401" in operation["responses"]) is (route.access is not Access.PUBLIC)


def test_what_can_be_ended_twice_is_described_with_the_conflict(description):
    for route in ROUTES:
        if route.method == "DELETE":
            operation = description["paths"][f"/api/v1{route.path}"]["delete"]
            assert "409" in operation["responses"], route.path


def test_limits_of_requests_are_in_the_schemas(description):
    request = description["components"]["schemas"]["CertificateRequest"]
    assert request["additionalProperties"] is False
    assert request["properties"]["san_dns"]["maxItems"] == 100
    assert request["properties"]["metadata"]["maxProperties"] == 16


def test_the_description_is_served(world):
    reply = world.ask("GET", "/openapi.json")
    assert reply.status == 200
    assert reply.body == describe(ROUTES)


def test_schemathesis_loads_it():
    import schemathesis

    schema = schemathesis.openapi.from_dict(json.loads(describe(ROUTES)))
    assert len(list(schema.get_all_operations())) == len(ROUTES)


# --- the page that explains it -----------------------------------------------------------------

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rest-api.md"


def test_the_reference_page_names_every_route_and_who_may_call_it():
    text = PAGE.read_text(encoding="utf-8")
    for route in ROUTES:
        if route.path == "/certificates":
            continue
        (row,) = (
            line for line in text.splitlines() if f"| `{route.method} {route.path}` |" in line
        )
        who = row.split("|")[2]
        if route.access is Access.PUBLIC:
            assert "everybody" in who, row
        elif route.operation is not None:
            assert f"`{route.operation.value}`" in who, row
        assert ("one-time token" in who) is route.tokens, row
        assert ("provisioner's token" in who) is bool(route.purposes), row


@pytest.mark.parametrize(
    "struct",
    [
        documents.CertificateRequest,
        documents.IssuedCertificate,
        documents.TokenRequest,
        documents.ExternalKeyRequest,
        documents.UnpauseRequest,
        documents.RenewalWindowsRequest,
        ssh_documents.SSHCertificateRequest,
        ssh_documents.SSHRenewal,
        ssh_documents.SSHCertificateDocument,
        ssh_documents.SSHBanRequest,
    ],
)
def test_the_reference_page_names_every_field(struct):
    text = PAGE.read_text(encoding="utf-8")
    for name in struct.__struct_fields__:
        assert f"`{name}`" in text, name


def test_the_reference_page_names_every_kind_and_reason():
    text = PAGE.read_text(encoding="utf-8")
    withheld = {Kind.CONFIGURATION}
    for word in [*(k.value for k in Kind if k not in withheld), *(r.word for r in Reason)]:
        assert f"`{word}`" in text, word


def test_the_example_of_the_reference_page_is_a_request():
    (example,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert decode(example.encode(), documents.CertificateRequest).service_name
