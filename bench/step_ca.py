"""A peer for the step protocol: step-ca, given by its path, on a throw-away configuration."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from bench.authority import Running, environment, free_port, run_server
from bench.step_tokens import PROVISIONER, ProvisionerKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def serving(
    binary: Path, path: Path, key: ProvisionerKey, *, logs: bool = True
) -> Iterator[Running]:
    """Serve with step-ca as `step ca init --ssh` leaves it, with the same provisioner as ours.

    Its database (Badger, synchronous writes) waits for the disk at every certificate.

    Args:
        binary: the program.
        path: a directory to be made.
        key: of the provisioner whose tokens it takes.
        logs: whether it writes a line for every request, as it does by itself.
    """
    port = free_port()
    configuration = _configure(path, port, key, logs=logs)
    command = [str(binary), str(configuration)]
    health = f"https://127.0.0.1:{port}/health"
    own = {**environment(), "STEPPATH": str(path)}
    with run_server(command, own, path / "log", health) as (pid, took):
        yield Running(pid, port, 0, took)


def _configure(path: Path, port: int, key: ProvisionerKey, *, logs: bool) -> Path:
    path.mkdir(parents=True)
    (path / "db").mkdir()
    root_key, intermediate_key, host_key, user_key = (
        ec.generate_private_key(ec.SECP256R1()) for _ in range(4)
    )
    root = _certificate("Bench Root", root_key, None, root_key, 1)
    intermediate = _certificate("Bench Intermediate", intermediate_key, root, root_key, 0)
    for name, certificate in (("root.crt", root), ("intermediate.crt", intermediate)):
        (path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    for name, private_key in (
        ("intermediate.key", intermediate_key),
        ("ssh_host.key", host_key),
        ("ssh_user.key", user_key),
    ):
        (path / name).write_bytes(
            private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        (path / name).chmod(0o600)
    document = {
        "root": str(path / "root.crt"),
        "crt": str(path / "intermediate.crt"),
        "key": str(path / "intermediate.key"),
        "address": f"127.0.0.1:{port}",
        "dnsNames": ["localhost", "127.0.0.1"],
        "ssh": {"hostKey": str(path / "ssh_host.key"), "userKey": str(path / "ssh_user.key")},
        "db": {"type": "badgerv2", "dataSource": str(path / "db")},
        "authority": {
            "provisioners": [
                {
                    "type": "JWK",
                    "name": PROVISIONER,
                    "key": key.jwk,
                    "claims": {"enableSSHCA": True},
                },
                {"type": "SSHPOP", "name": "sshpop", "claims": {"enableSSHCA": True}},
            ]
        },
        "tls": {
            "cipherSuites": [
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            ],
            "minVersion": 1.2,
            "maxVersion": 1.3,
            "renegotiation": False,
        },
    }
    if logs:
        document["logger"] = {"format": "text"}
    configuration = path / "ca.json"
    configuration.write_text(json.dumps(document))
    return configuration


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
    path_length: int,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
