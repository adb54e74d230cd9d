"""`mintmark list`, `show` and `health`: what is on record."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mintmark.cli.delivery import CERTIFICATE
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import colons, moment, note, pairs, say, table
from mintmark.cli.reach import reach
from mintmark.cli.target import load_certificate
from mintmark.client.documents import CertificateDocument, KindWord
from mintmark.model.errors import Error
from mintmark.model.profile import CLIENT_AUTH, SERVER_AUTH
from mintmark.model.time import timestamp
from mintmark.wire import certificate as wire_certificate


def list_certificates(
    place: Place,
    service: str | None,
    profile: str | None,
    status: str | None,
    name: str | None,
    expiring: str | None,
    kind: KindWord | None,
    limit: int,
) -> None:
    """List certificates, newest first."""
    with reach(place) as api:
        found = list(
            api.list(
                service=service,
                profile=profile,
                status=status,
                name=name,
                expiring=expiring,
                kind=kind,
                limit=limit + 1,  # one more tells whether there are more
            )
        )
    shown = found[:limit]
    if place.as_json:
        print_json({"certificates": msgspec.to_builtins(shown), "more": len(found) > len(shown)})
        return
    rows = [
        (
            one.service_name,
            ", ".join(name.value for name in one.names),
            one.profile,
            one.status,
            one.not_after.replace("T", " "),
            one.certificate_id,
        )
        for one in shown
    ]
    say(table(("SERVICE", "NAMES", "PROFILE", "STATUS", "EXPIRES", "ID"), rows))
    if len(found) > len(shown):
        note(f"there are more than {limit}; see them with --limit or narrow the list")


def show(place: Place, target: str) -> None:
    """Show one certificate, on record or in a file."""
    path = Path(target)
    if path.exists():
        _show_file(place, path / CERTIFICATE if path.is_dir() else path)
        return
    with reach(place) as api:
        document = api.certificate(target)
    if place.as_json:
        print_json(msgspec.to_builtins(document))
    else:
        say(pairs(_described(document)))


def health(place: Place) -> None:
    """Say whether the server and its storage work."""
    with reach(place) as api:
        answer = api.health()
        version = api.version()
    if place.as_json:
        print_json({"status": answer.status, "time": answer.time, "version": version.version})
    else:
        say(f"{answer.status} (mintmark {version.version}, {answer.time})")


def _described(one: CertificateDocument) -> list[tuple[str, str]]:
    now = time.time()
    revoked = f"{one.revoked_at} ({one.revocation_reason})" if one.revoked_at else ""
    return [
        ("id", one.certificate_id),
        ("service", one.service_name),
        ("kind", one.kind),
        ("common name" if one.kind == "x509" else "key id", one.common_name),
        (
            "names" if one.kind == "x509" else "principals",
            ", ".join(name.value for name in one.names),
        ),
        ("profile", one.profile),
        ("status", one.status),
        ("revoked", revoked),
        ("valid from", moment(one.not_before, now)),
        ("valid until", moment(one.not_after, now)),
        ("issuer", one.issuer),
        ("fingerprint", colons(one.fingerprint_sha256)),
        ("replaces", one.replaces or ""),
        ("replaced by", one.replaced_by or ""),
        *((f"metadata {name}", value) for name, value in sorted(one.metadata.items())),
    ]


def _show_file(place: Place, path: Path) -> None:
    """Show what a certificate file says."""
    certificate = load_certificate(path)
    facts = _facts(certificate)
    if place.as_json:
        print_json({name.replace(" ", "_"): value for name, value in facts})
        return
    now = time.time()
    moments = {"valid from", "valid until"}
    say(pairs([(name, moment(value, now) if name in moments else value) for name, value in facts]))


def _facts(certificate: x509.Certificate) -> list[tuple[str, Any]]:
    der = certificate.public_bytes(serialization.Encoding.DER)
    try:
        names = ", ".join(str(one) for one in wire_certificate.parse(der).identifiers)
    except Error:  # not one of ours, and with names that we never sign
        names = "(kinds of name that mintmark does not sign)"
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    return [
        ("serial", f"{certificate.serial_number:x}"),
        ("subject", certificate.subject.rfc4514_string()),
        ("names", names),
        ("valid from", timestamp(certificate.not_valid_before_utc.timestamp())),
        ("valid until", timestamp(certificate.not_valid_after_utc.timestamp())),
        ("issuer", certificate.issuer.rfc4514_string()),
        ("purposes", _purposes(certificate)),
        ("fingerprint", colons(fingerprint)),
    ]


def _purposes(certificate: x509.Certificate) -> str:
    words = {SERVER_AUTH: "server", CLIENT_AUTH: "client"}
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    return ", ".join(words.get(one.dotted_string, one.dotted_string) for one in usages)
