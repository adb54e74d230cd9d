-- What the CA remembers, first version.

CREATE TABLE issuers (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    der BLOB NOT NULL,
    chain BLOB NOT NULL,
    root BLOB NOT NULL,
    spki_sha256 BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    active INTEGER NOT NULL
) STRICT;

-- Common name, alternative names, not_before and key are read back from the DER.
CREATE TABLE certificates (
    id INTEGER PRIMARY KEY,
    serial BLOB NOT NULL UNIQUE,
    issuer INTEGER NOT NULL REFERENCES issuers (id),
    service TEXT NOT NULL,
    profile TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    replaces BLOB,
    metadata TEXT,
    der BLOB NOT NULL
) STRICT;

-- Listing goes newest first inside each day of expiry and merges the days.
CREATE INDEX certificates_by_service ON certificates (service, not_after / 86400, id, not_after);
CREATE INDEX certificates_by_profile ON certificates (profile, not_after / 86400, id, not_after);
CREATE INDEX certificates_by_replaced ON certificates (replaces) WHERE replaces IS NOT NULL;

CREATE TABLE certificate_names (
    name TEXT NOT NULL,
    certificate INTEGER NOT NULL,
    PRIMARY KEY (name, certificate)
) STRICT, WITHOUT ROWID;

-- How many certificates of a service that expire on one day are neither revoked nor replaced.
CREATE TABLE holdings (
    service TEXT NOT NULL,
    day INTEGER NOT NULL,
    active INTEGER NOT NULL,
    PRIMARY KEY (service, day)
) STRICT, WITHOUT ROWID;

-- `certificate` is NULL for a serial that was never in the inventory.
CREATE TABLE revocations (
    serial BLOB NOT NULL PRIMARY KEY,
    issuer INTEGER NOT NULL REFERENCES issuers (id),
    certificate INTEGER REFERENCES certificates (id),
    revoked_at INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    entry BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_by_certificate ON revocations (certificate)
    WHERE certificate IS NOT NULL;

CREATE TABLE blocked_keys (
    spki_sha256 BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE crls (
    issuer INTEGER NOT NULL REFERENCES issuers (id),
    number INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    der BLOB NOT NULL,
    UNIQUE (issuer, number)
) STRICT;

CREATE TABLE tokens (
    sha256 BLOB NOT NULL PRIMARY KEY,
    service TEXT NOT NULL,
    identifiers TEXT NOT NULL,
    profiles TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key_sha256 BLOB NOT NULL PRIMARY KEY,
    request_sha256 BLOB NOT NULL,
    serial BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- GCRA: the theoretical arrival time of the next act, in microseconds.
CREATE TABLE rates (
    key TEXT NOT NULL PRIMARY KEY,
    arrival INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL
) STRICT;

-- `high` is the highest record id in this and all earlier checkpoints.
CREATE TABLE checkpoints (
    sequence INTEGER PRIMARY KEY,
    tree_size INTEGER NOT NULL,
    root BLOB NOT NULL,
    frontier BLOB NOT NULL,
    ranges TEXT NOT NULL,
    high INTEGER NOT NULL,
    note TEXT NOT NULL,
    time INTEGER NOT NULL
) STRICT;

CREATE TABLE cursors (
    consumer TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER certificates_stay BEFORE UPDATE ON certificates
BEGIN SELECT RAISE(ABORT, 'certificates are never changed'); END;
CREATE TRIGGER certificates_remain BEFORE DELETE ON certificates
BEGIN SELECT RAISE(ABORT, 'certificates are never deleted'); END;
CREATE TRIGGER revocations_stay BEFORE UPDATE ON revocations
BEGIN SELECT RAISE(ABORT, 'revocations are never changed'); END;
CREATE TRIGGER revocations_remain BEFORE DELETE ON revocations
BEGIN SELECT RAISE(ABORT, 'revocations are never deleted'); END;
CREATE TRIGGER blocked_keys_stay BEFORE UPDATE ON blocked_keys
BEGIN SELECT RAISE(ABORT, 'blocked keys are never changed'); END;
CREATE TRIGGER blocked_keys_remain BEFORE DELETE ON blocked_keys
BEGIN SELECT RAISE(ABORT, 'blocked keys are never deleted'); END;
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
CREATE TRIGGER audit_remains BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END;
CREATE TRIGGER checkpoints_stay BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never changed'); END;
CREATE TRIGGER checkpoints_remain BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never deleted'); END;
