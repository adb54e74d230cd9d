-- SSH certificates and their CA keys, signed tokens used up, provisioners.

-- 'x509', or of an SSH CA key 'ssh-user' or 'ssh-host': then `der` is the key's blob, and what
-- only X.509 has is empty.
ALTER TABLE issuers ADD COLUMN kind text NOT NULL DEFAULT 'x509';

-- Its issuer's kind; NULL for X.509, so that it costs those nothing.
ALTER TABLE certificates ADD COLUMN kind text;

-- As those without `ssh`, of SSH certificates alone: a few of them are found among millions.
CREATE INDEX certificates_ssh_by_service ON certificates (service, kind, (not_after / 86400), id)
    INCLUDE (not_after) WHERE kind IS NOT NULL;
CREATE INDEX certificates_ssh_by_profile ON certificates (kind, profile, (not_after / 86400), id)
    INCLUDE (not_after) WHERE kind IS NOT NULL;

-- SSH revocations have no CRL entry.
CREATE INDEX revocations_ssh ON revocations (issuer, serial) INCLUDE (not_after)
    WHERE entry = '';

-- Principals of host certificates, in lower case, until these expire.
CREATE TABLE ssh_hosts (
    principal text COLLATE "C" NOT NULL,
    not_after bigint NOT NULL,
    certificate bigint NOT NULL REFERENCES certificates (id),
    PRIMARY KEY (principal, not_after, certificate)
);

CREATE INDEX ssh_hosts_by_expiry ON ssh_hosts (not_after);

CREATE TABLE ssh_bans (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    value bytea NOT NULL,
    kind text NOT NULL,
    banned_at bigint NOT NULL,
    reason smallint NOT NULL,
    UNIQUE (value, kind)
);

CREATE TABLE krls (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number bigint NOT NULL UNIQUE,
    generated_at bigint NOT NULL,
    entries bigint NOT NULL,
    octets bytea NOT NULL
);
-- Hashes and bitmaps do not compress.
ALTER TABLE krls ALTER COLUMN octets SET STORAGE EXTERNAL;

CREATE TABLE used_tokens (
    sha256 bytea NOT NULL PRIMARY KEY,
    expires_at bigint NOT NULL
);

CREATE INDEX used_tokens_by_expiry ON used_tokens (expires_at);

-- A removed provisioner stays, with an empty document, so that its version goes on.
CREATE TABLE provisioners (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    type text NOT NULL,
    document bytea NOT NULL,
    version bigint NOT NULL,
    updated_at bigint NOT NULL
);

ALTER TABLE tokens ADD COLUMN principals text NOT NULL DEFAULT '[]';

CREATE TRIGGER ssh_bans_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ssh_bans
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
