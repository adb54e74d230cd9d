"""What acts of SSH, signed tokens and provisioners depend on, decided inside the transaction.

Part of `Conditions`, as `Versions` is for ACME: the store fills in what it finds, and each act is
decided in order. Acts that have to do with none of it pass by.
"""

from __future__ import annotations

from typing import Final

from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import BanKind, SSHCertificate
from mintmark.store.ssh_rows import ban_keys


class SSHConditions:
    """The facts a batch asks for; the store fills them in for the keys it finds.

    Attributes:
        banned: whether something is, by value and kind.
        used: whether a signed token is, by its hash.
        provisioners: version by name; 0 when there is none.
    """

    __slots__ = ("_asked", "banned", "provisioners", "used")

    def __init__(self) -> None:
        self._asked = False  # whether an act of the batch has to do with any of it
        self.banned: Final[dict[tuple[bytes, str], bool]] = {}
        self.used: Final[dict[bytes, bool]] = {}
        self.provisioners: Final[dict[str, int]] = {}

    def ask(self, act: Act) -> None:
        """Note what has to be known to decide an act."""
        if not _concerns(act):
            return
        self._asked = True
        for certificate in act.certificates:
            for key in ban_keys(certificate):
                self.banned[key] = False
        for ban in act.bans:
            self.banned[ban.value, ban.kind.value] = False
        if act.burns is not None:
            self.used[act.burns.sha256] = False
        if act.provisioner is not None:
            self.provisioners[act.provisioner.name] = 0

    def refuse(self, act: Act) -> Error | None:
        """Return why an act cannot be, or None."""
        if not self._asked:
            return None
        return (
            self._used_up(act)
            or self._forbidden_by_ban(act)
            or self._banned_before(act)
            or self._overtaken(act)
        )

    def count(self, act: Act) -> None:
        """Take in an admitted act, so that the next ones of the batch see it."""
        if not self._asked:
            return
        for ban in act.bans:
            self.banned[ban.value, ban.kind.value] = True
        if act.burns is not None:
            self.used[act.burns.sha256] = True
        if act.provisioner is not None:
            self.provisioners[act.provisioner.name] = act.provisioner.version

    def _used_up(self, act: Act) -> Error | None:
        burn = act.burns
        if burn is None or act.audit is None:
            return None
        # One that has expired since it was looked at may have been forgotten already.
        if not self.used[burn.sha256] and act.audit.time <= burn.expires_at:
            return None
        return Error(
            Kind.BAD_TOKEN,
            "the token is unknown, used up or expired",
            hint="ask for a new one: each is good for one request",
        )

    def _forbidden_by_ban(self, act: Act) -> Error | None:
        for certificate in act.certificates:
            for key in ban_keys(certificate):
                if not self.banned[key]:
                    continue
                if key[1] == BanKind.KEY.value:
                    return Error(
                        Kind.BAD_PUBLIC_KEY, "the SSH public key is banned", hint="make a new key"
                    )
                return Error(
                    Kind.FORBIDDEN,
                    f"the key id '{certificate.common_name}' is banned",
                    hint="no SSH certificate bears it any more; ask an admin about it",
                )
        return None

    def _banned_before(self, act: Act) -> Error | None:
        seen: set[tuple[bytes, str]] = set()
        for ban in act.bans:
            key = (ban.value, ban.kind.value)
            if self.banned[key] or key in seen:
                value = ban.value.hex() if ban.kind is BanKind.KEY else ban.value.decode()
                return Error(Kind.CONFLICT, f"{ban.kind.value} '{value}' is banned already")
            seen.add(key)
        return None

    def _overtaken(self, act: Act) -> Error | None:
        provisioner = act.provisioner
        if provisioner is None or provisioner.version == self.provisioners[provisioner.name] + 1:
            return None
        return Error(
            Kind.CONFLICT,
            f"provisioner '{provisioner.name}' was changed by another request",
            hint="read it again and decide anew",
        )


def _concerns(act: Act) -> bool:
    return (
        act.burns is not None
        or isinstance(act.certificate, SSHCertificate)
        or bool(act.companions or act.bans)
        or act.provisioner is not None
    )
