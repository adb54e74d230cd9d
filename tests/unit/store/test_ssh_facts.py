"""Bans, KRLs, used tokens and provisioners: what SSH and sign-in need beside certificates."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from mintmark.model.access import Burn
from mintmark.model.act import Act, Token
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import BanKind
from mintmark.model.time import HOUR
from mintmark.store import leaf as leaves
from mintmark.store.migrations import migrations
from mintmark.store.postgresql import PostgreSQLStore
from mintmark.store.sqlite import SQLiteStore
from mintmark.store.ssh_rows import CLOCK_SKEW
from tests.unit.store.acts import NOW, certificate, issuance, issuer, note, record, revoking
from tests.unit.store.ssh_objects import (
    ban,
    banning,
    key,
    krl,
    prepare_ssh,
    providing,
    provisioner,
    ssh_certificate,
)
from tests.unit.store.test_commit import kind_of, outcomes

ROOT = Path(__file__).resolve().parents[3]
BURN = Burn(b"B" * 32, NOW + HOUR)


@pytest.fixture
def ssh(ledger, run):
    return prepare_ssh(ledger, run)


def burning(burn=BURN, **fields) -> Act:
    return issuance(burns=burn, **fields)


def test_a_token_is_used_up_once(ledger, run):
    assert not run(ledger.token_used(BURN.sha256))
    run(ledger.commit(burning()))
    assert run(ledger.token_used(BURN.sha256))
    with pytest.raises(Error) as refused:
        run(ledger.commit(burning()))
    assert refused.value.kind is Kind.BAD_TOKEN
    assert refused.value.detail == "the token is unknown, used up or expired"


def test_a_token_with_another_end_is_the_same_token(ledger, run):
    run(ledger.commit(burning()))
    again = burning(structs.replace(BURN, expires_at=NOW + 2 * HOUR))
    assert kind_of(run, ledger.commit(again)) is Kind.BAD_TOKEN


def test_a_used_token_rolls_back_nothing_of_others_in_the_batch(ledger, run):
    acts = [
        issuance(),
        burning(),
        burning(),
        issuance(),
        burning(structs.replace(BURN, sha256=b"C" * 32)),
    ]

    async def together():
        return await outcomes(*map(ledger.commit, acts))

    assert run(together()) == [None, None, Kind.BAD_TOKEN, None, None]
    stored = [run(ledger.certificate(act.certificate.serial)) is not None for act in acts]
    assert stored == [True, True, False, True, True]
    assert run(ledger.check()) == []


def test_an_act_that_is_refused_uses_nothing_up(ledger, run):
    refused = burning(burns_token=b"t" * 32)
    assert kind_of(run, ledger.commit(refused)) is Kind.BAD_TOKEN
    assert not run(ledger.token_used(BURN.sha256))
    run(ledger.commit(burning()))


def test_two_stores_cannot_use_up_one_token_at_once(ledger, open_store, run):
    other = open_store()

    async def race():
        return await outcomes(*(one.commit(burning()) for one in (ledger, other) * 10))

    found = run(race())
    assert (found.count(None), found.count(Kind.BAD_TOKEN)) == (1, 19)
    assert run(ledger.count())["certificates"] == 1


BURNS = textwrap.dedent("""
    import asyncio, sys

    from mintmark.model.access import Burn
    from mintmark.model.act import Act
    from mintmark.model.errors import Error
    from mintmark.store.postgresql import PostgreSQLStore
    from mintmark.store.sqlite import SQLiteStore
    from tests.unit.store.acts import NOW, record

    async def use_up(store, number):
        try:
            await store.commit(Act(record(), burns=Burn(number.to_bytes(32), NOW + 60)))
        except Error as error:
            assert error.kind.value == "bad-token", error
            return 0
        return 1

    async def main(dialect, url):
        kind = PostgreSQLStore if dialect == "postgresql" else SQLiteStore
        store = kind(url, lambda: float(NOW))
        await store.open()
        print("ready", flush=True)
        sys.stdin.readline()
        print(sum(await asyncio.gather(*(use_up(store, n) for n in range(200)))), flush=True)
        await store.close()

    asyncio.run(main(*sys.argv[1:]))
