"""Lints of what all leaves of one issuer, profile and key type have in common.

What they look at is held equal by the lint `extensions`, so that the first leaf of a form
answers for all. Each check returns what is wrong as half a sentence, or an empty text.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509

from mintmark.authority.issuance.candidate import Candidate
from mintmark.authority.issuance.issuing import ANY_EXTENDED_KEY_USAGE
from mintmark.model.keys import KeyType
from mintmark.model.profile import CLIENT_AUTH, OCSP_SIGNING, SERVER_AUTH, KeyUsage


def basic_constraints(candidate: Candidate) -> str:
    """Check that a leaf is none of an authority: nothing can be issued below it."""
    value = candidate.extension(x509.BasicConstraints)
    usage = candidate.extension(x509.KeyUsage)
    if value is not None and value.ca:
        return "a leaf is marked as an authority"
    if usage is not None and (usage.key_cert_sign or usage.crl_sign):
        return "a leaf's key may sign certificates or CRLs"
    return ""


def key_usage(candidate: Candidate) -> str:
    """Check that the key usages are such as the key's algorithm can do."""
    usage = candidate.extension(x509.KeyUsage)
    if usage is None or not candidate.extensions[x509.KeyUsage.oid].critical:
        return "key usage is missing or not critical"
    given = _usages(usage)
    if not given:
        return "key usage is empty"
    key_type = candidate.approval.key.type
    impossible = given - _POSSIBLE_USAGES[key_type]
    if impossible:
        words = ", ".join(sorted(each.name.lower() for each in impossible))
        return f"a key of type {key_type.value} cannot do {words}"
    return ""


def _usages(value: x509.KeyUsage) -> frozenset[KeyUsage]:
    flags = {
        KeyUsage.DIGITAL_SIGNATURE: value.digital_signature,
        KeyUsage.CONTENT_COMMITMENT: value.content_commitment,
        KeyUsage.KEY_ENCIPHERMENT: value.key_encipherment,
        KeyUsage.DATA_ENCIPHERMENT: value.data_encipherment,
        KeyUsage.KEY_AGREEMENT: value.key_agreement,
        KeyUsage.KEY_CERT_SIGN: value.key_cert_sign,
        KeyUsage.CRL_SIGN: value.crl_sign,
        # Undefined, and refused by the parser's class, without keyAgreement.
        KeyUsage.ENCIPHER_ONLY: value.key_agreement and value.encipher_only,
        KeyUsage.DECIPHER_ONLY: value.key_agreement and value.decipher_only,
    }
    return frozenset(usage for usage, is_set in flags.items() if is_set)


_SIGNS: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE, KeyUsage.CONTENT_COMMITMENT})
_AGREES: Final = frozenset({KeyUsage.KEY_AGREEMENT, KeyUsage.ENCIPHER_ONLY, KeyUsage.DECIPHER_ONLY})
_ENCIPHERS: Final = frozenset({KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT})

# RFC 8813 §3 for EC, RFC 9295 §3 for Ed25519, RFC 3279 §2.3.1 for RSA.
_POSSIBLE_USAGES: Final = {
    KeyType.EC_P256: _SIGNS | _AGREES,
    KeyType.EC_P384: _SIGNS | _AGREES,
    KeyType.ED25519: _SIGNS,
    KeyType.RSA_2048: _SIGNS | _ENCIPHERS,
    KeyType.RSA_3072: _SIGNS | _ENCIPHERS,
    KeyType.RSA_4096: _SIGNS | _ENCIPHERS,
}


def extended_key_usage(candidate: Candidate) -> str:
    """Check that each purpose has a key usage to serve it, and that none means all."""
    value = candidate.extension(x509.ExtendedKeyUsage)
    purposes = [] if value is None else [purpose.dotted_string for purpose in value]
    if not purposes or ANY_EXTENDED_KEY_USAGE in purposes:
        return "extended key usage is missing or allows everything"
    if len(set(purposes)) != len(purposes):
        return "extended key usage names a purpose twice"
    usage = candidate.extension(x509.KeyUsage)
    given = frozenset() if usage is None else _usages(usage)
    for purpose in purposes:
        serving = _SERVING_USAGES.get(purpose)
        if serving and not serving & given:
            return f"purpose {purpose} has no key usage that serves it"
    return ""


_SERVING_USAGES: Final = {
    SERVER_AUTH: frozenset(
        {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_ENCIPHERMENT, KeyUsage.KEY_AGREEMENT}
    ),
    CLIENT_AUTH: frozenset({KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT}),
    OCSP_SIGNING: _SIGNS,
}


def extended_key_usage_nesting(candidate: Candidate) -> str:
    """Check that the chain allows every purpose.

    OCSP signing is left out: RFC 6960 §4.2.2.2 looks for it in the responder's own
    certificate alone, and authorities with purposes of their own do not name it.
    """
    allowed = candidate.issuing.extended_key_usages
    if allowed is None:
        return ""
    purposes = frozenset(candidate.approval.profile.extended_key_usages)
    beyond = purposes - allowed - {OCSP_SIGNING}
    if not beyond:
        return ""
    name = candidate.issuing.issuer.name
    return f"purpose {', '.join(sorted(beyond))} is not among those of issuer {name!r}'s chain"


def ocsp_no_check(candidate: Candidate) -> str:
    """Check that only a responder's certificate goes without revocation."""
    if candidate.extension(x509.OCSPNoCheck) is None:
        return ""
    purposes = candidate.approval.profile.extended_key_usages
    return "" if purposes == (OCSP_SIGNING,) else "id-pkix-ocsp-nocheck is only for responders"


def pointers(candidate: Candidate) -> str:
    """Check that CRL and status are fetched by plain HTTP: TLS would need them first."""
    pointers = candidate.issuing.pointers
    for url in (*pointers.crl, *pointers.ocsp, *pointers.ca_issuers):
        if not (url.startswith("http://") and url.isascii() and url.isprintable()):
            return f"{url!r} is not a URL of plain HTTP"
    return ""


def authority_key_id(candidate: Candidate) -> str:
    """Check that the leaf names its issuer's key, so that paths are built without guessing."""
    value = candidate.extension(x509.AuthorityKeyIdentifier)
    if value is None:
        return "the authority key identifier is missing"
    same = value.key_identifier == candidate.issuing.key_id
    return "" if same else "the authority key identifier is not the issuer's key identifier"
