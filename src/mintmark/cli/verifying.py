"""`mintmark verify`: one line for each question, and what to do about every wrong answer."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509

from mintmark.authority.signer.file import parse_private_key
from mintmark.cli import handshake, verification
from mintmark.cli.delivery import CA, CERTIFICATE, CHAIN, FULLCHAIN, KEY
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import note, say
from mintmark.cli.reach import reach
from mintmark.cli.revocation import check_revocation, found
from mintmark.cli.verification import Finding, Subject
from mintmark.model.errors import Error, Kind
from mintmark.server.directory import Directory, read_certificates

_HOST_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:/\s]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Questions:
    """What the options ask beside the usual."""

    name: str | None
    purpose: str | None
    starttls: str | None
    no_revocation: bool


def verify(place: Place, *, target: str, **options: object) -> None:
    """Check a certificate and everything around it."""
    questions = Questions(**options)  # type: ignore[arg-type] # click has checked them
    findings = list(_findings(place, target, questions))
    failed = [one for one in findings if not one.fine]
    if place.as_json:
        print_json({"target": target, "findings": [asdict(one) for one in findings]})
    else:
        width = max(len(one.question) for one in findings)
        for one in findings:
            say(f"{'ok' if one.fine else 'FAIL':4}  {one.question:{width}}  {one.answer}")
            if not one.fine and one.remedy:
                say(f"{'':4}  {'':{width}}  {one.remedy}")
    if failed:
        raise SystemExit(1)


def _findings(place: Place, target: str, questions: Questions) -> Iterator[Finding]:
    path = Path(target)
    match = _HOST_PORT.fullmatch(target)
    if path.is_dir():
        yield from _of_directory(place, path, questions)
    elif path.is_file():
        certificates = _load(path)
        yield from _of_certificates(place, certificates, _anchors(place, None), questions)
    elif match is not None:
        yield from _of_server(place, match["host"].strip("[]"), int(match["port"]), questions)
    else:
        raise Error(
            Kind.NOT_FOUND,
            f"'{target}' is no directory, no file and no HOST:PORT",
            hint="name what is to be verified, as ./web, cert.pem or localhost:8443",
        )


def _of_directory(place: Place, directory: Path, questions: Questions) -> Iterator[Finding]:
    """Check the files that `mintmark issue` wrote."""
    leaf = _load(directory / CERTIFICATE)[0]
    chain = _load(directory / CHAIN) if (directory / CHAIN).exists() else ()
    anchors = _anchors(place, directory)
    yield from _of_certificates(place, (leaf, *chain), anchors, questions)
    yield from _key_findings(directory, leaf)
    if (directory / FULLCHAIN).exists() and _load(directory / FULLCHAIN) != (leaf, *chain):
        remedy = f"write it again: mintmark renew {directory}"
        yield Finding("fullchain", False, f"{FULLCHAIN} is not {CERTIFICATE} and {CHAIN}", remedy)
    if (directory / CA).exists():
        trusted = set(_load(directory / CA))
        if not trusted & set(anchors):
            yield Finding(
                "anchors", False, f"{CA} holds another root than ours", "replace it by our root"
            )


def _of_certificates(
    place: Place,
    certificates: tuple[x509.Certificate, ...],
    anchors: tuple[x509.Certificate, ...],
    questions: Questions,
) -> Iterator[Finding]:
    """Check a certificate that came with its chain."""
    leaf, *chain = certificates
    subject = Subject(leaf, tuple(chain), anchors, time.time())
    finding, path = verification.check_path(subject)
    yield finding
    yield verification.check_dates(subject)
    yield verification.check_purpose(subject, questions.purpose)
    if questions.name is not None:
        yield verification.check_name(subject, questions.name)
    if questions.no_revocation:
        return
    if len(path) < 2:
        remedy = "first make the path right"
        yield Finding("revocation", False, "not asked: without a path nobody can say", remedy)
    elif place.offline or place.server is not None:
        yield _by_authority(place, leaf)
    else:
        yield check_revocation(leaf, path[1], subject.now)


def _of_server(place: Place, host: str, port: int, questions: Questions) -> Iterator[Finding]:
    """Check what a server shows, for the name it is called by and as a server."""
    seen = handshake.connect(
        host, port, questions.starttls, certificate=place.certificate, key=place.key
    )
    yield Finding("handshake", True, f"{seen.version}, {seen.cipher}")
    certificates = tuple(x509.load_der_x509_certificate(der) for der in seen.chain)
    asked = Questions(
        questions.name or host,
        questions.purpose or "server",
        questions.starttls,
        questions.no_revocation,
    )
    yield from _of_certificates(place, certificates, _anchors(place, None), asked)


def _by_authority(place: Place, leaf: x509.Certificate) -> Finding:
    """Ask the authority itself whether it revoked a certificate."""
    with reach(place) as api:
        status = api.check_serial(f"{leaf.serial_number:040x}")
    if status.status == "unknown":
        remedy = "did this authority issue it?"
        return Finding("revocation", False, "the authority does not know it", remedy)
    return found(status.revoked, "asked the authority", status.revocation_reason or "")


def _key_findings(directory: Path, leaf: x509.Certificate) -> Iterator[Finding]:
    """Check the private key beside a certificate, and who can read it."""
    file = directory / KEY
    if not file.exists():
        note(f"'{file}' is not there, so the key was not looked at")
        return
    try:
        key = parse_private_key(file.read_bytes(), None, str(file))
    except (Error, OSError) as error:
        reason = error.detail if isinstance(error, Error) else f"{file}: {error.strerror}"
        yield Finding("key", False, reason, "run this as the key's owner")
    else:
        yield verification.check_key(Subject(leaf, (), (), 0), key)
    mode = stat.S_IMODE(file.stat().st_mode)
    # A group may read it: that is how PostgreSQL and others share keys with their service.
    if mode & 0o027:
        yield Finding("mode", False, f"{KEY} has mode {mode:04o}", f"chmod 600 '{file}'")
    else:
        yield Finding("mode", True, f"{KEY} has mode {mode:04o}")


def _anchors(place: Place, directory: Path | None) -> tuple[x509.Certificate, ...]:
    """Return the roots to trust: those named, else our authority's, else the directory's own."""
    root = Directory(place.directory).root.certificate
    if place.ca is not None:
        return _load(place.ca)
    if root.exists():
        return _load(root)
    if directory is not None and (directory / CA).exists():
        return _load(directory / CA)
    raise Error(
        Kind.CONFIGURATION,
        "there is no trust anchor to verify against",
        hint="name the authority's root with --ca, or its directory with --dir",
    )


def _load(path: Path) -> tuple[x509.Certificate, ...]:
    data = path.read_bytes() if path.exists() else b""
    try:
        if data[:1] == b"\x30":
            return (x509.load_der_x509_certificate(data),)
        return tuple(x509.load_der_x509_certificate(one) for one in read_certificates(path))
    except ValueError as error:
        raise Error(
            Kind.CONFIGURATION, f"'{path}' holds something else than certificates"
        ) from error
