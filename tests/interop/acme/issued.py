"""What clients were issued, looked at with tools of others."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.interop.acme.service import Service
from tests.interop.programs import program, run

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Issued:
    """A certificate as a client stored it.

    Args:
        service: the authority that issued it.
        path: the leaf, with its issuers after it or in `chain`.
        chain: its issuers; None where they are in `path`.
    """

    service: Service
    path: Path
    chain: Path | None = None

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf."""
        return x509.load_pem_x509_certificates(self.path.read_bytes())[0]

    @property
    def serial(self) -> int:
        """Its serial number."""
        return self.certificate.serial_number

    @property
    def id(self) -> str:
        """What the authority calls it."""
        return f"cert_{self.serial:040x}"

    @property
    def names(self) -> set[str]:
        """Its subject alternative names."""
        kind = x509.SubjectAlternativeName
        return {
            str(one.value)
            for one in self.certificate.extensions.get_extension_for_class(kind).value
        }

    def verify(self, *names: str) -> Issued:
        """Assert that it leads to the root by what the client stored, and has these names."""
        run(
            program("openssl"), "verify", "-x509_strict", "-purpose", "sslserver",
            "-CAfile", self.service.root, "-untrusted", self.chain or self.path, self.path,
        ).succeeded()  # fmt: skip
        assert self.names == set(names)
        return self

    def status(self) -> str:
        """Return what the OCSP responder says: good, revoked or the reason."""
        issuer = x509.load_pem_x509_certificate(self.service.authority.intermediate.read_bytes())
        request = ocsp.OCSPRequestBuilder().add_certificate(self.certificate, issuer, SHA1())
        question = urllib.request.Request(
            f"{self.service.authority.http}/ocsp",
            request.build().public_bytes(Encoding.DER),
            {"Content-Type": "application/ocsp-request"},
        )
        with _OPENER.open(question, timeout=10) as answer:
            found = ocsp.load_der_ocsp_response(answer.read())
        if found.certificate_status is not ocsp.OCSPCertStatus.REVOKED:
            return found.certificate_status.name.lower()
        return found.revocation_reason.value if found.revocation_reason else "revoked"