""")


def test_a_token_that_two_processes_use_up_at_once_is_used_up_once(ledger, open_store, run):
    command = [sys.executable, "-c", BURNS, open_store.dialect, str(open_store.url)]
    children = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    used = [int(child.communicate(timeout=60)[0]) for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sum(used) == 200
    assert run(ledger.count())["audit"] == 201  # the issuer, and one for each


def test_a_token_that_has_expired_meanwhile_is_refused(ledger, run):
    """It may have been forgotten already, so nothing would stop its second use."""
    assert kind_of(run, ledger.commit(burning(Burn(b"B" * 32, NOW - 1)))) is Kind.BAD_TOKEN
    run(ledger.commit(burning(Burn(b"B" * 32, NOW))))


def test_tidy_forgets_used_tokens_when_no_clock_would_take_them(ledger, run):
    many = [burning(Burn(n.to_bytes(32), NOW + HOUR)) for n in range(450)]

    async def use_up():
        await asyncio.gather(*map(ledger.commit, many))

    run(use_up())
    assert run(ledger.tidy(NOW + HOUR + CLOCK_SKEW)) == 0
    assert run(ledger.token_used((1).to_bytes(32)))
    assert run(ledger.tidy(NOW + HOUR + CLOCK_SKEW + 1)) == 450
    assert not run(ledger.token_used((1).to_bytes(32)))


def test_a_one_time_token_keeps_its_principals(ledger, run):
    token = Token(b"T" * 32, "alice", (), (), NOW + HOUR, ("alice", "ops"))
    run(ledger.commit(Act(record("token.create"), token=token)))
    assert run(ledger.token(b"T" * 32)) == token
    unstorable = structs.replace(token, sha256=b"U" * 32, principals=("al\0ice",))
    assert kind_of(run, ledger.commit(Act(record(), token=unstorable))) is Kind.MALFORMED


def test_bans_read_back_oldest_first(ssh, run):
    bans = [ban(), ban(BanKind.KEY, key().sha256), ban(value="bøb".encode())]
    run(ssh.commit(banning(*bans[:2])))
    run(ssh.commit(banning(bans[2])))
    assert run(ssh.bans()) == bans
    assert run(ssh.banned("alice@example.internal", bytes(32))) == bans[0]
    assert run(ssh.banned("nobody", key().sha256)) == bans[1]
    assert run(ssh.banned("bøb", bytes(32))) == bans[2]
    assert run(ssh.banned("nobody", bytes(32))) is None


def test_a_key_id_is_not_taken_for_a_key(ssh, run):
    run(ssh.commit(banning(ban(value=b"k" * 32))))
    assert run(ssh.banned("x", b"k" * 32)) is None
    assert run(ssh.banned("k" * 32, bytes(32))) is not None
    assert not run(ssh.barred(bytes(32), b"k" * 32, "x"))
    assert not run(ssh.barred(b"k" * 32, bytes(32), "x"))
    assert run(ssh.barred(bytes(32), bytes(32), "k" * 32))
    run(ssh.commit(issuance(structs.replace(ssh_certificate(), key_sha256=b"k" * 32))))
    run(ssh.commit(banning(ban(BanKind.KEY, b"k" * 32))))
    assert len(run(ssh.bans())) == 2


def test_a_certificate_is_barred_by_its_key_and_by_its_key_id(ssh, run):
    run(ssh.commit(banning(ban(BanKind.KEY, b"k" * 32), ban(value="bøb".encode()))))
    run(ssh.commit(Act(record(), blocked_key=b"s" * 32)))

    async def several():
        spki, key, other = b"s" * 32, b"k" * 32, bytes(32)
        asked = ((spki, other, "a"), (other, key, "a"), (other, other, "bøb"), (key, spki, "a"))
        return await asyncio.gather(*(ssh.barred(*one) for one in asked))

    assert run(several()) == [True, True, True, False]


def test_what_is_banned_is_not_banned_again(ssh, run):
    other = ban(value=b"bob")
    run(ssh.commit(banning(ban())))
    assert kind_of(run, ssh.commit(banning(other, ban()))) is Kind.CONFLICT
    assert kind_of(run, ssh.commit(banning(other, other))) is Kind.CONFLICT
    assert run(ssh.bans()) == [ban()]


def test_two_stores_cannot_both_ban_a_key_id(ssh, open_store, run):
    other = open_store()

    async def race():
        return await outcomes(*(one.commit(banning(ban())) for one in (ssh, other) * 5))

    found = run(race())
    assert (found.count(None), found.count(Kind.CONFLICT)) == (1, 9)
    assert run(ssh.bans()) == [ban()]


def test_a_ban_is_in_the_audit_log(ssh, run):
    run(ssh.commit(banning(ban(), ban(BanKind.KEY, key().sha256))))
    [record_], _ = run(ssh.audit(before=None, limit=1, service=None, action="ssh.ban"))
    assert leaves.decode(record_.leaf).banned == [
        "key-id:alice@example.internal",
        f"key:{key().sha256.hex()}",
    ]


@pytest.mark.parametrize("value", [b"al\0ice", b"\xff\xfe", b"a\nb"])
def test_a_key_id_that_is_no_text_cannot_be_banned(ssh, run, value):
    assert kind_of(run, ssh.commit(banning(ban(value=value)))) is Kind.MALFORMED


@pytest.mark.parametrize(
    ("banned", "kind"),
    [
        (ban(), Kind.FORBIDDEN),
        (ban(BanKind.KEY, key().sha256), Kind.BAD_PUBLIC_KEY),
    ],
)
def test_nothing_is_issued_for_what_is_banned_from_that_moment_on(ssh, run, banned, kind):
    acts = [
        issuance(ssh_certificate()),
        banning(banned),
        issuance(ssh_certificate()),
        issuance(certificate(), companions=(ssh_certificate(),)),
        issuance(ssh_certificate(key_id="bob", subject=key("bob"))),
    ]

    async def together():
        return await outcomes(*map(ssh.commit, acts))

    assert run(together()) == [None, None, kind, kind, None]
    assert kind_of(run, ssh.commit(issuance(ssh_certificate()))) is kind


def test_two_stores_agree_on_what_is_banned(ssh, open_store, run):
    other = open_store()

    async def race():
        jobs = [other.commit(issuance(ssh_certificate())) for _ in range(20)]
        jobs += [ssh.commit(banning(ban()))]
        jobs += [other.commit(issuance(ssh_certificate())) for _ in range(20)]
        await asyncio.gather(*jobs, return_exceptions=True)

    run(race())
    records, _ = run(ssh.audit(before=None, limit=100, service=None, action=None))
    actions = [leaves.decode(each.leaf).action for each in reversed(records)]
    assert "certificate.request" not in actions[actions.index("ssh.ban") :]


def test_a_krl_reads_back_as_it_was(ssh, run):
    assert run(ssh.latest_krl()) is None
    assert run(ssh.add_krl(krl(5)))
    assert run(ssh.latest_krl()) == krl(5)


def test_krl_numbers_only_rise(ssh, open_store, run):
    assert run(ssh.add_krl(krl(5)))
    for number in (5, 4):
        assert not run(ssh.add_krl(krl(number, b"other")))
    assert run(open_store().add_krl(krl(9, b"newest")))
    assert run(ssh.latest_krl()) == krl(9, b"newest")
    assert run(ssh.check()) == []


def test_two_stores_publish_a_krl_number_once(ssh, open_store, run):
    other = open_store()

    async def race():
        return await asyncio.gather(*(one.add_krl(krl(7)) for one in (ssh, other) * 3))

    assert run(race()).count(True) == 1


def test_a_provisioner_reads_back_until_it_is_changed(ledger, run):
    assert (run(ledger.provisioners()), run(ledger.provisioners_version())) == ([], 0)
    run(ledger.commit(providing(provisioner())))
    run(ledger.commit(providing(provisioner(name="build", type_="jwk"))))
    assert run(ledger.provisioners()) == [provisioner(name="build", type_="jwk"), provisioner()]
    changed = provisioner(2, document=b'{"a": 2}')
    run(ledger.commit(providing(changed)))
    assert run(ledger.provisioners())[1] == changed


def test_the_version_of_provisioners_rises_with_every_change(ledger, open_store, run):
    other, seen = open_store(), [0]
    changes = (
        provisioner(),
        provisioner(name="build"),
        provisioner(2),
        provisioner(3, document=b""),  # removed
        provisioner(2, name="build", document=b""),
        provisioner(4, type_="jwk"),  # there again, as another
    )
    for change in changes:
        run(ledger.commit(providing(change)))
        seen.append(run(other.provisioners_version()))
    assert seen == sorted(set(seen))
    assert run(other.provisioners())[1] == changes[-1]


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_provisioner_that_does_not_follow_what_is_stored_is_a_conflict(ledger, run, version):
    run(ledger.commit(providing(provisioner())))
    assert kind_of(run, ledger.commit(providing(provisioner(version)))) is Kind.CONFLICT
    assert run(ledger.provisioners()) == [provisioner()]


def test_changes_of_one_batch_follow_each_other(ledger, run):
    acts = [provisioner(), provisioner(2), provisioner(2, document=b"late"), provisioner(3)]

    async def together():
        return await outcomes(*(ledger.commit(providing(change)) for change in acts))

    assert run(together()) == [None, None, Kind.CONFLICT, None]
    assert run(ledger.provisioners()) == [provisioner(3)]


def test_two_stores_add_a_provisioner_once(ledger, open_store, run):
    other = open_store()

    async def race():
        acts = (one.commit(providing(provisioner())) for one in (ledger, other) * 5)
        return await outcomes(*acts)

    found = run(race())
    assert (found.count(None), found.count(Kind.CONFLICT)) == (1, 9)


def test_a_provisioner_whose_name_cannot_be_stored_is_refused(ledger, run):
    assert kind_of(run, ledger.commit(providing(provisioner(name="a\0b")))) is Kind.MALFORMED


def test_sqlite_answers_early_questions_without_suspending(ssh, open_store):
    if open_store.dialect != "sqlite":
        return  # on PostgreSQL they share a query
    for reading in (
        ssh.banned("alice", bytes(32)),
        ssh.provisioners_version(),
        ssh.provisioners(),
        ssh.ssh_host_exists("a", NOW),
    ):
        with pytest.raises(StopIteration):
            reading.send(None)


def test_tokens_that_are_asked_about_together_are_answered_each_by_itself(ledger, run):
    run(ledger.commit(Act(record(), burns=BURN)))

    async def several():
        asked = (BURN.sha256, b"a" * 32, BURN.sha256, b"b" * 32)
        return await asyncio.gather(*map(ledger.token_used, asked))

    assert run(several()) == [True, False, True, False]


def test_what_was_stored_before_ssh_is_still_there(
    tmp_path, open_new_store, clock, run, monkeypatch
):
    """A database of version 2 with rows in it is brought to version 3."""
    postgresql = open_new_store.dialect == "postgresql"
    kind = PostgreSQLStore if postgresql else SQLiteStore
    module = "mintmark.store.migrations.migrations"
    with monkeypatch.context() as patched:
        patched.setattr(module, lambda dialect: migrations(dialect)[:2])
        old = kind(open_new_store.url, clock)
        assert len(run(old.migrate())) == 2
    rows = old_rows(postgresql)
    if postgresql:
        run(on_server(open_new_store.url, *rows))
    else:
        connection = apsw.Connection(str(open_new_store.url))
        for statement, values in rows:
            connection.execute(statement, values)
        connection.close()

    store = open_new_store()

    assert run(store.issuers()) == [issuer()]
    stored = run(store.certificate(OLD.serial))
    assert stored.certificate == OLD
    assert stored.revocation is not None
    assert run(store.token(b"T" * 32)) == Token(b"T" * 32, "web", (), (), NOW + HOUR)
    prepare_ssh(store, run)
    run(store.commit(issuance(ssh_certificate())))
    assert run(store.count())["certificates"] == 2


OLD = certificate()


def old_rows(postgresql):
    """Rows as version 2 wrote them."""
    first = issuer()
    statements = [
        (
            (
                "INSERT INTO issuers (issuer, name, der, chain, root, spki_sha256, not_before,"
                " not_after, active) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            ),
            (
                first.id,
                first.name,
                first.der,
                b"".join(first.chain),
                first.root,
                first.spki_sha256,
                first.not_before,
                first.not_after,
                True,
            ),
        ),
        (
            (
                "INSERT INTO certificates (serial, issuer, service, profile, not_after, der)"
                " VALUES (?, 1, ?, ?, ?, ?)"
            ),
            (OLD.serial, OLD.service, OLD.profile, OLD.not_after, OLD.der),
        ),
        (
            "INSERT INTO revocations VALUES (?, 1, 1, ?, 4, ?, ?)",
            (OLD.serial, NOW, OLD.not_after, b"entry"),
        ),
        ("INSERT INTO tokens VALUES (?, 'web', '[]', '[]', ?)", (b"T" * 32, NOW + HOUR)),
        (
            "INSERT INTO audit (leaf) VALUES (?)",
            (leaves.encode(issuance(OLD)),),
        ),
    ]
    if not postgresql:
        return statements
    numbered = []
    for statement, values in statements:
        for place in range(1, len(values) + 1):
            statement = statement.replace("?", f"${place}", 1)  # noqa: PLW2901 - bit by bit
        numbered.append((statement, values))
    return numbered


async def on_server(url, *rows):
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        for statement, values in rows:
            await connection.execute(statement, *values)
    finally:
        await connection.close()


def test_a_restored_copy_knows_what_was_used_up_and_banned(tmp_path, open_store, clock, run):
    if open_store.dialect != "sqlite":
        return  # PostgreSQL's own tools copy it whole
    store = prepare_ssh(open_store(), run)
    from tests.unit.store.acts import prepare

    prepare(store, run)
    issued = ssh_certificate()
    for act in (issuance(issued, burns=BURN), banning(ban()), providing(provisioner())):
        run(store.commit(act))
    run(store.commit(revoking(issued)))
    run(store.add_krl(krl(5)))
    copy = tmp_path / "copy.db"
    source = apsw.Connection(str(open_store.url))
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()

    restored = SQLiteStore(copy, clock)
    run(restored.open())

    assert run(restored.token_used(BURN.sha256))
    assert run(restored.bans()) == [ban()]
    assert list(restored.krl_serials(0)) == [(issued.issuer, issued.number)]
    assert not run(restored.add_krl(krl(5)))
    assert run(restored.provisioners()) == [provisioner()]
    assert run(restored.check()) == []
    run(restored.commit(note()))
    run(restored.close())
