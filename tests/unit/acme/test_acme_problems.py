"""RFC 8555 §6.7: every kind of error has its ACME type, and tells no secrets."""

from __future__ import annotations

import json

import pytest

from mintmark.model.errors import Error, Family, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.protocol.acme import problem
from mintmark.protocol.acme.problem import ACMEError

NAME = Identifier(IdentifierType.DNS, "a.example")


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_type_of_the_registry_and_a_status(kind):
    found = json.loads(problem.encode(Error(kind, "what was wrong", hint="what to do")))

    word = found["type"].removeprefix("urn:ietf:params:acme:error:")
    assert word in problem.TYPES
    assert found["status"] == problem.KINDS[kind][1]
    assert 400 <= found["status"] < 600
    if kind.family is Family.REQUESTER:
        assert found["detail"] == "what was wrong; what to do"


@pytest.mark.parametrize("kind", [Kind.INTERNAL, Kind.CONFIGURATION])
def test_what_an_operator_has_to_mend_is_not_told(kind):
    found = problem.document(Error(kind, "the key lies in /root"), "urn:mintmark:request:1")

    assert "/root" not in str(found)
    assert found["instance"] == "urn:mintmark:request:1"


@pytest.mark.parametrize("word", problem.TYPES)
def test_every_type_can_be_raised_and_has_a_kind(word):
    error = ACMEError(word, "what was wrong")

    assert problem.type_of(error) == word
    assert problem.status_of(error) == problem.TYPES[word]
    assert isinstance(error.kind, Kind)


def test_subproblems_name_their_identifiers_and_have_no_status():
    one = problem.about(NAME, Error(Kind.REJECTED_IDENTIFIER, "no"))
    found = problem.document(problem.together([one, one]))

    assert found["type"].endswith(":rejectedIdentifier")
    assert found["subproblems"] == [
        {
            "type": "urn:ietf:params:acme:error:rejectedIdentifier",
            "detail": "no",
            "identifier": {"type": "dns", "value": "a.example"},
        }
    ] * 2  # fmt: skip


def test_refusals_of_several_types_are_a_compound_problem():
    one = problem.about(NAME, Error(Kind.REJECTED_IDENTIFIER, "no"))
    other = problem.about(NAME, Error(Kind.MALFORMED, "what"))

    assert problem.document(problem.together([one, other]))["type"].endswith(":compound")
