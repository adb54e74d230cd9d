"""OpenSSH's own tools, and signatures as a CA key makes them, for tests of SSH's formats."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mintmark.model.ssh import SSHCertificateType, SSHPublicKey
from mintmark.wire.ssh import certificate, key
from mintmark.wire.ssh.encoding import string

ED25519 = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
RSA = rsa.generate_private_key(65537, 2048)
SUBJECTS = {"ed25519": ED25519, "p256": P256, "p384": P384, "p521": P521, "rsa": RSA}
AUTHORITIES = {"ed25519": ED25519, "p256": P256, "p384": P384, "rsa": RSA}


@functools.cache
def sk_key(type_: str) -> SSHPublicKey:
    """Return a security key's public half (PROTOCOL.u2f); no authenticator has the other one."""
    plain = public(P256 if type_ == key.SK_ECDSA else ED25519)
    fields = plain.blob[4 + len(plain.type) :]
    return key.parse_blob(string(type_.encode()) + fields + string(b"ssh:"), "on a stick")


@functools.cache
def public(private_key: object) -> SSHPublicKey:
    """Return the SSH form of a key's public half."""
    return key.from_public_key(private_key.public_key())


def every_key() -> list[SSHPublicKey]:
    """Return one public key of each type."""
    sk = [sk_key(key.SK_ED25519), sk_key(key.SK_ECDSA)]
    return [*map(public, SUBJECTS.values()), *sk]


def raw_signature(private_key: object, octets: bytes) -> bytes:
    """Sign as a CA key does: DER of ECDSA, 64 octets of Ed25519, or PKCS #1 v1.5."""
    if isinstance(private_key, rsa.RSAPrivateKey):
        return private_key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        return private_key.sign(octets, ec.ECDSA(digest[private_key.key_size]))
    return private_key.sign(octets)


def fields(**changes: object) -> certificate.Fields:
    """Return what an ordinary user certificate says, with changes."""
    ordinary = {
        "type": SSHCertificateType.USER,
        "key": public(ED25519),
        "serial": 77,
        "key_id": "alice@example.com",
        "principals": ("alice", "root"),
        "valid_after": 1_700_000_000,
        "valid_before": 1_700_057_600,
        "critical_options": (("source-address", "10.0.0.0/8"),),
        "extensions": (("permit-pty", ""),),
        "authority": public(P256),
        "nonce": b"n" * 32,
    }
    return certificate.Fields(**(ordinary | changes))


def signed(private_key: object, **changes: object) -> bytes:
    """Return a certificate that a key signed."""
    tbs = certificate.encode_tbs(fields(authority=public(private_key), **changes))
    return certificate.encode(tbs, public(private_key).blob, raw_signature(private_key, tbs))


def keygen(*arguments: str | Path, fails: bool = False) -> str:
    """Run `ssh-keygen` and return what it printed; skip the test where it is not installed."""
    program = shutil.which("ssh-keygen")
    if program is None:
        pytest.skip("ssh-keygen is not installed (scripts/system-packages)")
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(
        [program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr
