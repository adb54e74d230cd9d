-- What the ACME server remembers (RFC 8555 §7.1).

CREATE TABLE acme_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    provisioner TEXT NOT NULL,
    jwk BLOB NOT NULL,
    thumbprint BLOB NOT NULL,
    status TEXT NOT NULL,
    contacts TEXT NOT NULL,
    terms_agreed INTEGER NOT NULL,
    external_key TEXT,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (provisioner, thumbprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE acme_external_keys (
    id TEXT NOT NULL PRIMARY KEY,
    provisioner TEXT NOT NULL,
    hmac_key BLOB NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    account TEXT,
    revoked_at INTEGER,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX acme_external_keys_by_provisioner ON acme_external_keys (provisioner, id);

-- `place` is the order of creation: the ids are random.
CREATE TABLE acme_orders (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    provisioner TEXT NOT NULL,
    status TEXT NOT NULL,
    identifiers TEXT NOT NULL,
    authorizations TEXT NOT NULL,
    profile TEXT NOT NULL,
    not_before INTEGER,
    not_after INTEGER,
    replaces BLOB,
    expires_at INTEGER NOT NULL,
    error TEXT,
    certificate BLOB,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX acme_orders_by_account ON acme_orders (account, place, expires_at);
CREATE INDEX acme_orders_by_expiry ON acme_orders (expires_at);

-- `next_attempt` is the earliest of its challenges'.
CREATE TABLE acme_authorizations (
    id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    identifier_type TEXT NOT NULL,
    identifier TEXT NOT NULL,
    wildcard INTEGER NOT NULL,
    status TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    challenges TEXT NOT NULL,
    next_attempt INTEGER,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX acme_authorizations_pending ON acme_authorizations (account, expires_at)
    WHERE status = 'pending';
CREATE INDEX acme_authorizations_valid ON acme_authorizations (account, identifier, expires_at)
    WHERE status = 'valid';
CREATE INDEX acme_authorizations_due ON acme_authorizations (next_attempt)
    WHERE next_attempt IS NOT NULL;
CREATE INDEX acme_authorizations_by_expiry ON acme_authorizations (expires_at);

CREATE TABLE acme_pauses (
    account TEXT NOT NULL,
    identifier TEXT NOT NULL,
    failures INTEGER NOT NULL,
    since INTEGER NOT NULL,
    paused_at INTEGER,
    PRIMARY KEY (account, identifier)
) STRICT, WITHOUT ROWID;

CREATE INDEX acme_pauses_paused ON acme_pauses (account, identifier)
    WHERE paused_at IS NOT NULL;
CREATE INDEX acme_pauses_counting ON acme_pauses (since) WHERE paused_at IS NULL;

-- Used nonces; one nonce has one expiry, so the pair is as unique as the nonce.
CREATE TABLE acme_nonces (
    expires_at INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    PRIMARY KEY (expires_at, nonce)
) STRICT, WITHOUT ROWID;

-- `expires_at` is the certificate's.
CREATE TABLE acme_renewal_windows (
    serial BLOB NOT NULL PRIMARY KEY,
    opens_at INTEGER NOT NULL,
    closes_at INTEGER NOT NULL,
    explanation_url TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX acme_renewal_windows_by_expiry ON acme_renewal_windows (expires_at);
