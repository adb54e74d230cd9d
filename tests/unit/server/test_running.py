"""A running server in this process: own certificates, reload, ports, in-process calls."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from msgspec import structs

from mintmark.authority.issuance.crl import CRLContent, issue_crl
from mintmark.authority.issuance.hierarchy import (
    Constraints,
    Subject,
    make_intermediate,
    make_root,
)
from mintmark.model.access import Operation
from mintmark.model.act import RateClaim
from mintmark.model.errors import Error, Kind
from mintmark.model.time import DAY
from mintmark.server import app, ceremony, compose, listener, local, own, ssh_files
from mintmark.server.compose import open_authority
from mintmark.server.directory import Directory
from mintmark.server.in_force import digest
from mintmark.server.local import LocalTransport, bootstrap, finish_own, publish_root_crl
from mintmark.server.settings import Settings, of
from mintmark.server.tls import ServerTLS
from mintmark.server.upkeep import Upkeep, tls_settings
from mintmark.wire import certificate as wire_certificate
from mintmark.wire import pem
from mintmark.wire.csr import parse_csr
from tests import pki

PASSPHRASE = b"correct horse"
NOW = 1_800_000_000.0


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An authority made once, to be copied: keys are derived slowly on purpose."""
    made = Directory(tmp_path_factory.mktemp("made") / "mintmark")
    plan = ceremony.Plan(Settings(), Subject("Root"), Subject("Intermediate"))
    with made.lock():
        asyncio.run(ceremony.create(made, plan, PASSPHRASE, clock=Clock(), entropy=os.urandom))
    return made


@pytest.fixture
def directory(made, tmp_path):
    return Directory(Path(shutil.copytree(made.path, tmp_path / "mintmark")))


def opened(directory, clock):
    return open_authority(directory, directory.settings(), PASSPHRASE, clock=clock)


def serial(files):
    return wire_certificate.serial_of(files.certificate_der())


