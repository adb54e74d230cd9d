"""SSH CA keys in an authority's directory: made, rolled over, taken up, compared."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mintmark.authority.issuance.hierarchy import Subject
from mintmark.authority.signer.file import generate
from mintmark.authority.workflow import provisioners
from mintmark.authority.workflow.ssh import issue_ssh
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import SSH_CA_KEY_TYPES, KeyType
from mintmark.model.provisioner import SSHPOPProvisioner
from mintmark.model.ssh import Generation, SSHCertificateType, SSHRequest
from mintmark.model.time import DAY
from mintmark.server import app, ceremony, compose, ssh_files, ssh_keys
from mintmark.server.compose import open_authority, open_store
from mintmark.server.directory import Directory
from mintmark.server.local import record_ssh_keys
from mintmark.server.own import LOCAL_ADMIN
from mintmark.server.settings import Settings, of
from mintmark.server.tls import ServerTLS
from mintmark.server.upkeep import Upkeep, tls_settings
from mintmark.wire.ssh import certificate as wire_ssh
from mintmark.wire.ssh.key import from_public_key

PASSPHRASE = b"correct horse"
USER, HOST = SSHCertificateType.USER, SSHCertificateType.HOST
NOW = 1_800_000_000.0


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def create(path: Path, key_type: KeyType | None) -> Directory:
    made = Directory(path)
    plan = ceremony.Plan(
        Settings(), Subject("Root"), Subject("Intermediate"), ssh_key_type=key_type
    )
    with made.lock():
        asyncio.run(ceremony.create(made, plan, PASSPHRASE, clock=Clock(), entropy=os.urandom))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return create(tmp_path_factory.mktemp("made") / "mintmark", KeyType.ED25519)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return create(tmp_path_factory.mktemp("bare") / "mintmark", None)


@pytest.fixture
def directory(made, tmp_path):
    return Directory(Path(shutil.copytree(made.path, tmp_path / "mintmark")))


@pytest.fixture
def without(bare, tmp_path):
    return Directory(Path(shutil.copytree(bare.path, tmp_path / "bare")))


def opened(directory, clock):
    return open_authority(directory, directory.settings(), PASSPHRASE, clock=clock)


def generations(directory, type_=USER):
    return [one.generation.value for one in ssh_files.describe(directory) if one.type is type_]


def audited(directory, clock, action):
    async def read():
        store = open_store(directory, directory.settings(), clock)
        await store.open()
        try:
            records, _ = await store.audit(before=None, limit=50, service=None, action=action)
            return [json.loads(one.leaf) for one in records]
        finally:
            await store.close()

    return asyncio.run(read())


async def certificate(authority, type_=USER, lifetime=3600):
    key = from_public_key(generate(KeyType.ED25519).public_key())
    principal = "alice" if type_ is USER else "web.example.internal"
    wish = SSHRequest("web", f"ssh-{type_.word}", key, principals=(principal,), lifetime=lifetime)
    return (await issue_ssh(authority, LOCAL_ADMIN, wish)).certificate


def prepare(directory, clock, type_=USER, **options):
    return asyncio.run(ssh_keys.prepare(directory, PASSPHRASE, type_, clock=clock, **options))


def activate(directory, clock, type_=USER):
    return asyncio.run(ssh_keys.activate(directory, PASSPHRASE, type_, clock=clock))


def retire(directory, clock, type_=USER, **options):
    return asyncio.run(ssh_keys.retire(directory, type_, clock=clock, **options))


def refused(act, kind):
    with pytest.raises(Error) as caught:
        act()
    assert caught.value.kind is kind, caught.value.detail
    return caught.value


# --- made --------------------------------------------------------------------------------------


def test_a_new_authority_has_a_key_for_users_and_one_for_hosts(directory, clock):
    found = ssh_files.describe(directory)

    assert [(one.type, one.generation) for one in found] == [
        (USER, Generation.ACTIVE),
        (HOST, Generation.ACTIVE),
    ]
    assert found[0].key.blob != found[1].key.blob
    assert {one.key.type for one in found} == {"ssh-ed25519"}
    assert len(audited(directory, clock, "ssh.authority.add")) == 2


def test_its_keys_are_encrypted_and_its_owners(directory):
    for name in ("user.pem", "host.pem"):
        file = directory.path / "ssh" / name
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600
    assert (directory.path / "ssh").stat().st_mode & 0o777 == 0o700


def test_openssl_reads_a_key_with_the_passphrase_of_the_authority(directory):
    command = ("openssl", "pkey", "-in", directory.path / "ssh" / "user.pem", "-passin", "stdin")
    answer = subprocess.run(command, input=PASSPHRASE + b"\n", capture_output=True, check=False)

    assert b"PRIVATE KEY" in answer.stdout, answer.stderr


def test_an_authority_can_be_without_ssh(without, clock):
    assert ssh_files.describe(without) == ()

    async def story():
        async with opened(without, clock) as one:
            assert one.authority.ssh.trusted == ()
            with pytest.raises(Error, match="no SSH user CA"):
                await certificate(one.authority)

    asyncio.run(story())


@pytest.mark.parametrize("key_type", SSH_CA_KEY_TYPES[:3])
def test_ssh_init_gives_an_existing_authority_its_keys(without, clock, key_type):
    asyncio.run(ssh_keys.init(without, PASSPHRASE, key_type, clock=clock))

    async def story():
        async with opened(without, clock) as one:
            for type_ in SSHCertificateType:
                issued = await certificate(one.authority, type_)
                wire_ssh.verify(wire_ssh.parse(issued.der))

    asyncio.run(story())
    assert len(audited(without, clock, "ssh.authority.add")) == 2


def test_ssh_init_makes_no_second_keys(directory, clock):
    before = ssh_files.stamp(directory)

    refused(lambda: asyncio.run(ssh_keys.init(directory, PASSPHRASE, clock=clock)), Kind.CONFLICT)

    assert ssh_files.stamp(directory) == before


def test_a_weak_kind_of_key_is_not_made(without, clock):
    error = refused(
        lambda: asyncio.run(ssh_keys.init(without, PASSPHRASE, KeyType.RSA_2048, clock=clock)),
        Kind.CONFIGURATION,
    )

    assert "rsa-3072" in error.hint
    assert ssh_files.describe(without) == ()


@pytest.mark.parametrize("act", [ssh_keys.init, lambda *a, **k: ssh_keys.prepare(*a, USER, **k)])
def test_a_wrong_passphrase_makes_no_key(directory, without, clock, act):
    place = without if act is ssh_keys.init else directory
    before = ssh_files.stamp(place)

    refused(lambda: asyncio.run(act(place, b"wrong", clock=clock)), Kind.CONFIGURATION)

    assert ssh_files.stamp(place) == before


def test_a_key_that_cannot_be_put_on_record_is_not_there(without, clock, monkeypatch):
    async def away(*_):
        raise Error(Kind.UNAVAILABLE, "the database is away")

    monkeypatch.setattr("mintmark.store.sqlite.SQLiteStore.add_ssh_authority", away)

    refused(lambda: asyncio.run(ssh_keys.init(without, PASSPHRASE, clock=clock)), Kind.UNAVAILABLE)

    assert ssh_files.describe(without) == ()
    assert not (without.path / ".new").exists()


def test_a_pending_authority_keeps_its_keys(tmp_path):
    waiting = Directory(tmp_path / "mintmark")
    plan = ceremony.Plan(Settings(), Subject("Root"), Subject("Intermediate"))
    with waiting.lock():
        ceremony.request_intermediate(waiting, plan, PASSPHRASE)

    assert generations(waiting) == ["active"]


# --- rolled over -------------------------------------------------------------------------------


def test_a_rollover_trusts_before_it_signs_and_after_it_signed(directory, clock):
    (old,) = (one for one in ssh_files.describe(directory) if one.type is USER)

    following = prepare(directory, clock)
    assert generations(directory) == ["active", "next"]
    assert signing(directory, clock) == old.key.blob

    active = activate(directory, clock)
    assert active.key.blob == following.key.blob
    assert generations(directory) == ["active", "previous"]
    assert signing(directory, clock) == following.key.blob

    retired = retire(directory, clock)
    assert retired.key.blob == old.key.blob
    assert generations(directory) == ["active"]
    assert generations(directory, HOST) == ["active"]


def signing(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            assert one.authority.ssh.trusted == ssh_files.describe(directory)
            return one.authority.ssh.active(USER).authority.key.blob

    return asyncio.run(story())


def test_each_step_of_a_rollover_is_on_record(directory, clock):
    prepare(directory, clock)
    activate(directory, clock)
    retire(directory, clock)

    added = audited(directory, clock, "ssh.authority.add")[0]
    assert added["details"]["generation"] == "next"
    for action in ("ssh.authority.activate", "ssh.authority.retire"):
        (record,) = audited(directory, clock, action)
        assert record["details"]["type"] == "user"
        assert record["details"]["fingerprint"].startswith("SHA256:")


def test_the_private_half_of_the_previous_key_is_gone(directory, clock):
    before = (directory.path / "ssh" / "user.pem").read_bytes()
    prepare(directory, clock)
    activate(directory, clock)

    assert sorted(one.name for one in (directory.path / "ssh").iterdir()) == [
        "host.pem",
        "host.pub",
        "user.pem",
        "user.previous.pub",
        "user.pub",
    ]
    assert (directory.path / "ssh" / "user.pem").read_bytes() != before


def test_the_next_key_can_be_of_another_type(directory, clock):
    assert prepare(directory, clock).key.type == "ssh-ed25519"
    assert prepare(directory, clock, HOST, key_type=KeyType.EC_P256).key.type.startswith("ecdsa")


def test_steps_out_of_order_are_refused_and_change_nothing(directory, clock):
    refused(lambda: activate(directory, clock), Kind.NOT_FOUND)
    refused(lambda: retire(directory, clock), Kind.NOT_FOUND)
    prepare(directory, clock)
    refused(lambda: prepare(directory, clock), Kind.CONFLICT)
    activate(directory, clock)
    prepare(directory, clock)
    before = ssh_files.stamp(directory)

    refused(lambda: activate(directory, clock), Kind.CONFLICT)  # three generations at once

    assert ssh_files.stamp(directory) == before


def test_a_rollover_needs_a_key_to_roll_over(without, clock):
    refused(lambda: prepare(without, clock), Kind.NOT_FOUND)


def test_a_key_is_not_retired_while_certificates_need_it(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            await certificate(one.authority, lifetime=DAY)

    asyncio.run(story())
    prepare(directory, clock)
    activate(directory, clock)

    error = refused(lambda: retire(directory, clock), Kind.CONFLICT)
    assert "1 valid SSH user certificates" in error.detail

    clock.now += DAY + 60
    assert retire(directory, clock).generation is Generation.RETIRED


def test_a_key_is_retired_by_force(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            await certificate(one.authority, lifetime=DAY)

    asyncio.run(story())
    prepare(directory, clock)
    activate(directory, clock)

    retire(directory, clock, force=True)

    assert generations(directory) == ["active"]


def test_an_activation_that_was_cut_short_is_over_at_the_next_look(directory, clock, monkeypatch):
    prepare(directory, clock)
    monkeypatch.setattr(ssh_keys, "_forget_next", lambda *_: None)
    activate(directory, clock)
    monkeypatch.undo()
    assert (directory.path / "ssh" / "user.next.pem").exists()

    assert generations(directory) == ["active", "previous"]
    signing(directory, clock)
    retire(directory, clock)
    prepare(directory, clock)

    assert generations(directory) == ["active", "next"]
    assert list(ssh_files.problems(directory)) == []


def test_an_activation_that_cannot_be_put_on_record_did_not_happen(directory, clock, monkeypatch):
    prepare(directory, clock)
    before = ssh_files.stamp(directory)

    async def away(*_):
        raise Error(Kind.UNAVAILABLE, "the database is away")

    monkeypatch.setattr("mintmark.store.sqlite.SQLiteStore.commit", away)

    refused(lambda: activate(directory, clock), Kind.UNAVAILABLE)

    assert ssh_files.stamp(directory) == before


def test_two_cannot_change_the_keys_at_once(directory, clock):
    with directory.lock():
        refused(lambda: prepare(directory, clock), Kind.UNAVAILABLE)


# --- taken up ----------------------------------------------------------------------------------


def test_a_reload_takes_up_the_keys(without, clock):
    async def story():
        async with opened(without, clock) as one:
            await ssh_keys.init(without, PASSPHRASE, clock=clock)
            await app.reload(one, ServerTLS(tls_settings(one)))

            assert len(one.authority.ssh.trusted) == 2
            await certificate(one.authority)

    asyncio.run(story())


def test_every_process_takes_up_the_keys_by_itself(directory, clock):
    async def story():
        async with opened(directory, clock) as one, opened(directory, clock) as other:
            processes = [Upkeep(each, ServerTLS(tls_settings(each))) for each in (one, other)]
            await ssh_keys.prepare(directory, PASSPHRASE, USER, clock=clock)
            for each in processes:
                await each.turn()
            assert all(len(each.authority.ssh.trusted) == 3 for each in (one, other))

            signer = one.authority.ssh.active(HOST).signer
            active = await ssh_keys.activate(directory, PASSPHRASE, USER, clock=clock)
            for each in processes:
                await each.turn()

            for each in (one, other):
                assert each.authority.ssh.active(USER).authority.key.blob == active.key.blob
            assert one.authority.ssh.active(HOST).signer is signer  # not decrypted again

    asyncio.run(story())


def test_keys_that_do_not_fit_change_nothing_in_a_running_server(directory, clock, caplog):
    async def story():
        async with opened(directory, clock) as one:
            before = one.authority.ssh
            (directory.path / "ssh" / "user.pub").unlink()
            await app.reload(one, ServerTLS(tls_settings(one)))
            assert one.authority.ssh is before
            with pytest.raises(Error, match=r"user\.pub' is missing"):
                await Upkeep(one, ServerTLS(tls_settings(one))).turn() or take_up(one)

    def take_up(one):
        ssh_files.load(directory, PASSPHRASE, one.authority.ssh)

    asyncio.run(story())
    assert "not taken up" in caplog.text


def test_a_key_that_an_operator_brought_along_is_put_on_record(without, directory, clock):
    shutil.copytree(directory.path / "ssh", without.path / "ssh")

    async def story():
        async with opened(without, clock) as one:
            await record_ssh_keys(one.authority)
            await record_ssh_keys(one.authority)
            await certificate(one.authority)

    asyncio.run(story())
    assert len(audited(without, clock, "ssh.authority.add")) == 2


def test_no_ca_key_of_ssh_is_ever_certified(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            keys = {each.key.spki_sha256 for each in one.authority.ssh.trusted}
            assert keys <= one.authority.policy.authority_keys
            policy = compose.policy(one.settings, one.authority.issuers, one.authority.ssh)
            assert keys <= policy.authority_keys

    asyncio.run(story())


def test_stored_provisioners_and_new_keys_are_in_force_together(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            authority = one.authority
            upkeep = Upkeep(one, ServerTLS(tls_settings(one)))
            await provisioners.add(authority, LOCAL_ADMIN, SSHPOPProvisioner("pop"))
            following = await ssh_keys.prepare(directory, PASSPHRASE, USER, clock=clock)
            await upkeep.turn()
            await provisioners.refresh(authority)
            await provisioners.add(authority, LOCAL_ADMIN, SSHPOPProvisioner("pop2"))

            assert authority.policy.provisioners.keys() >= {"pop", "pop2"}
            assert following.key.spki_sha256 in authority.policy.authority_keys

    asyncio.run(story())


# --- compared with each other ------------------------------------------------------------------


def test_whole_directories_have_no_problems(directory, without):
    assert list(ssh_files.problems(directory)) == []
    assert list(ssh_files.problems(without)) == []


@pytest.mark.parametrize("name", ["user.pem", "user.pub", "host.pem", "host.pub"])
def test_a_lost_file_is_noticed(directory, clock, name):
    (directory.path / "ssh" / name).unlink()

    (problem,) = ssh_files.problems(directory)

    assert name in problem
    with pytest.raises(Error, match="is missing"):
        ssh_files.load(directory, PASSPHRASE)


def test_a_key_without_its_type_of_the_other_is_noticed(directory):
    for name in ("user.pem", "user.pub"):
        (directory.path / "ssh" / name).unlink()

    (problem,) = ssh_files.problems(directory)

    assert "user.pem' is missing" in problem


def test_a_public_half_of_another_key_is_noticed(directory):
    other = from_public_key(generate(KeyType.ED25519).public_key())
    ssh_files.write_key_line(directory.path / "ssh" / "user.pub", other)

    with pytest.raises(Error, match="is not the private half of"):
        ssh_files.load(directory, PASSPHRASE)


def test_a_certificate_is_no_ca_key(directory, clock):
    async def story():
        async with opened(directory, clock) as one:
            return await certificate(one.authority)

    issued = asyncio.run(story())
    (directory.path / "ssh" / "user.pub").write_text(wire_ssh.line(issued.der))

    with pytest.raises(Error, match=r"user\.pub': a certificate"):
        ssh_files.load(directory, PASSPHRASE)


def test_a_key_that_others_can_read_is_noticed_and_not_used(directory):
    (directory.path / "ssh" / "host.pem").chmod(0o640)

    (problem,) = ssh_files.problems(directory)

    assert "mode 0640" in problem
    with pytest.raises(Error, match="0640"):
        ssh_files.load(directory, PASSPHRASE)


def test_lost_keys_are_told_when_the_authority_is_opened(directory, clock, caplog):
    shutil.rmtree(directory.path / "ssh")

    async def story():
        async with opened(directory, clock) as one:
            assert one.authority.ssh.trusted == ()

    asyncio.run(story())
    assert "the SSH user CA key is on record and its files are missing" in caplog.text


# --- composition -------------------------------------------------------------------------------


def test_audiences_are_the_names_of_the_server_and_of_its_public_url():
    settings = of(
        {
            "server": {
                "names": ["ca.example.internal", "10.0.0.1"],
                "public_http_url": "http://crl.example.internal:8080",
            }
        }
    )

    assert compose.names(settings) == ("ca.example.internal", "10.0.0.1", "crl.example.internal")
