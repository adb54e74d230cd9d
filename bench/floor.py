"""The floor: what an issuance costs at least on this machine, in a loop without anything else.

Parse the CSR, verify its proof of possession, sign as many octets as a leaf has, make the
result and an audit record durable. One process, one connection, no policy, names, lints, HTTP
or TLS. Run as a process of its own, one on each core: `python -m bench.floor CSRS DIRECTORY
SECONDS GROUP`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import apsw
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench.requests import load

TBS_OCTETS = 650
AUDIT_OCTETS = 250
_SCHEMA = """
CREATE TABLE certificates (id INTEGER PRIMARY KEY, serial BLOB NOT NULL UNIQUE, der BLOB NOT NULL);
CREATE TABLE audit (id INTEGER PRIMARY KEY, leaf BLOB NOT NULL);
"""


def run(pems: list[bytes], directory: Path, seconds: float, group: int) -> dict[str, float]:
    """Run the loop for some seconds, `group` certificates a commit."""
    database = apsw.Connection(str(directory / "floor.db"))
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(_SCHEMA)
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    tbs, leaf = os.urandom(TBS_OCTETS), os.urandom(AUDIT_OCTETS)
    done = 0
    start, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        rows = []
        for _ in range(group):
            request = x509.load_pem_x509_csr(pems[done % len(pems)])
            if not request.is_signature_valid:
                raise ValueError("a CSR of our own has no proof of possession")
            signed = tbs + key.sign(tbs, algorithm)
            done += 1
            # As ours: the time in front, so that the index grows at its end.
            rows.append((time.time_ns().to_bytes(8, "big") + os.urandom(12), signed))
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO certificates (serial, der) VALUES (?, ?)", rows)
        database.executemany("INSERT INTO audit (leaf) VALUES (?)", [(leaf,)] * group)
        database.execute("COMMIT")
    return {
        "count": done,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
    }


def _main(requests: str, directory: str, seconds: str, group: str) -> None:
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        result = run(load(Path(requests)), Path(scratch), float(seconds), int(group))
    print(json.dumps(result))


if __name__ == "__main__":
    _main(*sys.argv[1:])
