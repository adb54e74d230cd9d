"""Accounts are listed by id, all of them or those of one provisioner."""

from __future__ import annotations

from tests.unit.store.acme_objects import account, changing


def test_accounts_are_listed_by_id_and_provisioner(ledger, run):
    made = [account(f"a{at}", provisioner="ab"[at % 2]) for at in range(5)]
    for one in made:
        run(ledger.commit(changing(one)))
    assert run(ledger.accounts(None, after=None, limit=3)) == made[:3]
    assert run(ledger.accounts(None, after="a2", limit=3)) == made[3:]
    assert run(ledger.accounts("b", after=None, limit=3)) == made[1::2]
    assert run(ledger.accounts("c", after=None, limit=3)) == []
