"""`mintmark issue` and `mintmark sign`: new certificates."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import structs, to_builtins

from mintmark.authority.policy.whitelist import SERVICE_ID
from mintmark.authority.signer.file import generate
from mintmark.authority.signer.files import read_secret, write_public
from mintmark.cli.asking import anchors, common_name_of, key_pem, make_csr, once
from mintmark.cli.delivery import Delivery, deliver, require_room
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import moment, say
from mintmark.cli.reach import asks_as_admin, reach
from mintmark.client.documents import CertificateRequest, IssuedCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.keys import KeyType
from mintmark.wire import identifiers, pem
from mintmark.wire.csr import parse_csr

MAX_CSR_OCTETS = 65536


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say of a new certificate, in the options' own words."""

    service: str | None
    profile: str | None
    sans: tuple[str, ...]
    lifetime: str | None
    metadata: tuple[str, ...]
    token_file: Path | None


def issue(
    place: Place,
    *,
    names: tuple[str, ...],
    key_type: str,
    out: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Make a key, have it certified, and write the files."""
    wish = Wish(**options)
    wanted = identifiers.parse_all([*names, *wish.sans])
    first = wanted[0]
    directory = out or Path(first.value.replace("*", "_").replace("/", "_"))
    require_room(directory, frozenset(one.value for one in wanted), force=force)
    token = _token(wish.token_file)
    request = _request(place, wish, token, first)
    with reach(place, token=token) as api:
        private_key = generate(KeyType(key_type))
        csr = make_csr(private_key, wanted, common_name_of(first))
        request = structs.replace(request, csr=csr)
        issued = once(lambda key: api.request_certificate(request, idempotency_key=key))
        trusted = anchors(api)
    delivery = Delivery(issued.certificate, issued.chain, trusted, key_pem(private_key))
    tell(place, issued, deliver(directory, delivery))


def sign(place: Place, *, csr: BinaryIO, out: Path | None, **options: Any) -> None:
    """Have the key of a CSR certified."""
    wish = Wish(**options)
    data = csr.read(MAX_CSR_OCTETS + 1)
    wanted = [*parse_csr(data).identifiers, *identifiers.parse_all(wish.sans)]
    if not wanted:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            "the CSR asks for no names",
            hint="name what it is for with --san, or make a CSR with subject alternative names",
        )
    token = _token(wish.token_file)
    request = structs.replace(
        _request(place, wish, token, wanted[0]),
        csr=pem.csr(data).decode() if data[:1] == b"\x30" else data.decode("ascii", "replace"),
        san_dns=_of(IdentifierType.DNS, wanted),
        san_ip=_of(IdentifierType.IP, wanted),
        san_email=_of(IdentifierType.EMAIL, wanted),
        san_uri=_of(IdentifierType.URI, wanted),
    )
    with reach(place, token=token) as api:
        issued = once(lambda key: api.request_certificate(request, idempotency_key=key))
    fullchain = issued.certificate + issued.chain
    if out is not None:
        write_public(out, fullchain.encode())
    if out is not None or place.as_json:
        tell(place, issued, [] if out is None else [out])
    else:
        say(fullchain.rstrip("\n"))


def tell(place: Place, issued: IssuedCertificate, written: list[Path]) -> None:
    """Say what was issued and which files it is in."""
    if place.as_json:
        document = to_builtins(issued)
        document.pop("private_key", None)
        print_json({**document, "files": [str(path) for path in written]})
        return
    names = ", ".join(name.value for name in issued.names)
    say(f"issued {issued.certificate_id} for {names}")
    say(f"profile {issued.profile}, valid until {moment(issued.not_after, time.time())}")
    for path in written:
        say(f"wrote {path}")


def _token(token_file: Path | None) -> str | None:
    if token_file is None:
        return None
    text = read_secret(token_file).strip()
    if not text or not text.isascii():
        raise Error(Kind.CONFIGURATION, f"'{token_file}' holds no token")
    return text.decode()


def _request(place: Place, wish: Wish, token: str | None, first: Identifier) -> CertificateRequest:
    return CertificateRequest(
        service_name=_service(place, wish.service, token, first),
        profile=wish.profile,
        lifetime=wish.lifetime,
        metadata=_metadata(wish.metadata),
    )


def _service(place: Place, given: str | None, token: str | None, first: Identifier) -> str | None:
    """Return whose certificate to ask for; a service or token that asks says so by itself."""
    if given is not None or token is not None or not asks_as_admin(place):
        return given
    if not SERVICE_ID.fullmatch(first.value):
        raise Error(
            Kind.MALFORMED,
            f"'{first.value}' cannot be a service id",
            hint="say whose certificate it is with --service",
        )
    return first.value


def _metadata(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Error(
                Kind.MALFORMED,
                f"metadata '{text}' is not KEY=VALUE",
                hint="write it as --metadata owner=platform",
            )
        found[name] = value
    return found


def _of(kind: IdentifierType, wanted: list[Identifier]) -> list[str]:
    return [one.value for one in wanted if one.type is kind]
