"""The KRL: complete, only when there is news, and with numbers that only rise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from mintmark.authority.workflow.revoke import revoke
from mintmark.authority.workflow.ssh import ban, issue_ssh
from mintmark.model.keys import KeyType
from mintmark.model.ssh import BanKind, SSHBan, SSHRequest
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.publication.checkpoint import CheckpointKey
from mintmark.publication.krl import publish_krl
from mintmark.publication.publisher import PublicationSettings, Publisher
from mintmark.store.sqlite import SQLiteStore
from mintmark.wire.ssh import certificate as wire
from mintmark.wire.ssh import krl
from tests import openssh, pki, ssh_authority
from tests.ssh_authority import ADMIN, HOST, USER, ca, subject


@pytest.fixture
def ssh(world):
    """An authority with SSH CAs, and what publishes for it."""
    ssh_authority.equip(world)
    return world


def publisher(world):
    key = CheckpointKey("ca.example.internal/log", pki.private_key(KeyType.ED25519, 800))
    return Publisher(world.authority, key, PublicationSettings(DAY))


def publish(world):
    latest = world.run(world.store.latest_krl())
    return world.run(publish_krl(world.authority, latest, int(world.clock())))


def issue(world, *principals, number=0, profile="ssh-user", **changes):
    wish = SSHRequest("deploy", profile, subject(number), principals=principals or ("alice",))
    issued = world.run(issue_ssh(world.authority, ADMIN, structs.replace(wish, **changes)))
    return issued.certificate


def revoke_it(world, certificate, reason=Reason.UNSPECIFIED):
    stored = world.run(world.store.certificate(certificate.serial))
    world.run(revoke(world.authority, ADMIN, stored, reason))


def fields(certificate):
    return wire.parse(certificate.der).fields


def latest(world):
    stored = world.run(world.store.latest_krl())
    return stored, krl.parse(stored.octets)


def test_the_first_krl_is_empty_because_sshd_needs_the_file(ssh):
    published = publish(ssh)

    stored, parsed = latest(ssh)
    assert published == stored
    assert (stored.entries, parsed.certificates) == (0, ())
    assert parsed.number == stored.number
    assert parsed.generated_at == int(ssh.clock())


def test_an_authority_without_ssh_publishes_none(world, tmp_path):
    store = SQLiteStore(tmp_path / "empty.db", world.clock)
    world.run(store.open())

    assert world.run(publish_krl(replace(world.authority, store=store), None, 1)) is None
    assert world.run(store.latest_krl()) is None
    world.run(store.close())


def test_revoked_serials_stand_under_the_key_that_signed_them(ssh):
    user, other = issue(ssh), issue(ssh, number=1)
    host = issue(ssh, "a.web.internal", profile="ssh-host", number=2)
    revoke_it(ssh, user)
    revoke_it(ssh, host)
    publish(ssh)

    stored, parsed = latest(ssh)
    assert stored.entries == 2
    assert {one.authority for one in parsed.certificates} == {
        ca(USER).authority.key.blob,
        ca(HOST).authority.key.blob,
    }
    assert parsed.revokes(fields(user))
    assert parsed.revokes(fields(host))
    assert not parsed.revokes(fields(other))


def test_banned_key_ids_and_keys_are_named(ssh):
    by_id, by_key, free = issue(ssh, key_id="alice"), issue(ssh, number=1), issue(ssh, number=2)
    for kind, value in ((BanKind.KEY_ID, b"alice"), (BanKind.KEY, subject(1).sha256)):
        banned = SSHBan(kind, value, int(ssh.clock()), Reason.UNSPECIFIED)
        ssh.run(ban(ssh.authority, ADMIN, banned))
    publish(ssh)

    stored, parsed = latest(ssh)
    assert stored.entries == 2
    assert parsed.revokes(fields(by_id))
    assert parsed.revokes(fields(by_key))
    assert parsed.revokes(subject(1))
    assert not parsed.revokes(fields(free))


def test_a_compromised_key_is_named_with_all_its_certificates(ssh):
    one, other = issue(ssh), issue(ssh, "bob")
    revoke_it(ssh, one, Reason.KEY_COMPROMISE)
    publish(ssh)

    assert latest(ssh)[1].revokes(fields(other))


def test_openssh_reads_it(ssh, tmp_path):
    revoked, good = issue(ssh), issue(ssh, number=1)
    revoke_it(ssh, revoked)
    path = tmp_path / "krl"
    path.write_bytes(publish(ssh).octets)
    for name, certificate in (("revoked", revoked), ("good", good)):
        (tmp_path / f"{name}.pub").write_text(wire.line(certificate.der) + "\n")

    assert "REVOKED" in openssh.keygen("-Q", "-f", path, tmp_path / "revoked.pub", fails=True)
    assert "ok" in openssh.keygen("-Q", "-f", path, tmp_path / "good.pub")


def test_numbers_only_rise_also_when_the_clock_stands_or_jumps_back(ssh):
    numbers = [publish(ssh).number for _ in range(3)]
    ssh.clock.now -= DAY
    numbers.append(publish(ssh).number)

    assert numbers == sorted(set(numbers))


def test_numbers_rise_after_a_restore_from_a_backup(ssh):
    """What was published after the backup is not known any more, and yet its numbers are used."""
    backup = publish(ssh)
    ssh.clock.now += HOUR
    lost = [publish(ssh).number for _ in range(20)]
    ssh.clock.now += HOUR

    restored = ssh.run(publish_krl(ssh.authority, backup, int(ssh.clock())))
    assert restored.number > max(lost)


def test_a_number_that_another_process_published_is_left_alone(ssh):
    old = publish(ssh)
    number = publish(ssh).number

    assert ssh.run(publish_krl(ssh.authority, old, int(ssh.clock()))) is None
    assert latest(ssh)[0].number == number


def test_an_entry_stays_until_one_krl_after_the_certificate_expired(ssh):
    short = issue(ssh, lifetime=HOUR)
    revoke_it(ssh, short)
    publish(ssh)
    ssh.clock.now += 2 * HOUR

    publish(ssh)
    assert latest(ssh)[1].revokes(fields(short))
    publish(ssh)
    assert latest(ssh)[0].entries == 0


def test_the_publisher_publishes_when_there_is_news_and_only_then(ssh):
    turns = publisher(ssh)

    def turn():
        ssh.clock.now += 1
        ssh.run(turns.turn())
        return latest(ssh)[0].number

    first = turn()
    assert turn() == first
    made = issue(ssh)
    assert turn() == first
    revoke_it(ssh, made)
    second = turn()
    assert second > first
    assert latest(ssh)[1].revokes(fields(made))
    assert turn() == second
    banned = SSHBan(BanKind.KEY_ID, b"bob", 1, Reason.UNSPECIFIED)
    ssh.run(ban(ssh.authority, ADMIN, banned))
    third = turn()
    assert third > second
    assert turn() == third


def test_x509_and_ssh_do_not_publish_each_others_lists(ssh):
    turns = publisher(ssh)
    ssh.run(turns.turn())
    issuer = ssh.authority.issuing.issuer.id
    numbers = ssh.run(ssh.store.latest_crl(issuer)).number, latest(ssh)[0].number

    revoke_it(ssh, issue(ssh))
    ssh.run(turns.turn())
    crl = ssh.run(ssh.store.latest_crl(issuer))
    assert (crl.number, crl.entries) == (numbers[0], 0)
    after = latest(ssh)[0].number
    assert after > numbers[1]

    revoke_it(ssh, ssh.certificate("web", "a.web.internal"))
    ssh.run(turns.turn())
    assert ssh.run(ssh.store.latest_crl(issuer)).entries == 1
    assert latest(ssh)[0].number == after
