"""The first contact with a server: its root is fetched from itself and known by its fingerprint.

The connection is not verified, and nothing that comes over it is believed but a certificate
whose SHA-256 is the one that came by another way.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from typing import Final

import msgspec

from mintmark.client.documents import RootList
from mintmark.model.errors import Error, Kind
from mintmark.wire import pem

TIMEOUT: Final = 30.0  # seconds
MAX_ANSWER: Final = 1 << 20  # octets
_SEPARATORS: Final = re.compile(r"[:\-\s]")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def fetch_root(server: str, fingerprint: str) -> str:
    """Return the root certificate of a server, PEM, if it has the one of the fingerprint.

    Args:
        server: as `https://ca.example:8443`.
        fingerprint: SHA-256 of the root's DER in hex; colons, dashes and blanks do not count.

    Raises:
        Error: MALFORMED for what is no fingerprint, UNAVAILABLE without an answer,
            CONFIGURATION when none of the server's roots has it.
    """
    wanted = parse_fingerprint(fingerprint)
    found = []
    for der in _roots(server):
        digest = hashlib.sha256(der).hexdigest()
        if hmac.compare_digest(digest, wanted):
            return pem.certificate(der).decode()
        found.append(digest)
    raise Error(
        Kind.CONFIGURATION,
        f"{server} has no root with fingerprint {wanted}",
        hint=f"it has {', '.join(found) or 'none'}; if that is not what the operator says, "
        "somebody stands in between",
    )


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 hexadecimal digits in lower case.

    Raises:
        Error: MALFORMED.
    """
    digits = _SEPARATORS.sub("", text).lower()
    if not _FINGERPRINT.fullmatch(digits):
        raise Error(
            Kind.MALFORMED,
            f"'{text[:100]}' is not a SHA-256 fingerprint",
            hint="give 64 hexadecimal digits, as 'mintmark init' printed them",
        )
    return digits


def _roots(server: str) -> list[bytes]:
    import httpx  # noqa: PLC0415 - 100 ms that commands without this do not pay

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint decides, see above
    try:
        with (
            httpx.Client(verify=context, trust_env=False, timeout=TIMEOUT) as client,
            client.stream("GET", f"{server.rstrip('/')}/api/v1/roots") as response,
        ):
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER:
                    break
        roots = msgspec.json.decode(body, type=RootList).roots
        return [pem.decode(pem.CERTIFICATE, one.certificate.encode())[0] for one in roots]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Error(
            Kind.UNAVAILABLE,
            f"no answer from {server}: {error or type(error).__name__}",
            hint="write the server as https://ca.example.internal:8443",
        ) from error
    except (msgspec.MsgspecError, Error, IndexError) as error:
        raise Error(
            Kind.UNAVAILABLE,
            f"{server} does not answer as a mintmark server does",
            hint="is it the HTTPS port of the authority?",
        ) from error
