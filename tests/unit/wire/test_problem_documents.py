"""Problem documents: every kind has a status and a title, and nothing internal gets out."""

import json

import pytest

from mintmark.model.errors import Error, Family, Kind
from mintmark.wire import problem


def written(error, **options):
    return json.loads(problem.problem(error, **options))


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_has_status_title_and_type(kind):
    document = written(Error(kind, "what was refused", hint="what to do"))
    assert document["status"] == problem.KIND_STATUS[kind]
    assert document["title"] == problem.KIND_TITLE[kind]
    assert document["type"].startswith("urn:mintmark:error:")
    assert set(document) <= {"type", "title", "status", "detail", "hint"}


@pytest.mark.parametrize("kind", list(Kind))
def test_family_decides_the_class_of_the_status(kind):
    mended_by_requester = kind.family is Family.REQUESTER
    assert (problem.KIND_STATUS[kind] < 500) == mended_by_requester


def test_tables_have_no_other_kinds():
    assert set(problem.KIND_STATUS) == set(problem.KIND_TITLE) == set(Kind)


@pytest.mark.parametrize("kind", [Kind.INTERNAL, Kind.CONFIGURATION])
def test_internal_errors_show_a_request_id_and_nothing_else(kind):
    error = Error(
        kind,
        "key /secret/path cannot be read",
        hint="chmod /secret/path",
        subproblems=(Error(Kind.MALFORMED, "/secret/path"),),
    )
    for instance in ("urn:uuid:1234", ""):
        text = problem.problem(error, instance=instance).decode()
        assert "secret" not in text
        assert instance in text
    assert written(error)["type"] == "urn:mintmark:error:internal"


def test_refusal_is_written_whole():
    error = Error(
        Kind.REJECTED_IDENTIFIER,
        "two names are refused",
        hint="use hyphens",
        subproblems=(Error(Kind.REJECTED_IDENTIFIER, "name 'a_b'"), Error(Kind.MALFORMED, "x")),
    )
    assert written(error, instance="urn:uuid:1234") == {
        "type": "urn:mintmark:error:rejected-identifier",
        "title": "Name not accepted",
        "status": 422,
        "detail": "two names are refused",
        "hint": "use hyphens",
        "instance": "urn:uuid:1234",
        "subproblems": [
            {
                "type": "urn:mintmark:error:rejected-identifier",
                "title": "Name not accepted",
                "detail": "name 'a_b'",
            },
            {
                "type": "urn:mintmark:error:malformed",
                "title": "Request cannot be read",
                "detail": "x",
            },
        ],
    }


def test_status_can_be_another_and_waiting_is_told():
    document = written(Error(Kind.RATE_LIMITED, "too many", retry_after=7), status=503)
    assert (document["status"], document["retry_after"]) == (503, 7)
