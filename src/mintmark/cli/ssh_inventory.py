"""`mintmark ssh list` and `mintmark ssh inspect`: what is on record, and what a file says."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import msgspec

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import moment, note, pairs, say, table
from mintmark.cli.reach import reach
from mintmark.cli.ssh_files import MAX_LINE, certificate_id
from mintmark.cli.ssh_trust import known
from mintmark.client.api import APIClient
from mintmark.model.errors import Error, Kind
from mintmark.model.time import timestamp
from mintmark.wire.ssh import certificate as certificates
from mintmark.wire.ssh import key as keys
from mintmark.wire.ssh import krl
from mintmark.wire.ssh.certificate import Fields, Parsed

_LAST: Final = 253402300799  # the end of the year 9999, the last that RFC 3339 can write


def list_certificates(place: Place, *, limit: int, **selection: str | None) -> None:
    """List SSH certificates, newest first."""
    with reach(known(place)) as api:
        # One more tells whether there are more.
        found = list(api.ssh_certificates(limit=limit + 1, **selection))
    shown = found[:limit]
    if place.as_json:
        print_json({"certificates": msgspec.to_builtins(shown), "more": len(found) > len(shown)})
        return
    rows = [
        (
            one.type,
            one.key_id,
            ", ".join(one.principals),
            one.status,
            one.valid_before.replace("T", " "),
            one.serial_number,
        )
        for one in shown
    ]
    say(table(("TYPE", "KEY ID", "PRINCIPALS", "STATUS", "EXPIRES", "SERIAL"), rows))
    if len(found) > len(shown):
        note(f"there are more than {limit}; see them with --limit or narrow the list")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the server says of a certificate; None where it was not asked.

    Args:
        trusted: whether a CA key signed it that is trusted now.
        revoked: whether the KRL names it, its key id or its key.
    """

    trusted: bool | None = None
    revoked: bool | None = None


def inspect(place: Place, file: BinaryIO) -> None:
    """Say what each certificate of a file says."""
    text = file.read(MAX_LINE).decode("utf-8", "replace")
    found = [_read(line) for line in text.splitlines() if "-cert-v0" in line.partition(" ")[0]]
    if not found:
        raise Error(
            Kind.MALFORMED,
            "there is no SSH certificate in it",
            hint="name the file that ends in -cert.pub",
        )
    now = time.time()
    told = [(parsed, _facts(parsed, verdict, now)) for parsed, verdict in _judged(place, found)]
    if place.as_json:
        documents = [facts for _, facts in told]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    say("\n\n".join(pairs(_described(facts, now)) for _, facts in told))


def _read(line: str) -> Parsed:
    parsed = certificates.parse_line(line)
    certificates.verify(parsed)
    return parsed


def _judged(place: Place, found: list[Parsed]) -> list[tuple[Parsed, Verdict]]:
    """Ask the server, if there is one that answers, what it thinks of certificates."""
    trusted: set[tuple[str, str]] | None = None
    revoked: list[bool] | None = None
    try:
        with reach(known(place)) as api:
            trusted = {(one.type, one.fingerprint) for one in api.ssh_authorities()}
            revoked = _revoked(place, api, found)
    except Error as error:
        what = "it is revoked" if trusted is not None else "it is trusted and not revoked"
        note(f"whether {what} is not known: {error.detail}")
    return [
        (
            one,
            Verdict(
                None if trusted is None else _authority(one.fields) in trusted,
                None if revoked is None else revoked[number],
            ),
        )
        for number, one in enumerate(found)
    ]


def _authority(fields: Fields) -> tuple[str, str]:
    return fields.type.word, keys.fingerprint(fields.authority.blob)


def _revoked(place: Place, api: APIClient, found: list[Parsed]) -> list[bool]:
    if place.offline:
        ids = (certificate_id(one.fields.serial) for one in found)
        return [api.ssh_certificate(one).status == "revoked" for one in ids]
    revocations = krl.parse(api.krl())
    return [revocations.revokes(one.fields) for one in found]


def _facts(parsed: Parsed, verdict: Verdict, now: float) -> dict[str, Any]:
    fields = parsed.fields
    return {
        "type": fields.type.word,
        "key_id": fields.key_id,
        "principals": list(fields.principals),
        "serial_number": str(fields.serial),
        "certificate_id": certificate_id(fields.serial),
        "valid_after": timestamp(min(fields.valid_after, _LAST)),
        "valid_before": None if fields.valid_before > _LAST else timestamp(fields.valid_before),
        "status": _status(fields, verdict, now),
        "trusted": verdict.trusted,
        "revoked": verdict.revoked,
        "key": f"{fields.key.type} {keys.fingerprint(fields.key.blob)}",
        "authority": f"{fields.authority.type} {keys.fingerprint(fields.authority.blob)}",
        "critical_options": dict(fields.critical_options),
        "extensions": dict(fields.extensions),
    }


def _status(fields: Fields, verdict: Verdict, now: float) -> str:
    if verdict.revoked:
        return "revoked"
    if now >= fields.valid_before:
        return "expired"
    return "not yet valid" if now < fields.valid_after else "valid"


def _described(facts: dict[str, Any], now: float) -> list[tuple[str, str]]:
    ends = facts["valid_before"]
    return [
        ("type", facts["type"]),
        ("key id", facts["key_id"]),
        ("principals", ", ".join(facts["principals"])),
        ("serial", facts["serial_number"]),
        ("status", facts["status"]),
        ("trusted", _answered(facts["trusted"])),
        ("revoked", _answered(facts["revoked"])),
        ("valid from", moment(facts["valid_after"], now)),
        ("valid until", moment(ends, now) if ends else "forever"),
        ("key", facts["key"]),
        ("authority", facts["authority"]),
        *((name, value or "yes") for name, value in facts["critical_options"].items()),
        ("extensions", ", ".join(facts["extensions"])),
    ]


def _answered(value: bool | None) -> str:  # noqa: FBT001 - an answer, not a switch
    return {True: "yes", False: "no", None: "not known"}[value]
