"""`mintmark audit`: prove the log, and read it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import pairs, say, table
from mintmark.cli.reach import reach
from mintmark.model.errors import Error, Kind
from mintmark.model.time import timestamp
from mintmark.publication.checkpoint import AuditReport, Problem
from mintmark.publication.checkpoint import verify as replay
from mintmark.server.compose import open_store, origin, root_issuer
from mintmark.server.directory import Directory

SHOWN_PROBLEMS = 10


def verify(place: Place) -> None:
    """Prove that the log is whole, from the database and the log's public key alone."""
    directory = Directory(place.directory)
    directory.require_ready()
    report = asyncio.run(_replay(directory))
    if not report.sound:
        problems = [_refusal(one) for one in report.problems[:SHOWN_PROBLEMS]]
        raise Error(problems[0].kind, problems[0].detail, subproblems=tuple(problems[1:]))
    if place.as_json:
        print_json(asdict(report))
        return
    say("the audit log is whole")
    say(
        pairs(
            [
                ("records", f"{report.tree_size}, and {report.pending} not in a checkpoint yet"),
                ("checkpoints", str(report.checkpoints)),
                ("certificates", str(report.certificates)),
                ("tree head", report.root),
            ]
        )
    )


def list_records(place: Place, service: str | None, action: str | None, limit: int) -> None:
    """List records, newest first."""
    with reach(place) as api:
        entries = list(api.audit(service=service, action=action, limit=limit))
    records = [(entry.id, msgspec.json.decode(entry.record)) for entry in entries]
    if place.as_json:
        print_json({"records": [{"id": number, **record} for number, record in records]})
        return
    rows = [
        (
            str(number),
            timestamp(record["time"] / 1000),
            record["service"],
            record["action"],
            record.get("certificate", ""),
        )
        for number, record in records
    ]
    say(table(("ID", "TIME", "SERVICE", "ACTION", "CERTIFICATE"), rows))


async def _replay(directory: Directory) -> AuditReport:
    store = open_store(directory, directory.settings(), time.time)
    await store.open()
    try:
        return await replay(store, _public_key(directory), origin(root_issuer(directory)))
    finally:
        await store.close()


def _public_key(directory: Directory) -> Ed25519PublicKey:
    """Return the key that checkpoints are verified with."""
    try:
        key = serialization.load_pem_public_key(directory.audit_public.read_bytes())
    except (OSError, ValueError) as error:
        raise Error(
            Kind.CONFIGURATION,
            f"'{directory.audit_public}' is not the audit log's public key",
            hint="put the copy back that was kept elsewhere",
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise Error(Kind.CONFIGURATION, f"the key in '{directory.audit_public}' is not Ed25519")
    return key


def _refusal(problem: Problem) -> Error:
    where = ""
    if problem.records is not None:
        first, last = problem.records
        where = f"record {first}: " if first == last else f"records {first} to {last}: "
    return Error(Kind.UNAVAILABLE, f"{where}{problem.sentence}")
