"""dns-01, dns-account-01 and how names are looked up, also by hostile servers of names."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket

import pytest

from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme.validation.dns_account01 import account_label
from mintmark.protocol.acme.validation.endpoint import parse_endpoint
from mintmark.protocol.acme.validation.resolver import Resolver
from mintmark.protocol.acme.validation.settings import ValidationSettings
from tests.unit.acme.validation.world import (
    ACCOUNT,
    KEY_AUTHORIZATION,
    assert_failed,
    assert_validated,
)

NAME = "_acme-challenge.a.example.internal"
DIGEST = base64.urlsafe_b64encode(hashlib.sha256(KEY_AUTHORIZATION).digest()).rstrip(b"=")


def dns01(world, name="a.example.internal", **settings):
    return world.check("dns-01", name, **settings)


def test_digest_at_its_place_is_valid(world):
    world.dns.add(NAME, "TXT", DIGEST)
    outcome = dns01(world)
    assert_validated(outcome)
    assert outcome.evidence == f"TXT of '{NAME}'"


def test_wildcard_is_looked_up_at_its_base(world):
    world.dns.add(NAME, "TXT", DIGEST)
    assert_validated(dns01(world, wildcard=True))


def test_digest_among_other_records_is_found(world):
    world.dns.add(NAME, "TXT", b"other", b"", DIGEST, b"\xff\xfe")
    assert_validated(dns01(world))


def test_strings_of_a_record_are_joined(world):
    world.dns.add(NAME, "TXT", [DIGEST[:10], b"", DIGEST[10:]])
    assert_validated(dns01(world))


@pytest.mark.parametrize("recursive", [True, False])
def test_alias_is_followed(world, recursive):
    world.dns.recursive = recursive
    world.dns.add(NAME, "CNAME", "b.example.internal.")
    world.dns.add("b.example.internal", "CNAME", "c.example.internal.")
    world.dns.add("c.example.internal", "TXT", DIGEST)
    assert_validated(dns01(world))


@pytest.mark.parametrize("recursive", [True, False])
def test_alias_to_itself_is_a_dns_failure(world, recursive):
    world.dns.recursive = recursive
    world.dns.add(NAME, "CNAME", f"{NAME}.")
    assert_failed(dns01(world), "dns", "loop", world.dns.address)


@pytest.mark.parametrize("recursive", [True, False])
def test_loop_of_aliases_is_a_dns_failure(world, recursive):
    world.dns.recursive = recursive
    world.dns.add(NAME, "CNAME", "b.example.internal.")
    world.dns.add("b.example.internal", "CNAME", f"{NAME}.")
    assert_failed(dns01(world), "dns", "loop")


@pytest.mark.parametrize("recursive", [True, False])
def test_endless_chain_of_aliases_is_a_dns_failure(world, recursive):
    world.dns.recursive = recursive
    world.dns.add(NAME, "CNAME", "n0.example.internal.")
    for number in range(50):
        alias = f"n{number + 1}.example.internal."
        world.dns.add(f"n{number}.example.internal", "CNAME", alias)
    assert_failed(dns01(world), "dns", "CNAME")
    assert len(world.dns.queries) < 15


def test_truncated_answer_is_asked_for_over_tcp(world):
    world.dns.truncated.add(NAME)
    world.dns.add(NAME, "TXT", DIGEST)
    assert_validated(dns01(world))
    assert [query[2] for query in world.dns.queries] == ["udp", "tcp"]


def test_answer_of_64_kb_is_read_over_tcp(world):
    world.dns.add(NAME, "TXT", *(b"%03d" % number + b"x" * 400 for number in range(150)), DIGEST)
    assert_validated(dns01(world))


def test_answer_of_too_many_records_is_a_dns_failure(world):
    world.dns.add(NAME, "TXT", *(b"%04d" % number for number in range(600)))
    assert_failed(dns01(world), "dns", "the limit is 512")


def test_one_record_of_64_kb_is_shortened_in_the_sentence(world):
    world.dns.add(NAME, "TXT", b"x" * 60_000)
    outcome = dns01(world)
    assert_failed(outcome, "incorrectResponse", "'xxx", DIGEST.decode())
    assert len(outcome.detail) < 500


def test_record_of_control_characters_is_quoted(world):
    world.dns.add(NAME, "TXT", b"\x1b[2J\r\nevil\x00")
    outcome = dns01(world)
    assert_failed(outcome, "incorrectResponse", "\\x1b[2J")
    assert outcome.detail.isprintable()


@pytest.mark.parametrize("wrong", [DIGEST + b"=", DIGEST.upper(), KEY_AUTHORIZATION, b" " + DIGEST])
def test_other_record_is_named_with_the_one_expected(world, wrong):
    world.dns.add(NAME, "TXT", wrong)
    assert_failed(dns01(world), "incorrectResponse", wrong.decode()[:60], DIGEST.decode())


def test_name_without_txt_records_says_so(world):
    world.dns.add(NAME, "A", "127.0.0.1")
    assert_failed(dns01(world), "incorrectResponse", "no record", DIGEST.decode())


def test_name_that_does_not_exist_is_a_dns_failure(world):
    assert_failed(dns01(world), "dns", f"TXT of '{NAME}'", "NXDOMAIN", world.dns.address)


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_refusal_of_the_resolver_is_named(world, rcode):
    world.dns.rcodes[NAME] = rcode
    assert_failed(dns01(world), "dns", rcode, f"resolver {world.dns.address}")


def test_unknown_response_code_is_named(world):
    world.dns.rcodes[NAME] = "YXDOMAIN"
    assert_failed(dns01(world), "dns", "response code 6")


def test_silent_resolver_is_named(world):
    world.dns.silent.add(NAME)
    outcome = dns01(world, dns_timeout=0.1, dns_try=0.03)
    assert_failed(outcome, "dns", f"resolver {world.dns.address}: no answer within 0.03 s")


def test_lookup_ends_with_its_deadline(world):
    world.dns.silent.add(NAME)
    outcome = dns01(world, dns_timeout=0.05, dns_try=1)
    assert_failed(outcome, "dns", f"resolver {world.dns.address}", "within 0.05 s")


def test_silence_over_tcp_ends_too(world):
    def only_udp(wire, tcp):
        return wire[:2] + b"\x83\x80" + wire[4:] if not tcp else b"\0" * 12

    world.dns.raw[NAME] = only_udp
    assert_failed(dns01(world, dns_timeout=0.2, dns_try=0.05), "dns", world.dns.address)


@pytest.mark.parametrize(
    ("over_tcp", "said"),
    [
        (lambda wire: wire[:2] + b"\x83\x80" + wire[4:], "a truncated answer over TCP"),
        (lambda wire: b"", "not a reply"),
    ],
    ids=["truncated again", "nothing"],
)
def test_bad_answer_over_tcp_is_a_dns_failure(world, over_tcp, said):
    def answer(wire, tcp):
        return over_tcp(wire) if tcp else wire[:2] + b"\x83\x80" + wire[4:]

    world.dns.raw[NAME] = answer
    assert_failed(dns01(world), "dns", said)


def test_resolver_that_hangs_up_over_tcp_is_named(world, run):
    async def hang_up(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    world.dns.truncated.add(NAME)
    world.dns.add(NAME, "TXT", DIGEST)
    # UDP of one server and TCP of another on one port.
    world.dns.call(world.dns.stop_tcp)
    world.web(hang_up, port=world.dns.port)
    assert_failed(dns01(world), "dns", "before the answer was complete")


def test_cut_txt_record_is_a_dns_failure(world):
    def cut(wire, tcp):
        record = b"\xc0\x0c" + wire[-4:] + b"\0\0\0\x3c\0\3\x09ab"
        return wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + wire[12:] + record

    world.dns.raw[NAME] = cut
    assert_failed(dns01(world), "dns", "cut short")


def test_resolver_that_is_not_there_is_named(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{sock.getsockname()[1]}"
    assert_failed(dns01(world, resolvers=(gone,)), "dns", f"resolver {gone}: connection refused")


def test_next_resolver_is_asked_when_one_fails(world):
    world.dns.add(NAME, "TXT", DIGEST)
    assert_validated(dns01(world, resolvers=("127.0.0.1:1", world.dns.address)))


def test_next_resolver_is_asked_when_one_is_silent(world, dns):
    from tests.dns_server import dns_server

    world.dns.add(NAME, "TXT", DIGEST)
    with dns_server() as silent:
        silent.silent.add(NAME)
        outcome = dns01(world, resolvers=(silent.address, dns.address), dns_try=0.05)
    assert_validated(outcome)


@pytest.mark.parametrize(
    "damage",
    [
        lambda wire: b"",
        lambda wire: wire[:11],
        lambda wire: wire,
        lambda wire: b"\0\0" + wire[2:],
        lambda wire: wire[:2] + b"\x80\0\0\0\0\0\0\0\0\0",
    ],
    ids=["nothing", "half a header", "the query itself", "another id", "no question"],
)
def test_what_is_no_reply_is_waited_out(world, damage):
    world.dns.raw[NAME] = lambda wire, tcp: damage(wire)
    assert_failed(dns01(world, dns_timeout=0.1, dns_try=0.03), "dns", "within 0.03 s")


def test_guessed_reply_before_the_true_one_is_ignored(world, run, dns):
    dns.add(NAME, "TXT", DIGEST)
    forged = iter(range(10))

    def first_wrong(wire, tcp):
        if next(forged) == 0:
            return bytes((wire[0] ^ 1,)) + wire[1:2] + b"\x81\x83" + wire[4:]
        del dns.raw[NAME]
        return dns.answer(wire, tcp)

    dns.raw[NAME] = first_wrong
    assert_validated(dns01(world, dns_try=0.05))


def test_reply_to_another_question_is_ignored(world):
    def other(wire, tcp):
        return wire[:2] + b"\x81\x80" + wire[4:].replace(b"\x01a", b"\x01b")

    world.dns.raw[NAME] = other
    assert_failed(dns01(world, dns_timeout=0.1, dns_try=0.03), "dns", "within 0.03 s")


def test_name_too_long_for_the_dns_is_a_dns_failure(world):
    name = ".".join(["x" * 60] * 4)
    assert_failed(dns01(world, name), "dns", "longer than 255")


def test_address_has_no_dns_challenge(world):
    assert_failed(dns01(world, "127.0.0.1"), "malformed", "RFC 8738 §7")


class TestAccountLabel:
    def test_label_is_as_in_the_draft(self):
        # draft-ietf-acme-dns-account-label-02 §3.2, its example.
        url = "https://example.com/acme/acct/ExampleAccount"
        assert account_label(url) == "_ujmmovf2vn55tgye"

    def test_digest_under_the_accounts_label_is_valid(self, world):
        name = f"{account_label(ACCOUNT)}.{NAME}"
        world.dns.add(name, "TXT", DIGEST)
        assert world.check("dns-account-01", "a.example.internal").evidence == f"TXT of '{name}'"

    def test_digest_without_the_label_is_not_found(self, world):
        world.dns.add(NAME, "TXT", DIGEST)
        outcome = world.check("dns-account-01", "a.example.internal")
        assert_failed(outcome, "dns", account_label(ACCOUNT))

    def test_wildcard_is_looked_up_at_its_base(self, world):
        world.dns.add(f"{account_label(ACCOUNT)}.{NAME}", "TXT", DIGEST)
        assert_validated(world.check("dns-account-01", "a.example.internal", wildcard=True))


class TestSystem:
    """What the system says when the configuration names no resolver."""

    @pytest.fixture
    def files(self, tmp_path, dns):
        hosts, resolv_conf = tmp_path / "hosts", tmp_path / "resolv.conf"
        hosts.write_text(
            "# comment\n127.0.0.1 localhost\n10.0.0.5\ta.example.internal A-Alias # x\n"
            "fd00::5 a.example.internal\nnonsense b.example.internal\nfe80::1%lo c\n\n",
        )
        return hosts, resolv_conf

    @pytest.fixture
    def resolver(self, files):
        hosts, resolv_conf = files
        settings = ValidationSettings(dns_timeout=0.3, dns_try=0.1)
        return Resolver(settings, hosts=hosts, resolv_conf=resolv_conf)

    def test_hosts_file_comes_before_the_dns(self, run, resolver):
        assert run(resolver.addresses("a.example.internal")) == ["fd00::5", "10.0.0.5"]
        assert run(resolver.addresses("a-alias")) == ["10.0.0.5"]

    def test_hosts_file_is_read_again_when_it_changes(self, run, resolver, files):
        run(resolver.addresses("a.example.internal"))
        files[0].write_text("10.0.0.66 a.example.internal")
        assert run(resolver.addresses("a.example.internal")) == ["10.0.0.66"]

    def test_hosts_file_does_not_count_beside_configured_resolvers(self, run, files, dns):
        dns.add("a.example.internal", "A", "10.0.0.9")
        settings = ValidationSettings(resolvers=(dns.address,))
        resolver = Resolver(settings, hosts=files[0])
        assert run(resolver.addresses("a.example.internal")) == ["10.0.0.9"]

    def test_missing_files_are_a_failure_of_the_server(self, run, resolver, files):
        files[0].unlink()
        from mintmark.protocol.acme.validation.outcome import ChallengeError

        with pytest.raises(ChallengeError) as caught:
            run(resolver.addresses("a.example.internal"))
        assert_failed(caught.value.failed, "serverInternal", "resolv.conf")

    def test_servers_of_resolv_conf_are_asked(self, run, resolver, files):
        from mintmark.protocol.acme.validation.outcome import ChallengeError

        files[1].write_text("search x\nnameserver 127.0.0.99\noptions ndots:5\nnameserver ::1\n")
        with pytest.raises(ChallengeError) as caught:
            run(resolver.texts("a.example.internal"))
        said = caught.value.failed
        assert_failed(said, "dns", "resolver 127.0.0.99", "resolver ::1", "refused")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.53", ("10.0.0.53", 53)),
        ("10.0.0.53:5353", ("10.0.0.53", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
    ],
)
def test_resolver_addresses_are_read(text, expected):
    assert parse_endpoint(text, 53) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns.example",
        "10.0.0.53:0",
        "10.0.0.53:x",
        "[::1]:",
        "10.0.0.53:65536",
        ":53",
        "[::1",
        "[::1]x",
    ],
)
def test_other_resolver_addresses_are_refused(text):
    with pytest.raises(Error, match="is no IP address") as caught:
        parse_endpoint(text, 53)
    assert caught.value.kind is Kind.CONFIGURATION


def test_two_source_addresses_of_a_family_are_refused():
    with pytest.raises(Error, match="one family") as caught:
        Resolver(ValidationSettings(source_addresses=("10.0.0.1", "10.0.0.2")))
    assert caught.value.kind is Kind.CONFIGURATION


def test_source_address_that_is_none_is_refused():
    with pytest.raises(Error, match="'eth0' is no IP address"):
        Resolver(ValidationSettings(source_addresses=("eth0",)))


def test_source_address_is_used_for_queries(world):
    world.dns.add(NAME, "TXT", DIGEST)
    assert_validated(dns01(world, source_addresses=("127.0.0.7",)))


def test_addresses_of_both_families_are_asked_for_at_once(world, run):
    world.dns.add("b.example.internal", "A", "10.0.0.5")
    world.dns.add("b.example.internal", "AAAA", "fd00::5", "fd00::6")
    resolver = Resolver(world.settings())
    found = run(resolver.addresses("b.example.internal"))
    assert (sorted(found[:2]), found[2:]) == (["fd00::5", "fd00::6"], ["10.0.0.5"])


def test_one_family_is_enough_when_the_other_fails(world, run):
    import dns.message
    import dns.rcode

    world.dns.add("b.example.internal", "A", "10.0.0.5")

    def no_ipv6(wire, tcp):
        query = dns.message.from_wire(wire)
        if query.question[0].rdtype == dns.rdatatype.AAAA:
            reply = dns.message.make_response(query)
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply.to_wire()
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text("b.example.internal.", 60, "IN", "A", "10.0.0.5"))
        return reply.to_wire()

    world.dns.raw["b.example.internal"] = no_ipv6
    assert run(Resolver(world.settings()).addresses("b.example.internal")) == ["10.0.0.5"]


def test_name_without_addresses_says_so(world):
    world.dns.add("b.example.internal", "TXT", b"x")
    outcome = world.http(80, "b.example.internal")
    assert_failed(outcome, "dns", "neither an A nor AAAA record")


def test_address_record_of_wrong_size_is_a_dns_failure(world):
    def odd(wire, tcp):
        record = b"\xc0\x0c" + wire[-4:] + b"\0\0\0\x3c\0\3abc"
        return wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + wire[12:] + record

    world.dns.raw["b.example.internal"] = odd
    assert_failed(world.http(80, "b.example.internal"), "dns", "3 octets")


def test_cancelled_lookup_leaves_nothing_open(world, run):
    world.dns.silent.add(NAME)
    resolver = Resolver(world.settings())

    async def cancel():
        task = asyncio.create_task(resolver.texts(NAME))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
