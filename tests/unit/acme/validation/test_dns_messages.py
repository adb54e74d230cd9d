"""The reader of DNS messages: what a general library says, and what it takes half a minute for."""

from __future__ import annotations

import contextlib
import time

import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.protocol.acme.validation import dns_message
from mintmark.protocol.acme.validation.dns_message import (
    MAX_RECORDS,
    TXT,
    decode_name,
    encode_name,
    parse,
    query,
)

NAME = encode_name("a.example.internal")
ASKED = query(7, NAME, TXT)
HEAD = ASKED[:2] + b"\x81\x80\0\1"


def reply(count, records, asked=ASKED):
    return asked[:2] + b"\x81\x80\0\1" + count.to_bytes(2) + b"\0\0\0\0" + asked[12:] + records


def record(kind, rdata, owner=b"\xc0\x0c"):
    return owner + kind.to_bytes(2) + b"\0\1\0\0\0\x3c" + len(rdata).to_bytes(2) + rdata


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=255), min_size=1, max_size=3), max_size=5))
def test_txt_records_are_read_as_a_library_writes_them(texts):
    message = dns.message.make_response(dns.message.from_wire(ASKED))
    if texts:
        kind = dns.rdata.get_rdata_class(1, dns.rdatatype.TXT)
        rdatas = [kind(1, dns.rdatatype.TXT, strings) for strings in texts]
        message.answer.append(dns.rrset.from_rdata("a.example.internal.", 60, *rdatas))
    read = parse(message.to_wire(), ASKED)
    assert {dns_message.text(rdata) for rdata in read.rdata} == {b"".join(t) for t in texts}


_LABELS = st.lists(st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(_LABELS.filter(lambda labels: sum(map(len, labels)) + len(labels) < 250))
def test_names_are_encoded_as_a_library_does(labels):
    text = ".".join(labels)
    assert encode_name(text) == dns.name.from_text(text + ".").to_wire()
    assert decode_name(encode_name(text)) == text


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(octets):
    for message in (octets, ASKED[:2] + octets, reply(3, octets), HEAD + octets):
        try:
            parse(message, ASKED)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - a refusal is as good as an answer


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_reply_is_read_or_refused(data):
    good = reply(2, record(5, b"\1b\xc0\x0e") + record(TXT, b"\1x", b"\1b\xc0\x0e"))
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(good)))])
    try:
        parse(cut, ASKED)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - as above


@pytest.mark.parametrize(
    ("count", "records", "said"),
    [
        (1, b"", "past the end"),
        (1, b"\xc0", "backwards"),
        (1, b"\xc0\x0c\0\x10", "cut short"),
        (1, record(TXT, b"\1x")[:-1], "cut short"),
        (1, record(TXT, b"", b"\xc0\x24"), "backwards"),
        (1, record(TXT, b"", b"\xff\xff"), "backwards"),
        (1, record(TXT, b"", b"\x40"), "unknown type"),
        (1, record(TXT, b"", (b"\x3f" + b"x" * 63) * 4 + b"\0"), "longer than 255"),
        (1, record(5, b"\xc0\x0c"), "loop"),
        (MAX_RECORDS + 1, b"", "the limit is 512"),
    ],
)
def test_broken_message_is_refused(count, records, said):
    with pytest.raises(ValueError, match=said):
        parse(reply(count, records), ASKED)


def test_records_of_other_names_and_classes_do_not_count():
    other = record(TXT, b"\1o", encode_name("b.example.internal"))
    chaos = record(TXT, b"\1c").replace(b"\0\x10\0\1", b"\0\x10\0\3")
    read = parse(reply(3, other + chaos + record(TXT, b"\1x")), ASKED)
    assert read.rdata == (b"\1x",)


def test_case_of_names_does_not_matter():
    asked = query(7, encode_name("A.Example.Internal"), TXT)
    shouted = reply(1, record(TXT, b"\1x", encode_name("a.example.internal").upper()), asked)
    assert parse(shouted[:12] + shouted[12:30].upper() + shouted[30:], asked).rdata == (b"\1x",)


@pytest.mark.parametrize("text", ["", ".", "a..b", "x" * 64, ".".join(["x" * 63] * 4), "b\u00fc"])
def test_names_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        encode_name(text)


def test_cut_txt_record_is_refused():
    with pytest.raises(ValueError, match="cut short"):
        dns_message.text(b"\5abc")


def deep_names():
    """127 labels, and thousands of names that lead to them."""
    deep = b"\1a" * 126 + b"\0"
    place = len(ASKED) + 12
    pointer = (0xC000 | place).to_bytes(2)
    return record(10, deep) + record(5, pointer, pointer) * MAX_RECORDS


def long_pointers():
    """Pointers to pointers to pointers."""
    place = len(ASKED) + 12
    chain = b"\0\0" + b"".join(
        (0xC000 | min(place + 2 * number, 0x3FFF)).to_bytes(2) for number in range(8000)
    )
    last = (0xC000 | 0x3FF0).to_bytes(2)
    return record(10, chain) + record(5, last, last) * MAX_RECORDS


@pytest.mark.parametrize("records", [deep_names(), long_pointers()])
def test_costly_messages_cost_little(records):
    started = time.process_time()
    with contextlib.suppress(ValueError):
        parse(reply(MAX_RECORDS, records), ASKED)
    assert time.process_time() - started < 1


def test_record_of_one_octet_strings_is_joined_quickly():
    started = time.process_time()
    assert dns_message.text(b"\1x" * 32000) == b"x" * 32000
    assert time.process_time() - started < 1
