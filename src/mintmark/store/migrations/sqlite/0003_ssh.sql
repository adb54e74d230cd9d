-- SSH certificates and their CA keys, signed tokens used up, provisioners.

-- 'x509', or of an SSH CA key 'ssh-user' or 'ssh-host': then `der` is the key's blob, and what
-- only X.509 has is empty.
ALTER TABLE issuers ADD COLUMN kind TEXT NOT NULL DEFAULT 'x509';

-- Its issuer's kind; NULL for X.509, so that it costs those nothing.
ALTER TABLE certificates ADD COLUMN kind TEXT;

-- As those without `ssh`, of SSH certificates alone: a few of them are found among millions.
CREATE INDEX certificates_ssh_by_service
    ON certificates (service, kind, not_after / 86400, id, not_after) WHERE kind IS NOT NULL;
CREATE INDEX certificates_ssh_by_profile
    ON certificates (kind, profile, not_after / 86400, id, not_after) WHERE kind IS NOT NULL;

-- SSH revocations have no CRL entry.
CREATE INDEX revocations_ssh ON revocations (issuer, serial, not_after) WHERE entry = x'';

-- Principals of host certificates, in lower case, until these expire.
CREATE TABLE ssh_hosts (
    principal TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    certificate INTEGER NOT NULL REFERENCES certificates (id),
    PRIMARY KEY (principal, not_after, certificate)
) STRICT, WITHOUT ROWID;

CREATE INDEX ssh_hosts_by_expiry ON ssh_hosts (not_after);

CREATE TABLE ssh_bans (
    place INTEGER PRIMARY KEY,
    value BLOB NOT NULL,
    kind TEXT NOT NULL,
    banned_at INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    UNIQUE (value, kind)
) STRICT;

CREATE TABLE krls (
    place INTEGER PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    generated_at INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    octets BLOB NOT NULL
) STRICT;

-- Indexed by expiry as they come: in order of their hashes, those that end in one second would
-- each change another page.
CREATE TABLE used_tokens (
    place INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX used_tokens_by_expiry ON used_tokens (expires_at);

-- A removed provisioner stays, with an empty document, so that its version goes on.
CREATE TABLE provisioners (
    name TEXT NOT NULL PRIMARY KEY,
    type TEXT NOT NULL,
    document BLOB NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE tokens ADD COLUMN principals TEXT NOT NULL DEFAULT '[]';

CREATE TRIGGER ssh_bans_stay BEFORE UPDATE ON ssh_bans
BEGIN SELECT RAISE(ABORT, 'bans are never changed'); END;
CREATE TRIGGER ssh_bans_remain BEFORE DELETE ON ssh_bans
BEGIN SELECT RAISE(ABORT, 'bans are never deleted'); END;