def test_own_certificates_are_renewed_after_two_thirds_of_their_life(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            tls = ServerTLS(tls_settings(one))
            upkeep = Upkeep(one, tls)
            before, context = serial(directory.server), tls.context
            clock.now += 60 * DAY - 3600
            await upkeep.turn()
            assert serial(directory.server) == before

            clock.now += 3600 + 60
            await upkeep.turn()

            assert serial(directory.server) != before
            assert tls.context is not context

    asyncio.run(story())


def test_the_own_leaf_comes_with_its_intermediate_and_rotates_under_open_connections(
    directory, clock
):
    """Clients of the step protocol trust the root alone."""

    async def story():
        async with opened(directory, clock) as one:
            tls = ServerTLS(tls_settings(one))
            before = connected(tls, directory)
            clock.now += 61 * DAY
            await Upkeep(one, tls).turn()

            after = connected(tls, directory)

            assert after.leaf != before.leaf
            assert before.exchange(b"still here") == b"still here"
            assert after.exchange(b"and here") == b"and here"

    asyncio.run(story())


class Connection:
    """A TLS connection in memory, of a client that trusts the root and nothing else."""

    def __init__(self, server: ssl.SSLContext, root: Path) -> None:
        here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context(cafile=str(root))
        client.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME: the test's clock is not ours
        self._ends = (
            client.wrap_bio(here, there, server_hostname="localhost"),
            server.wrap_bio(there, here, server_side=True),
        )
        waiting = list(self._ends)
        while waiting:
            for end in tuple(waiting):
                try:
                    end.do_handshake()
                    waiting.remove(end)
                except ssl.SSLWantReadError:
                    continue
        self.leaf = self._ends[0].getpeercert(binary_form=True)

    def exchange(self, octets: bytes) -> bytes:
        """Send octets from the server to the client."""
        self._ends[1].write(octets)
        return self._ends[0].read()


def connected(tls, directory):
    return Connection(tls.context, directory.root.certificate)


def test_two_processes_renew_once(directory, clock):
    async def story():
        async with opened(directory, clock) as one, opened(directory, clock) as other:
            processes = [Upkeep(each, ServerTLS(tls_settings(each))) for each in (one, other)]
            clock.now += 61 * DAY
            await processes[0].turn()
            renewed = serial(directory.server)

            await processes[1].turn()

            assert serial(directory.server) == renewed

    asyncio.run(story())


@pytest.mark.parametrize("writes", range(1, 5))
def test_renewal_that_was_cut_short_is_finished_at_the_next_start(
    directory, clock, monkeypatch, writes
):
    """A key without its certificate would keep the server from starting ever again."""

    async def story():
        async with opened(directory, clock) as one:
            monkeypatch.setattr(local, "write_secret", counted(local.write_secret))
            monkeypatch.setattr(local, "write_public", counted(local.write_public))
            clock.now += 61 * DAY
            before = serial(directory.server)
            with pytest.raises(InterruptedError):
                await Upkeep(one, ServerTLS(tls_settings(one))).turn()

            monkeypatch.undo()
            finish_own(directory.server)

            assert serial(directory.server) != before
            assert ServerTLS(tls_settings(one))
            assert not directory.server.successor.exists()

    left = [writes]

    def counted(write):
        def write_some(path, data):
            if not left[0]:
                raise InterruptedError
            left[0] -= 1
            write(path, data)

        return write_some

    asyncio.run(story())


def test_nothing_is_issued_for_a_directory_that_cannot_be_written(directory, clock, monkeypatch):
    async def story():
        async with opened(directory, clock) as one:
            upkeep = Upkeep(one, ServerTLS(tls_settings(one)))
            clock.now += 61 * DAY
            issued = (await one.authority.store.count())["certificates"]
            monkeypatch.setattr(os, "access", lambda *_: False)

            with pytest.raises(Error, match="is due and its directory cannot be written"):
                await upkeep.turn()

            assert (await one.authority.store.count())["certificates"] == issued

    asyncio.run(story())


def test_files_that_another_process_replaced_are_taken_up(directory, clock):
    async def story():
        async with opened(directory, clock) as one, opened(directory, clock) as other:
            tls = ServerTLS(tls_settings(other))
            watching = Upkeep(other, tls)
            context = tls.context
            clock.now += 61 * DAY
            await Upkeep(one, ServerTLS(tls_settings(one))).turn()

            await watching.turn()

            assert tls.context is not context

    asyncio.run(story())


def test_a_profile_of_the_operator_cannot_lock_the_server_out(directory, clock):
    directory.settings_file.write_text(
        "profiles:\n  server: {names: ['nothing.example'], lifetime: 1h, lifetime_max: 1h}\n"
    )

    async def story():
        async with opened(directory, clock) as one:
            assert await own.server_certificate(one.authority, one.settings)

    asyncio.run(story())


def test_reload_takes_up_the_whitelist(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            assert one.authority.policy.whitelist.rule("new").operations == frozenset(
                {Operation.RENEW, Operation.REVOKE, Operation.DOWNLOAD}
            )
            directory.settings_file.write_text(
                "whitelist:\n  services:\n"
                "    - service_id: new\n      allowed_operations: [request]\n"
            )

            await app.reload(one, ServerTLS(tls_settings(one)))

            rule = one.authority.policy.whitelist.rule("new")
            assert rule.operations == frozenset({Operation.REQUEST})

    asyncio.run(story())


def test_reload_of_a_raised_limit_ends_refusals_under_the_old_one(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            authority, claims = one.authority, (RateClaim("service:web", 1),)
            told = Error(Kind.RATE_LIMITED, "no more for 'service:web'", retry_after=3600)
            authority.refusals.remember(claims, told, clock.now)
            with pytest.raises(Error):
                authority.refusals.check(claims, clock.now + 1)

            await app.reload(one, ServerTLS(tls_settings(one)))

            authority.refusals.check(claims, clock.now + 1)

    asyncio.run(story())


def test_process_in_place_of_a_crashed_one_does_not_go_back_to_what_was_revoked(
    directory, monkeypatch
):
    """Its parent still has the configuration of its own start."""
    settings = directory.settings()
    server = structs.replace(settings.server, https_port=free(), http_port=free())
    old = structs.replace(settings, server=server)
    directory.settings_file.write_text(
        "whitelist:\n  services: [{service_id: old, allowed_operations: []}]\n"
    )
    seen = []

    async def serve(endpoints, clock, stopping, *, ready):
        for endpoint in endpoints:
            for each in endpoint.sockets:
                each.close()

    def policy(settings, issuers, ssh):
        made = compose_policy(settings, issuers, ssh)
        seen.append(made.whitelist.rule("old").operations)
        return made

    compose_policy = compose.policy
    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(app, "_quiet_collector", lambda: None)
    monkeypatch.setattr(compose, "policy", policy)

    asyncio.run(app.process(directory, old, PASSPHRASE, anew=True))

    assert seen[-1] == frozenset()


@pytest.mark.parametrize("anew", [False, True])
def test_a_process_puts_on_record_what_it_starts_with(directory, clock, monkeypatch, anew):
    settings = directory.settings()
    server = structs.replace(settings.server, https_port=free(), http_port=free())
    settings = structs.replace(settings, server=server)
    directory.settings_file.write_text("unknown: key" if anew else "")

    async def serve(endpoints, clock, stopping, *, ready):
        for endpoint in endpoints:
            for each in endpoint.sockets:
                each.close()

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(app, "_quiet_collector", lambda: None)

    async def story():
        await app.process(directory, settings, PASSPHRASE, anew=anew)
        async with open_authority(directory, settings, PASSPHRASE, clock=clock) as one:
            return await configurations(one)

    assert [said["sha256"] for said in asyncio.run(story())] == [digest(settings)]


def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def configurations(one):
    """Return what the audit log says of configurations, oldest first."""
    leaves = [stored.leaf for stored in await one.authority.store.audit_records([(1, 10_000)])]
    records = map(json.loads, leaves)
    return [each["details"] for each in records if each["action"] == "configuration.load"]


def test_a_configuration_is_on_record_before_it_is_in_force(directory, clock):
    """With what its provisioners allow, and without their secrets."""
    text = """
provisioners:
  - {name: people, type: oidc, configuration_endpoint: "https://id.example", client_id: c,
     client_secret: hush, groups: [operators]}
  - {name: acme, type: acme}
"""

    async def story():
        async with opened(directory, clock) as one:
            directory.settings_file.write_text(text)
            policy, before = one.authority.policy, {}
            record = one.authority.store.commit

            async def commit(act):
                before["policy"] = one.authority.policy
                await record(act)

            one.authority.store.commit = commit
            assert await app.reload(one, ServerTLS(tls_settings(one)))
            assert before["policy"] is policy
            assert one.authority.policy is not policy
            return await configurations(one), digest(directory.settings())

    (said,), sha256 = asyncio.run(story())
    assert (said["sha256"], said["host"]) == (sha256, socket.gethostname())
    assert said["provisioners"]["acme"] == {"type": "acme"}
    people = said["provisioners"]["people"]
    assert (people["type"], people["groups"]) == ("oidc", ["operators"])
    assert "hush" not in json.dumps(said)


def test_a_configuration_that_cannot_be_put_on_record_is_not_in_force(directory, clock, caplog):
    async def story():
        async with opened(directory, clock) as one:
            policy, ssh = one.authority.policy, one.authority.ssh
            directory.settings_file.write_text("provisioners: []")

            async def commit(act):
                raise Error(Kind.UNAVAILABLE, "the disk is full")

            one.authority.store.commit = commit
            assert not await app.reload(one, ServerTLS(tls_settings(one)))
            assert one.authority.policy is policy
            assert one.authority.ssh is ssh

    asyncio.run(story())
    assert "the configuration was not taken up: the disk is full" in caplog.text


def test_configurations_that_mean_the_same_have_one_digest():
    one, other = {"acme": {}, "provisioners": []}, {"provisioners": []}
    assert digest(of(one)) == digest(of(other)) != digest(of({}))


def test_several_signals_to_reload_are_one_after_the_other(monkeypatch):
    """One that comes during a reload is heeded, and a defect ends none that follow."""
    asked, third, running = asyncio.Event(), asyncio.Event(), []

    async def reload(opened, tls):
        running.append("begun")
        asked.set()
        await asyncio.sleep(0)
        running.append("done")
        if len(running) == 6:
            third.set()
        raise RuntimeError

    async def story():
        monkeypatch.setattr(app, "reload", reload)
        asked.set()
        task = asyncio.create_task(app._reload_when(asked, None, None))
        await third.wait()
        task.cancel()

    asyncio.run(story())
    assert running[:6] == ["begun", "done"] * 3


def test_a_broken_configuration_changes_nothing(directory, clock, caplog):
    async def story():
        async with opened(directory, clock) as one:
            policy = one.authority.policy
            directory.settings_file.write_text("whitelist: {servics: []}")

            assert not await app.reload(one, ServerTLS(tls_settings(one)))

            assert one.authority.policy is policy
            assert await configurations(one) == []

    asyncio.run(story())
    assert "did you mean 'services'?" in caplog.text


def test_the_root_publishes_a_crl_at_bootstrap_and_renews_it_in_time(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            root = compose.root_issuer(directory)
            first = await one.authority.store.latest_crl(root.id)
            await publish_root_crl(one, PASSPHRASE)
            assert (await one.authority.store.latest_crl(root.id)).number == first.number

            clock.now += 200 * DAY
            await publish_root_crl(one, PASSPHRASE)

            assert (await one.authority.store.latest_crl(root.id)).number == first.number + 1

            clock.now -= 200 * DAY  # it was wrong: nobody takes a CRL from the future
            await publish_root_crl(one, PASSPHRASE)

            last = await one.authority.store.latest_crl(root.id)
            assert (last.number, last.this_update <= clock.now) == (first.number + 2, True)

    asyncio.run(story())


def test_without_the_roots_key_its_crl_stays(directory, clock):
    directory.root.key.unlink()
    clock.now += 200 * DAY

    async def story():
        async with opened(directory, clock) as one:
            await publish_root_crl(one, PASSPHRASE)
            root = compose.root_issuer(directory)
            assert (await one.authority.store.latest_crl(root.id)).number == 1

    asyncio.run(story())


def test_a_crl_of_an_offline_root_is_taken_up_while_serving(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            root = compose.root_issuer(directory)
            first = await one.authority.store.latest_crl(root.id)
            upkeep = Upkeep(one, ServerTLS(tls_settings(one)))
            key = compose.root_issuing_key(directory, one.settings, PASSPHRASE)
            content = CRLContent(first.number + 5, int(clock.now), int(clock.now) + DAY, 0)
            directory.root.key.unlink()
            directory.root.crl.write_bytes(pem.crl(issue_crl(key, content, b"")))

            await upkeep.turn()

            assert (await one.authority.store.latest_crl(root.id)).number == first.number + 5

    asyncio.run(story())


def test_a_bad_crl_file_of_the_root_is_logged_and_serving_goes_on(directory, clock, caplog):
    directory.root.key.unlink()
    directory.root.crl.write_bytes(pem.crl(b"junk"))

    async def story():
        async with opened(directory, clock) as one:
            await publish_root_crl(one, PASSPHRASE)

    asyncio.run(story())
    assert "is not published" in caplog.text


def test_bootstrap_can_be_repeated(directory, clock):
    before = serial(directory.server)

    asyncio.run(bootstrap(directory, directory.settings(), PASSPHRASE, clock=clock))

    assert serial(directory.server) != before


def test_a_wrong_passphrase_is_refused_with_a_hint(directory, clock):
    async def story():
        async with open_authority(directory, directory.settings(), b"wrong", clock=clock):
            pass

    with pytest.raises(Error) as refused:
        asyncio.run(story())

    assert refused.value.kind is Kind.CONFIGURATION
    assert "passphrase" in refused.value.detail


def test_the_local_transport_speaks_the_api_as_the_administrator(directory):
    transport = LocalTransport(directory, directory.settings(), PASSPHRASE)
    try:
        answer = transport.request("GET", "/api/v1/certificates/?limit=5")
        assert answer.status == 200
        assert b"mintmark-server" in answer.body
        assert transport.request("GET", "/api/v1/nothing").status == 404
        keys = transport.request("GET", "/ssh/user_ca.pub")
        assert keys.body == (directory.path / "ssh" / "user.pub").read_bytes()
    finally:
        transport.close()


def test_a_server_that_finds_its_port_taken_says_so(directory):
    taken = listener.bind("127.0.0.1", 0)
    taken[0].listen()
    port = taken[0].getsockname()[1]
    settings = directory.settings()
    settings = structs.replace(settings, server=structs.replace(settings.server, https_port=port))

    with pytest.raises(Error) as refused:
        app.run(directory, settings, PASSPHRASE)

    taken[0].close()
    assert str(port) in refused.value.detail


def test_an_intermediate_with_constrained_names_certifies_its_administrator(tmp_path):
    made, clock = Directory(tmp_path / "mintmark"), Clock()
    settings = of({"server": {"names": ["ca.corp.example"]}})
    plan = ceremony.Plan(settings, Subject("Root"), Subject("Intermediate"))
    elsewhere = pki.signer(number=40)
    root = make_root(elsewhere, Subject("Corp Root"), clock=clock, entropy=os.urandom)
    with made.lock():
        ceremony.request_intermediate(made, plan, PASSPHRASE)
        signed = make_intermediate(
            elsewhere,
            root,
            parse_csr(made.intermediate.csr.read_bytes()).key,
            Subject("Intermediate"),
            clock=clock,
            entropy=os.urandom,
            constraints=Constraints(permitted_dns=("corp.example",)),
        )
        chain = tmp_path / "chain.pem"
        chain.write_bytes(pem.certificates((signed, root)))

        asyncio.run(ceremony.resume(made, chain, PASSPHRASE, clock=clock))

    (name,) = wire_certificate.parse(made.admin.certificate_der()).identifiers
    assert name.value.endswith("/admin-cli")
    assert len(ssh_files.load(made, PASSPHRASE).issuing) == 2
    assert list(ssh_files.problems(made)) == []


def test_own_rules_leave_the_authority_as_it_is(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            before = replace(one.authority)
            await own.admin_certificate(one.authority)
            assert one.authority == before

    asyncio.run(story())
