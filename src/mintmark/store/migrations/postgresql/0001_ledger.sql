-- What the CA remembers, first version.

CREATE TABLE issuers (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer text NOT NULL UNIQUE,
    name text NOT NULL,
    der bytea NOT NULL,
    chain bytea NOT NULL,
    root bytea NOT NULL,
    spki_sha256 bytea NOT NULL,
    not_before bigint NOT NULL,
    not_after bigint NOT NULL,
    active boolean NOT NULL
);

-- Common name, alternative names, not_before and key are read back from the DER.
CREATE TABLE certificates (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial bytea NOT NULL UNIQUE,
    issuer integer NOT NULL REFERENCES issuers (id),
    service text NOT NULL,
    profile text NOT NULL,
    not_after bigint NOT NULL,
    replaces bytea,
    metadata text,
    der bytea NOT NULL
);

-- Listing goes newest first inside each day of expiry and merges the days.
CREATE INDEX certificates_by_service ON certificates (service, (not_after / 86400), id)
    INCLUDE (not_after);
CREATE INDEX certificates_by_profile ON certificates (profile, (not_after / 86400), id)
    INCLUDE (not_after);
-- With id, so that the planner never looks for the newest by scanning all certificates.
CREATE INDEX certificates_by_replaced ON certificates (replaces, id) WHERE replaces IS NOT NULL;

CREATE TABLE certificate_names (
    name text NOT NULL,
    certificate bigint NOT NULL,
    PRIMARY KEY (name, certificate)
);

-- How many certificates of a service that expire on one day are neither revoked nor replaced.
CREATE TABLE holdings (
    service text NOT NULL,
    day bigint NOT NULL,
    active bigint NOT NULL,
    PRIMARY KEY (service, day)
) WITH (fillfactor = 50);

-- `certificate` is NULL for a serial that was never in the inventory.
CREATE TABLE revocations (
    serial bytea NOT NULL PRIMARY KEY,
    issuer integer NOT NULL REFERENCES issuers (id),
    certificate bigint REFERENCES certificates (id),
    revoked_at bigint NOT NULL,
    reason smallint NOT NULL,
    not_after bigint NOT NULL,
    entry bytea NOT NULL
);

CREATE INDEX revocations_by_certificate ON revocations (certificate)
    WHERE certificate IS NOT NULL;

CREATE TABLE blocked_keys (
    spki_sha256 bytea NOT NULL PRIMARY KEY
);

CREATE TABLE crls (
    issuer integer NOT NULL REFERENCES issuers (id),
    number bigint NOT NULL,
    this_update bigint NOT NULL,
    next_update bigint NOT NULL,
    entries bigint NOT NULL,
    der bytea NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (issuer, number)
);
-- Signatures and serials do not compress.
ALTER TABLE crls ALTER COLUMN der SET STORAGE EXTERNAL;

CREATE TABLE tokens (
    sha256 bytea NOT NULL PRIMARY KEY,
    service text NOT NULL,
    identifiers text NOT NULL,
    profiles text NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE idempotency (
    key_sha256 bytea NOT NULL PRIMARY KEY,
    request_sha256 bytea NOT NULL,
    serial bytea NOT NULL,
    expires_at bigint NOT NULL
);

CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

-- GCRA: the theoretical arrival time of the next act, in microseconds.
CREATE TABLE rates (
    key text NOT NULL PRIMARY KEY,
    arrival bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leaf bytea NOT NULL
);

-- `high` is the highest record id in this and all earlier checkpoints.
CREATE TABLE checkpoints (
    sequence bigint NOT NULL PRIMARY KEY,
    tree_size bigint NOT NULL,
    root bytea NOT NULL,
    frontier bytea NOT NULL,
    ranges text NOT NULL,
    high bigint NOT NULL,
    note text NOT NULL,
    time bigint NOT NULL
);

-- Record ids below the highest sequenced one that were not committed when it was sequenced.
-- A writer takes its transaction id before its record ids, so once no transaction older than
-- `horizon` runs, such an id is committed and visible or will never be.
CREATE TABLE gaps (
    first bigint NOT NULL PRIMARY KEY,
    last bigint NOT NULL,
    horizon xid8 NOT NULL
);

CREATE TABLE cursors (
    consumer text NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL
);

CREATE TABLE leases (
    name text NOT NULL PRIMARY KEY,
    holder text NOT NULL,
    expires_at double precision NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER certificates_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON certificates
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER revocations_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON revocations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER blocked_keys_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON blocked_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER checkpoints_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
