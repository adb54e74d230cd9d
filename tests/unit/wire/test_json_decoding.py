"""JSON from strangers: strict, bounded, and refused with the field that is wrong."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.model.errors import Error, Kind
from mintmark.wire.json import MAX_DEPTH, decode


class Name(msgspec.Struct, forbid_unknown_fields=True):
    value: str
    kind: str = "dns"


class Body(msgspec.Struct, forbid_unknown_fields=True):
    service: str
    lifetime: int = 0
    names: list[Name] = []
    metadata: dict[str, str] = {}
    inner: "Body | None" = None


def refusal(data, kind=Body, **limits):
    with pytest.raises(Error) as refused:
        decode(data, kind, **limits)
    return refused.value


def test_document_becomes_its_type():
    data = (
        b'{"service": "web", "names": [{"value": "a"}, {"value": "b"}], "metadata": {"a:b": ":"}}'
    )
    body = decode(data, Body)
    assert body == Body("web", names=[Name("a"), Name("b")], metadata={"a:b": ":"})


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "body is empty"),
        (b"{", "truncated"),
        (b"[]", "expected 'object', got 'array'"),
        (b"null", "expected 'object', got 'null'"),
        (b"{}", "missing required field 'service'"),
        (b'{"service": 1}', "service: expected 'str', got 'int'"),
        (b'{"service": "a", "lifetime": "1"}', "lifetime: expected 'int', got 'str'"),
        (b'{"service": "a", "lifetime": 1.5}', "lifetime: expected 'int', got 'float'"),
        (b'{"service": "a", "lifetime": true}', "lifetime: expected 'int', got 'bool'"),
        (b'{"service": "a", "names": [{"value": 1}]}', "names[0].value: expected 'str'"),
        (b'{"service": NaN}', "no JSON"),
        (b'{"service": "a", "lifetime": Infinity}', "no JSON"),
        (b'{"service": "a",}', "no JSON"),
        (b"{'service': 'a'}", "no JSON"),
        (b'{"service": "a"} {}', "trailing characters"),
        (b'{"service": "a\x01"}', "no JSON"),
        (b'{"service": "\xff"}', "no JSON"),
        (b'{"service": "\\ud800"}', "no JSON"),
        (b'\xef\xbb\xbf{"service": "a"}', "no JSON"),
        ('{"service": "a"}'.encode("utf-16"), "no JSON"),
        (b'{"service": "a" /* x */}', "no JSON"),
    ],
)
def test_wrong_documents_are_refused_with_their_place(data, detail):
    refused = refusal(data)
    assert refused.kind is Kind.MALFORMED
    assert detail in refused.detail


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b'{"servce": "web"}', "'service'"),
        (b'{"service": "web", "life_time": 1}', "'lifetime'"),
        (b'{"service": "web", "names": [{"vlue": "a"}]}', "'value'"),
        (b'{"service": "web", "zzzz": 1}', "known fields: service, lifetime"),
    ],
)
def test_unknown_fields_are_answered_with_the_nearest_known_one(data, hint):
    refused = refusal(data)
    assert refused.kind is Kind.MALFORMED
    assert "is not known" in refused.detail
    assert hint in refused.hint


@pytest.mark.parametrize(
    "data",
    [
        b'{"service": "a", "service": "a"}',
        b'{"service": "a", "service" : "b"}',
        b'{"service": "a", "s\\u0065rvice": "b"}',
        b'{"service": "\\u003a", "service": "b"}',
        b'{"service": "b", "service": "\\u003a"}',
        b'{"service": "a", "names": [{"value": "a", "value": "b"}]}',
        b'{"service": "a", "metadata": {"a": "x", "a": "::"}}',
        b'{"service": "a", "metadata": {"a": "::", "a": "x\\u003a\\u003a\\u003a"}}',
        b'{"service": "a", "inner": {"service": "b"}, "inner": null}',
    ],
)
def test_repeated_names_are_refused(data):
    assert "twice" in refusal(data).detail


class Open(msgspec.Struct):
    service: str = ""


@pytest.mark.parametrize("member", [b'"\xff": 1', b'"x": "\xff"', b'"x": 1e999', b'"x": "\\ud800"'])
def test_a_single_member_that_nobody_asked_for_is_still_read(member):
    assert refusal(b"{" + member + b"}", Open).kind is Kind.MALFORMED


class Two(msgspec.Struct):
    a: str
    b: str
    c: str = ""


_members = st.tuples(
    st.sampled_from(["a", "b", "c", "d", "\\u0061"]), st.sampled_from(["", ":", "\\u003a", "x"])
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_members, max_size=4))
def test_a_repeated_name_is_found_among_those_that_have_to_be_there(members):
    document = "{" + ",".join(f'"{name}":"{value}"' for name, value in members) + "}"
    names = [name.replace("\\u0061", "a") for name, _ in members]
    if len(set(names)) == len(names) and {"a", "b"} <= set(names):
        assert decode(document.encode(), Two) == Two(
            **{name: value for name, value in json.loads(document).items() if name != "d"}
        )
    else:
        assert refusal(document.encode(), Two).kind is Kind.MALFORMED


def test_same_name_in_different_objects_is_no_repetition():
    data = b'{"service": "\\u0061", "inner": {"service": "b:"}, "names": [{"value": "a"}]}'
    assert decode(data, Body).inner == Body("b:")


def test_long_numbers_beside_escapes_are_judged_once():
    data = b'{"service": "\\u0061", "lifetime": ' + b"1" * 5000 + b"}"
    assert refusal(data).kind is Kind.MALFORMED


def test_depth_has_a_bound():
    deep = b'{"inner": ' * MAX_DEPTH + b"null" + b"}" * MAX_DEPTH
    assert "missing required field" in refusal(deep).detail
    deeper = b'{"inner": ' * (MAX_DEPTH + 1) + b"null" + b"}" * (MAX_DEPTH + 1)
    assert refusal(deeper).kind is Kind.TOO_LARGE


def test_brackets_in_strings_are_no_depth():
    text = '[{"\\' * 30
    body = decode(json.dumps({"service": text}).encode(), Body)
    assert body.service == text


def test_size_has_a_bound():
    assert refusal(b'{"service": "aaaaaaaaaaaaaaaa"}', max_bytes=16).kind is Kind.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"[" * 250_000, id="arrays"),
        pytest.param(b'{"a":' * 40_000, id="objects"),
        pytest.param(b'"' + b'\\"' * 120_000, id="escaped quotes without end"),
        pytest.param(b'{"a":' * 40 + b'"' + b"\\\\" * 120_000, id="backslashes without end"),
        pytest.param(b'"' * 250_001, id="quotes"),
        pytest.param(b"1" * 250_000, id="digits"),
        pytest.param(b'{"service":"a","lifetime":1' + b"0" * 200_000 + b"}", id="long number"),
        pytest.param(b'{"service":"a","lifetime":1e' + b"9" * 200_000 + b"}", id="long exponent"),
        pytest.param(
            b'{"service":"a","metadata":{'
            + b",".join(b'"k%d":"\\u0061"' % number for number in range(10_000))
            + b',"k0":""}}',
            id="many members",
        ),
    ],
)
def test_bombs_are_refused_in_little_time(data):
    before = time.process_time()
    refusal(data)
    assert time.process_time() - before < 0.5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(json_values, st.booleans())
def test_documents_without_repetition_are_never_taken_for_repeating(value, escaped):
    document = {"service": "a", "metadata": {}}
    body = json.dumps([document, value], ensure_ascii=escaped).encode()
    assert decode(body, list) == [document, value]


@settings(max_examples=100, deadline=None)
@given(json_values, json_values, st.text(max_size=6))
def test_a_repeated_name_is_found_whatever_its_values_say(one, other, name):
    value, other_value, member = (
        json.dumps(each, ensure_ascii=False).encode() for each in (one, other, name)
    )
    repeating = b"{%b:%b,%b:%b}" % (member, value, member, other_value)
    assert "twice" in refusal(b'{"outer":%b}' % repeating, dict[str, Any]).detail
    assert "twice" in refusal(b"[%b]" % repeating, list).detail
