"""A TBSCertificate parsed back, before a key signs it.

It is taken apart by a strict reader; then `cryptography` parses what it did not encode itself.
Static extensions that are octet for octet those of the plain builder are known by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import filterfalse
from typing import Any, Final

from cryptography import x509

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.issuing import IssuingKey, LeafForm
from mintmark.authority.issuance.tbs import TBSFields, split
from mintmark.wire import der


@dataclass(slots=True)
class Candidate:
    """A TBSCertificate under examination, beside what it should be.

    Args:
        approval: what policy allowed.
        issuing: the issuer that is to sign.
        serial: the serial handed out for it.
        form: what its leaves of this profile and key type have in common.
        fields: the TBSCertificate's fields as octets.
        certificate: the same, parsed; without the static extensions.
        extensions: all its extensions by OID, parsed or known by their octets.
    """

    approval: Approval
    issuing: IssuingKey
    serial: bytes
    form: LeafForm
    fields: TBSFields
    certificate: x509.Certificate
    extensions: dict[x509.ObjectIdentifier, x509.Extension[Any]]

    def extension(self, kind: type[x509.ExtensionType]) -> Any:
        """Return an extension's value, or None."""
        extension = self.extensions.get(kind.oid)
        return None if extension is None else extension.value


def parse_back(tbs: bytes, approval: Approval, issuing: IssuingKey, serial: bytes) -> Candidate:
    """Take a TBSCertificate apart, and have `cryptography` parse what it did not encode itself.

    Raises:
        ValueError: it cannot be read, or has an extension twice (RFC 5280 §4.2).
        x509.DuplicateExtension: likewise.
    """
    form = issuing.form(approval.profile, approval.key.type)
    fields = split(tbs)
    static = form.extensions
    others = filterfalse(static.__contains__, fields.extensions)
    certificate = x509.load_der_x509_certificate(
        der.tlv(
            der.SEQUENCE,
            der.tlv(
                der.SEQUENCE, fields.front, der.tlv(_EXTENSIONS, der.tlv(der.SEQUENCE, *others))
            ),
            issuing.signer.algorithm.identifier,
            _NO_SIGNATURE,
        )
    )
    parsed = iter(certificate.extensions)
    extensions = {}
    for element in fields.extensions:
        extension = static.get(element) or next(parsed)
        extensions[extension.oid] = extension
    if len(extensions) != len(fields.extensions):
        raise ValueError("an extension stands there twice")
    return Candidate(approval, issuing, serial, form, fields, certificate, extensions)


_EXTENSIONS: Final = 0xA3
# A certificate needs a signature to be parsed; this one is empty.
_NO_SIGNATURE: Final = der.bit_string(b"")
