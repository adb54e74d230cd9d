"""An issuer that can sign: certificate, key, and all that its leaves have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from mintmark.authority.issuance.builder import encoded_extension, fixed_subject, static_extensions
from mintmark.authority.issuance.constraints import NameConstraints
from mintmark.authority.issuance.frame import Frame
from mintmark.authority.issuance.shape import Pointers
from mintmark.authority.issuance.tbs import split_certificate
from mintmark.authority.issuance.template import Template
from mintmark.authority.signer.signer import Signer
from mintmark.model.errors import Error, Kind
from mintmark.model.issuer import Issuer
from mintmark.model.keys import KeyType
from mintmark.model.profile import Profile
from mintmark.wire import der

__all__ = ["IssuingKey", "Pointers"]

ANY_EXTENDED_KEY_USAGE: Final = "2.5.29.37.0"


@dataclass(slots=True)
class LeafForm:
    """What all leaves of one issuer, profile and key type have in common.

    Args:
        profile: the very profile that this was made for.
        template: encodes them.
        subject: the attributes that the profile gives, as the plain builder encodes them.
        extensions: the static extensions, by the octets in which the plain builder encodes
            them; what stands there octet for octet need not be parsed.
        linted: whether a leaf passed the lints that say the same of all leaves of this form.
        frame: cut from that leaf; None before, and for leaves without names.
    """

    profile: Profile
    template: Template
    subject: bytes
    extensions: dict[bytes, x509.Extension[Any]]
    linted: bool = False
    frame: Frame | None = None


class IssuingKey:
    """One issuer with its key.

    Args:
        issuer: certificate and chain; `hierarchy.issuer_from_chain` makes and checks it.
        signer: its key.
        pointers: where it publishes.

    Attributes:
        certificate: the issuer's certificate, parsed.
        name: its subject Name, the very octets that its leaves carry as issuer (RFC 5280
            §4.1.2.4).
        key_id: its subject key identifier, its leaves' authority key identifier.
        constraints: names that its chain allows.
        extended_key_usages: those that the whole chain allows; None when nothing is said.

    Raises:
        Error: CONFIGURATION when the key is not the certificate's, or the certificate is none
            of an issuer.
    """

    __slots__ = (
        "_forms",
        "certificate",
        "constraints",
        "extended_key_usages",
        "issuer",
        "key_id",
        "name",
        "pointers",
        "signer",
    )

    def __init__(self, issuer: Issuer, signer: Signer, pointers: Pointers) -> None:
        fields = split_certificate(issuer.der)
        if fields.spki != signer.spki:
            raise Error(
                Kind.CONFIGURATION,
                f"the key is not that of issuer {issuer.name!r}",
                hint="put the key file back that belongs to the issuer's certificate",
            )
        self.issuer: Final = issuer
        self.signer: Final = signer
        self.pointers: Final = pointers
        self.name: Final = fields.subject
        self.certificate: Final = x509.load_der_x509_certificate(issuer.der)
        chain = [
            self.certificate,
            *map(x509.load_der_x509_certificate, (*issuer.chain, issuer.root)),
        ]
        self.key_id: Final = subject_key_id(self.certificate, issuer.name)
        self.constraints: Final = NameConstraints(chain)
        self.extended_key_usages: Final = _extended_key_usages(chain)
        self._forms: Final[dict[tuple[str, KeyType], LeafForm]] = {}

    def form(self, profile: Profile, key_type: KeyType) -> LeafForm:
        """Return the form of leaves of a profile and key type, made at first use."""
        form = self._forms.get((profile.name, key_type))
        # A reloaded configuration brings new profiles under old names.
        if form is None or form.profile is not profile:
            form = self._new_form(profile, key_type)
            self._forms[profile.name, key_type] = form
        return form

    def _new_form(self, profile: Profile, key_type: KeyType) -> LeafForm:
        template = Template(
            profile,
            key_type,
            signature_algorithm=self.signer.algorithm.identifier,
            issuer_name=self.name,
            authority_key_id=self.key_id,
            pointers=self.pointers,
        )
        extensions = static_extensions(profile, key_type, self.key_id, self.pointers)
        return LeafForm(
            profile,
            template,
            subject=_content(fixed_subject(profile).public_bytes()),
            extensions={encoded_extension(each): each for each in extensions},
        )


def _content(element: bytes) -> bytes:
    """Return what is inside an element, as an RDNSequence's RDNs."""
    _, start, end = der.read(element)
    return element[start:end]


def subject_key_id(certificate: x509.Certificate, name: str) -> bytes:
    """Return an authority's key identifier (RFC 5280 §4.2.1.2: it MUST carry one).

    Raises:
        Error: CONFIGURATION when it does not.
    """
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound as error:
        raise Error(
            Kind.CONFIGURATION,
            f"the certificate of issuer {name!r} has no subject key identifier (RFC 5280 §4.2.1.2)",
            hint="have that certificate issued again with one",
        ) from error
    return extension.value.digest


def _extended_key_usages(chain: list[x509.Certificate]) -> frozenset[str] | None:
    """Return the usages that every certificate of the chain with such an extension allows.

    RFC 5280 §4.2.1.12 speaks of the certificate's own key; relying parties (Windows, Mozilla,
    OpenSSL, Go) take it in a CA certificate for a bound on what is below.
    """
    allowed: frozenset[str] | None = None
    for certificate in chain:
        try:
            extension = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        except x509.ExtensionNotFound:
            continue
        usages = frozenset(usage.dotted_string for usage in extension.value)
        if ANY_EXTENDED_KEY_USAGE not in usages:
            allowed = usages if allowed is None else allowed & usages
    return allowed
