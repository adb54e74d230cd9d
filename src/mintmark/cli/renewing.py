"""`mintmark renew` and `mintmark rekey`: successors of a certificate."""

from __future__ import annotations

from pathlib import Path

from mintmark.authority.signer.file import generate
from mintmark.authority.signer.files import read_secret
from mintmark.cli.asking import anchors, key_pem, make_csr, once
from mintmark.cli.delivery import KEY, Delivery, deliver
from mintmark.cli.issuing import tell
from mintmark.cli.options import Place
from mintmark.cli.output import say
from mintmark.cli.reach import reach
from mintmark.cli.target import Target, find_target
from mintmark.client.api import APIClient
from mintmark.client.documents import RekeyRequest, RenewalRequest
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.wire import pem
from mintmark.wire.spki import certified_key


def renew(place: Place, target: str, lifetime: str | None, out: Path | None) -> None:
    """Certify the same key again, and replace the files that hold its certificate."""
    found = find_target(target)
    with reach(place, own=found.directory) as api:
        wish = RenewalRequest(lifetime=lifetime)
        issued = once(lambda key: api.renew(found.id, wish, idempotency_key=key))
        trusted = anchors(api)
    directory = out or found.directory
    if directory is None:
        if place.as_json:
            tell(place, issued, [])
        else:
            say((issued.certificate + issued.chain).rstrip("\n"))
        return
    delivery = Delivery(issued.certificate, issued.chain, trusted, _moved_key(found, directory))
    tell(place, issued, deliver(directory, delivery))


def rekey(
    place: Place, target: str, lifetime: str | None, key_type: str | None, out: Path | None
) -> None:
    """Make a new key, have it certified for the same names, and replace the files."""
    found = find_target(target)
    directory = out or found.directory
    if directory is None:
        raise Error(
            Kind.CONFIGURATION,
            "the new key has to be written somewhere",
            hint="name a directory with --out",
        )
    with reach(place, own=found.directory) as api:
        private_key = generate(KeyType(key_type) if key_type else _key_type(api, found.id))
        wish = RekeyRequest(csr=make_csr(private_key), lifetime=lifetime)
        issued = once(lambda key: api.rekey(found.id, wish, idempotency_key=key))
        trusted = anchors(api)
    delivery = Delivery(issued.certificate, issued.chain, trusted, key_pem(private_key))
    tell(place, issued, deliver(directory, delivery))


def _moved_key(found: Target, directory: Path) -> bytes | None:
    """Return the key to write beside the certificate if that goes to another place."""
    if found.directory is None or directory == found.directory:
        return None
    key = found.directory / KEY
    return read_secret(key) if key.exists() else None


def _key_type(api: APIClient, certificate: str) -> KeyType:
    """Return the key type of a certificate on record, ec-p256 if it may not be seen."""
    document = api.certificate(certificate)
    if document.certificate is None:
        return KeyType.EC_P256
    der = pem.decode(pem.CERTIFICATE, document.certificate.encode())[0]
    return certified_key(der).type
