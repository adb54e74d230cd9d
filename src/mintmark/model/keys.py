"""Key types, by the words that the configuration, the CLI and the API use."""

from __future__ import annotations

from enum import Enum


class KeyType(Enum):
    """The key types mintmark makes and certifies."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    ED25519 = "ed25519"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"

    __hash__ = object.__hash__  # one object a member; Enum would hash its name anew each time

    @property
    def rsa_bits(self) -> int | None:
        """Modulus size in bits, or None when the key is not RSA."""
        return int(self.value[4:]) if self.value.startswith("rsa-") else None


ALL_KEY_TYPES = tuple(KeyType)
SSH_CA_KEY_TYPES = (
    KeyType.ED25519,
    KeyType.EC_P256,
    KeyType.EC_P384,
    KeyType.RSA_3072,
    KeyType.RSA_4096,
)
"""Of the keys that sign SSH certificates, the default first."""
