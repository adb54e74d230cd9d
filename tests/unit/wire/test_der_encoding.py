"""The DER writer and reader against X.690 and against `cryptography`."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.wire import der

quick = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize(
    ("size", "octets"),
    [
        (0, "00"),
        (0x7F, "7f"),
        (0x80, "8180"),
        (0xFF, "81ff"),
        (0x100, "820100"),
        (0xFFFF, "82ffff"),
        (0x10000, "83010000"),
        (0xFFFFFFFF, "84ffffffff"),
    ],
)
def test_length_takes_the_fewest_octets(size, octets):
    assert der.length(size).hex() == octets


@quick
@given(st.binary(max_size=300), st.sampled_from([0x04, 0x30, 0x82, 0xA3]))
def test_what_is_written_is_read_back(content, tag):
    encoded = der.tlv(tag, content)
    assert der.read(encoded) == (tag, len(encoded) - len(content), len(encoded))
    assert der.expect(encoded, 0, len(encoded), tag) == der.read(encoded)[1:]
    assert encoded == der.header(tag, len(content)) + content


@pytest.mark.parametrize("size", [0x80, 0x100, 0xFFFF, 0x10000, 0x1234567])
def test_long_lengths_are_read_back(size):
    encoded = der.header(0x30, size) + bytes(size)
    assert der.read(encoded)[2] == len(encoded)


@quick
@given(st.integers(min_value=-(2**200), max_value=2**200))
def test_integer_is_minimal_and_signed(value):
    encoded = der.integer(value)
    content = encoded[2:]
    assert int.from_bytes(content, "big", signed=True) == value
    assert len(content) == 1 or content[:2] not in {b"\0\0", b"\xff\xff"}


@quick
@given(st.binary(max_size=30))
def test_unsigned_is_the_integer_of_its_octets(magnitude):
    assert der.unsigned(magnitude) == der.integer(int.from_bytes(magnitude, "big"))


@pytest.mark.parametrize(
    "dotted", ["2.5.29.17", "1.2.840.113549.1.1.11", "0.9", "1.39", "2.999.1", "2.16.840.1.101"]
)
def test_object_identifiers_go_both_ways(dotted):
    encoded = der.oid(dotted)
    assert der.dotted(encoded[2:]) == dotted


@pytest.mark.parametrize("dotted", ["1", "3.1", "1.40", "1.-1", "0.40.1"])
def test_impossible_object_identifiers_are_not_written(dotted):
    with pytest.raises(ValueError, match="not an object identifier"):
        der.oid(dotted)


@pytest.mark.parametrize("content", ["", "80", "2a80", "2a8001", "ff" * 20 + "7f"])
def test_bad_object_identifiers_are_not_read(content):
    with pytest.raises(ValueError, match="object identifier"):
        der.dotted(bytes.fromhex(content))


def _seconds(year, *rest):
    return int(datetime(year, *rest, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("seconds", "octets"),
    [
        (_seconds(2026, 11, 22, 10, 0, 5), b"\x17\x0d261122100005Z"),
        (_seconds(2049, 12, 31, 23, 59, 59), b"\x17\x0d491231235959Z"),
        (_seconds(2050, 1, 1), b"\x18\x0f20500101000000Z"),
        (_seconds(9999, 12, 31, 23, 59, 59), b"\x18\x0f99991231235959Z"),
        (_seconds(1950, 1, 1), b"\x17\x0d500101000000Z"),
        (_seconds(1949, 12, 31), b"\x18\x0f19491231000000Z"),
        (_seconds(999, 1, 1), b"\x18\x0f09990101000000Z"),
    ],
)
def test_time_is_utc_time_through_2049(seconds, octets):
    """RFC 5280 §4.1.2.5."""
    assert der.time(seconds) == octets


def test_named_bits_drop_trailing_zeros():
    assert der.named_bits(frozenset()).hex() == "030100"
    assert der.named_bits(frozenset({0})).hex() == "03020780"
    assert der.named_bits(frozenset({5, 6})).hex() == "03020106"
    assert der.named_bits(frozenset({8})).hex() == "0303070080"


def test_key_usage_is_what_cryptography_encodes():
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    assert der.named_bits(frozenset({0, 2})) == usage.public_bytes()


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param("", id="empty"),
        pytest.param("30", id="tag alone"),
        pytest.param("3080", id="indefinite length"),
        pytest.param("308100", id="length not minimal"),
        pytest.param("30817f" + "00" * 0x7F, id="long form of a short length"),
        pytest.param("3082007f" + "00" * 0x7F, id="leading zero in the length"),
        pytest.param("3085000000000100", id="five length octets"),
        pytest.param("30ff", id="reserved length"),
        pytest.param("3084ffffffff", id="huge length"),
        pytest.param("308201", id="length cut short"),
        pytest.param("3002ff", id="content cut short"),
        pytest.param("1f8101", id="long tag, cut short"),
        pytest.param("1f0100", id="long tag"),
    ],
)
def test_reader_refuses(octets):
    data = bytes.fromhex(octets)
    with pytest.raises(ValueError, match="DER"):
        der.read(data)
    with pytest.raises(ValueError, match="DER"):
        der.expect(data, 0, len(data), 0x30)


def test_expect_refuses_another_tag_and_a_child_larger_than_its_parent():
    data = der.octet_string(b"abc") + b"x"
    with pytest.raises(ValueError, match="tag 0x30 expected"):
        der.expect(data, 0, len(data), der.SEQUENCE)
    with pytest.raises(ValueError, match="past its parent"):
        der.expect(data, 0, 4, der.OCTET_STRING)


def _read_one_by_one(data, end):
    start, found = 0, []
    while start < end:
        tag, content, stop = der.read(data, start)
        if stop > end:
            raise ValueError(f"DER value at octet {start} runs past its parent")
        found.append((tag, start, content, stop))
        start = stop
    return found


def _outcome(read, *arguments):
    try:
        return read(*arguments)
    except ValueError as error:
        return str(error)


_DOUBTFUL = st.sampled_from(bytes.fromhex("00010203041f303f7e7f80818284a0ff"))


@quick
@given(st.lists(_DOUBTFUL, max_size=40).map(bytes), st.integers(0, 40))
def test_children_are_what_is_read_one_by_one(data, end):
    end = min(end, len(data))
    children = _outcome(der.children, data, 0, end)
    assert children == _outcome(_read_one_by_one, data, end)


def test_children_are_listed_with_their_places():
    data = der.sequence(der.integer(5), der.octet_string(b"ab"))
    assert der.children(data, 2, len(data)) == [(0x02, 2, 4, 5), (0x04, 5, 7, 9)]
    with pytest.raises(ValueError, match="past its parent"):
        der.children(data, 2, len(data) - 1)
