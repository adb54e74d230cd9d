"""Keys of the authority's own, each for one purpose, and what is kept under them.

All servers of an authority derive the same keys (HKDF, RFC 5869) from `Authority.secret`, which
the passphrase of its CA keys protects; so nothing has to be agreed on or stored.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mintmark.authority.workflow.authority import Authority
from mintmark.model.errors import Error, Kind

EXTERNAL_KEYS = "external account keys"
"""Purpose of the key that `ExternalKey.hmac_key` is sealed under; the context is its id."""
PROVISIONERS = "stored provisioners"
"""Purpose of the key that `StoredProvisioner.document` is sealed under."""

_NONCE = 12  # octets; NIST SP 800-38D §8.2.2: random, for far fewer than 2^32 messages


def derive(authority: Authority, purpose: str) -> bytes:
    """Return a key of 32 octets that belongs to one purpose.

    Raises:
        RuntimeError: the authority was composed without a secret.
    """
    if len(authority.secret) < 32:
        raise RuntimeError("the authority has no secret to derive keys from")
    return HKDF(SHA256(), 32, salt=None, info=f"mintmark {purpose}".encode()).derive(
        authority.secret
    )


def seal(authority: Authority, purpose: str, plain: bytes, context: str) -> bytes:
    """Return `plain` encrypted for the store (AES-256-GCM).

    Args:
        authority: whose secret protects it.
        purpose: of the key.
        plain: what is to be kept.
        context: what it belongs to, as an id; `unseal` asks for the same.
    """
    nonce = authority.entropy(_NONCE)
    key = AESGCM(derive(authority, purpose))
    return nonce + key.encrypt(nonce, plain, context.encode())


def unseal(authority: Authority, purpose: str, sealed: bytes, context: str) -> bytes:
    """Return what `seal` was given.

    Raises:
        Error: CONFIGURATION when it was sealed under another secret, for another purpose or
            context, or altered.
    """
    key = AESGCM(derive(authority, purpose))
    try:
        return key.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise Error(
            Kind.CONFIGURATION,
            f"what is stored for '{context}' cannot be decrypted",
            hint="was the database moved to another authority, or audit/key.pem replaced?",
        ) from error
