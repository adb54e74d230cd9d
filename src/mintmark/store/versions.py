"""Whether changes of ACME's objects follow what is stored, decided inside a batch's transaction.

Part of `Conditions`: the store fills in what it finds, each act is decided in order, and what
was admitted is written once a row, however often a batch changes it.
"""

from __future__ import annotations

from typing import Final

from mintmark.model.acme import (
    Account,
    Authorization,
    Change,
    ExternalKey,
    Order,
    Pause,
)
from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind

Versioned = Account | ExternalKey | Order | Authorization
KINDS: Final[tuple[type[Versioned], ...]] = (Account, ExternalKey, Order, Authorization)
_NOUNS: Final[dict[type[Versioned], str]] = {
    Account: "account",
    ExternalKey: "external account key",
    Order: "order",
    Authorization: "authorization",
}


class Versions:
    """The versions a batch asks for, and what it changes.

    The store fills in `stored`, `owners` and `bindings` for the keys it finds there.

    Attributes:
        stored: version by id; 0 when there is none.
        owners: account id by provisioner and thumbprint of its key.
        bindings: account id by external account key.
        written: (version in the database, change) by id, of what was admitted.
        pauses: (change, how many failures it stands for) by account and identifier.
    """

    __slots__ = ("bindings", "owners", "pauses", "stored", "written")

    def __init__(self) -> None:
        self.stored: dict[type[Versioned], dict[str, int]] = {kind: {} for kind in KINDS}
        self.owners: dict[tuple[str, bytes], str | None] = {}
        self.bindings: dict[str, str | None] = {}
        self.written: dict[type[Versioned], dict[str, tuple[int, Versioned]]] = {
            kind: {} for kind in KINDS
        }
        self.pauses: dict[tuple[str, str], tuple[Pause, int]] = {}

    def ask(self, act: Act) -> None:
        """Note what has to be known to decide an act."""
        for change in act.changes:
            if isinstance(change, Pause):
                continue
            self.stored[type(change)][change.id] = 0
            if isinstance(change, Account):
                self.owners[change.provisioner, change.thumbprint] = None
            elif isinstance(change, ExternalKey):
                self.bindings[change.id] = None

    def refuse(self, act: Act) -> Error | None:
        """Return why the changes of an act do not follow what is stored, or None."""
        seen: set[tuple[type[Versioned], str]] = set()
        for change in act.changes:
            if isinstance(change, Pause):
                continue
            kind = type(change)
            follows = change.version == self.stored[kind][change.id] + 1
            if not follows or (kind, change.id) in seen:
                return overtaken(kind, change.id)
            seen.add((kind, change.id))
            if refusal := self._taken(change):
                return refusal
        return None

    def _taken(self, change: Versioned) -> Error | None:
        if isinstance(change, Account):
            owner = self.owners[change.provisioner, change.thumbprint]
            if owner not in (None, change.id):
                return Error(
                    Kind.CONFLICT,
                    "an account with this key exists already",
                    hint="use that account, or a new key",
                )
        elif isinstance(change, ExternalKey):
            # RFC 8555 §7.3.4: one account a key, also when it is revoked later.
            bound = self.bindings[change.id]
            if bound not in (None, change.account):
                return Error(
                    Kind.CONFLICT,
                    f"external account key '{change.id}' is bound to an account already",
                    hint="ask for another key: mintmark acme eab add",
                )
        return None

    def count(self, act: Act) -> None:
        """Take in an admitted act, so that the next ones of the batch see it."""
        for change in act.changes:
            if isinstance(change, Pause):
                self._count_pause(change)
                continue
            kind = type(change)
            base, _ = self.written[kind].get(change.id, (change.version - 1, change))
            self.written[kind][change.id] = (base, change)
            self.stored[kind][change.id] = change.version
            if isinstance(change, Account):
                self.owners[change.provisioner, change.thumbprint] = change.id
            elif isinstance(change, ExternalKey):
                self.bindings[change.id] = change.account

    def _count_pause(self, change: Pause) -> None:
        key = (change.account, change.identifier)
        before, failures = self.pauses.get(key, (change, 0))
        if not before.failures:
            return  # forgotten, whatever else happens at the same moment
        if change.failures:
            change = Pause(
                *key,
                max(change.failures, before.failures),
                min(change.since, before.since),
                before.paused_at or change.paused_at,
            )
        self.pauses[key] = (change, failures + 1)


def overtaken(kind: type[Change], id_: str) -> Error:
    """Return the refusal of a change that does not follow what is stored."""
    noun = next(noun for known, noun in _NOUNS.items() if known is kind)
    return Error(
        Kind.CONFLICT,
        f"{noun} '{id_}' was changed by another request",
        hint="read it again and decide anew",
    )
