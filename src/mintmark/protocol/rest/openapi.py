"""The OpenAPI 3.1 description, made from the route table and the structs that decode it.

Nothing is described twice: paths, access and status codes come from the rows of the table,
schemas and limits from the structs, and the words from their docstrings.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec

import mintmark
from mintmark.client.documents import Problem
from mintmark.protocol.rest.routes import BASE, Access, Route

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_PROBLEM_TYPE = "application/problem+json"
_PATH_PARAMETERS: dict[str, Schema] = {
    "id": {
        "description": "Certificate id (`cert_…`), serial in hex, or a service id for its "
        "current certificate.",
        "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,127}$"},
    },
    "ssh_id": {
        "description": "Id of an SSH certificate (`cert_…`), or its serial in decimal.",
        "schema": {"type": "string", "pattern": "^(cert_[0-9a-f]{16}|[0-9]{1,20})$"},
    },
    "serial": {
        "description": "Serial of at most 20 octets: hex, hex with colons, or decimal.",
        "schema": {"type": "string", "pattern": "^[0-9A-Fa-fx:]{1,61}$"},
    },
    "key_id": {
        "description": "Id of an external account key, the `kid` of ACME clients.",
        "schema": {"type": "string", "pattern": "^[a-z0-9]{1,64}$"},
    },
    "account_id": {
        "description": "Id of an ACME account, the last part of its URL.",
        "schema": {"type": "string", "pattern": "^[a-z0-9]{1,64}$"},
    },
    "provisioner": {
        "description": "Name of a provisioner.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,47}$"},
    },
}
_IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repetition with the same key and body gets the same certificate.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_PASSWORD: Schema = {
    "name": "X-PKCS12-Password",
    "in": "header",
    "description": "Password of a PKCS #12 file, for programs that want one.",
    "schema": {"type": "string", "pattern": "^[ -~]{1,128}$"},
}
_REFUSALS = {
    400: "The request cannot be read.",
    401: "No valid client certificate or token.",
    403: "Who asks is known, and may not.",
    404: "No such object, or none that the requester may see.",
    409: "The object's state excludes this.",
    413: "Too large.",
    414: "The path with its query is too long.",
    415: "The body is not JSON.",
    422: "A value is refused, and the answer says which and why.",
    429: "Too many; `Retry-After` says when to come back.",
    503: "Storage does not work now; `Retry-After` says when to come back.",
}


def describe(routes: Iterable[Route]) -> bytes:
    """Return the description, encoded."""
    routes = tuple(routes)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(BASE + route.path, {})[route.method.lower()] = _operation(route)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "mintmark",
                "version": mintmark.__version__,
                "summary": "A private certification authority.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": _schemas(routes),
                "securitySchemes": {
                    "clientCertificate": {
                        "type": "mutualTLS",
                        "description": "A certificate of this authority.",
                    },
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "A one-time enrolment token.",
                    },
                    "provisionerToken": {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "JWT",
                        "description": "A token that a provisioner vouches for: signed by its "
                        "key, an ID token of its OpenID provider, or signed by the key of a "
                        "certificate.",
                    },
                },
            },
        }
    )


def _operation(route: Route) -> Schema:
    operation: Schema = {
        "operationId": route.name,
        "summary": route.summary,
        "description": _who(route),
        "security": _security(route),
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {"application/json": {"schema": _reference(route.body)}},
        }
    return operation


def _who(route: Route) -> str:
    """Return who may call a route, in words."""
    if route.access is Access.PUBLIC:
        return "Open to everybody."
    who = "an admin" if route.access is Access.ADMIN else "a service, on its own certificates"
    needed = f" whose whitelist entry allows `{route.operation.value}`" if route.operation else ""
    ways = [
        *(["a one-time token"] if route.tokens else []),
        *(["a provisioner's token"] if route.purposes else []),
    ]
    return f"Open to {who}{needed}{', or with ' if ways else ''}{' or '.join(ways)}."


def _security(route: Route) -> list[Schema]:
    if route.access is Access.PUBLIC:
        return []
    schemes: list[Schema] = [{"clientCertificate": []}]
    if route.tokens:
        schemes.append({"token": []})
    if route.purposes:
        schemes.append({"provisionerToken": []})
    return schemes


def _parameters(route: Route) -> list[Schema]:
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]}
        for name in route.parameters
    ]
    if route.query is not None:
        schema = _inline(route.query)
        parameters += [
            {
                "name": name,
                "in": "query",
                "description": property_schema.pop("description", ""),
                "schema": _without_null(property_schema),
            }
            for name, property_schema in schema["properties"].items()
        ]
    if route.idempotent:
        parameters.append(_IDEMPOTENCY_KEY)
    if "application/x-pkcs12" in route.media:
        parameters.append(_PASSWORD)
    return parameters


def _responses(route: Route) -> Schema:
    content: Schema = {media: {"schema": {}} for media in route.media}
    if route.answer is not None:
        content = {"application/json": {"schema": _reference(route.answer)}}
    done: Schema = {"description": route.summary, "content": content}
    responses: Schema = {str(route.status): done}
    if route.idempotent:
        responses["200"] = {
            "description": "The certificate of an earlier request with this Idempotency-Key.",
            "headers": {"Idempotent-Replay": {"schema": {"const": "true"}}},
            "content": content,
        }
    if route.path == "/crl":
        responses["304"] = {"description": "The CRL that `If-None-Match` names is the newest."}
    problem = {_PROBLEM_TYPE: {"schema": _reference(Problem)}}
    for status in _refusals(route):
        responses[str(status)] = {"description": _REFUSALS[status], "content": problem}
    return responses


def _refusals(route: Route) -> list[int]:
    """Return the statuses a route can refuse with."""
    if route.access is Access.PUBLIC:
        return [503]
    statuses = {400, 401, 403, 413, 503}
    if route.parameters or route.path.startswith("/crl"):
        statuses.add(404)
    if route.parameters or route.query:
        statuses.add(414)
    if route.query or route.body:
        statuses.add(422)
    if route.method == "DELETE":
        statuses.add(409)
    if route.body:
        statuses |= {404, 409, 415, 429}
    return sorted(statuses)


# --- schemas -----------------------------------------------------------------------------------


def _schemas(routes: Iterable[Route]) -> Schema:
    """Return the schemas of every struct that bodies and answers are made of."""
    structs: dict[str, type[Any]] = {Problem.__name__: Problem, **_used(routes)}
    _, schemas = msgspec.json.schema_components(structs.values(), ref_template=_REFERENCE)
    described = dict(schemas)
    for name, schema in described.items():
        _add_words(schema, structs.get(name))
    return described


def _used(routes: Iterable[Route]) -> dict[str, type[Any]]:
    """Return the structs of bodies and answers by name."""
    return {
        struct.__name__: struct
        for route in routes
        for struct in (route.body, route.answer)
        if struct
    }


def _inline(struct: type[Any]) -> Schema:
    """Return the schema of a query struct."""
    _, schemas = msgspec.json.schema_components((struct,), ref_template=_REFERENCE)
    schema: Schema = dict(schemas)[struct.__name__]
    _add_words(schema, struct)
    return schema


def _add_words(schema: Schema, struct: type[Any] | None) -> None:
    """Replace the docstring by its sentence, and hand its arguments to the properties."""
    text = inspect.cleandoc(schema.get("description", ""))
    if text:
        schema["description"] = text.split("\n\nArgs:")[0]
    for ancestor in reversed(struct.__mro__ if struct else ()):
        for name, words in _arguments(ancestor.__doc__ or "").items():
            property_schema = schema.get("properties", {}).get(name)
            if property_schema is not None and "$ref" not in property_schema:
                property_schema["description"] = words


def _arguments(docstring: str) -> dict[str, str]:
    """Return what the Args section of a docstring says, by argument."""
    _, _, section = inspect.cleandoc(docstring).partition("\nArgs:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n {5,}.+)*)", section, re.MULTILINE)
    return {name: _sentence(" ".join(words.split())) for name, words in found}


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _without_null(schema: Schema) -> Schema:
    """Return the schema of an optional query parameter, which is left out rather than null."""
    kept = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if not kept:
        return schema
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**kept[0], **rest}


def _reference(struct: type[Any]) -> Schema:
    return {"$ref": _REFERENCE.format(name=struct.__name__)}
