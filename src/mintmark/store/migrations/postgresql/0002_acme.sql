-- What the ACME server remembers (RFC 8555 §7.1).

CREATE TABLE acme_accounts (
    id text NOT NULL PRIMARY KEY,
    provisioner text NOT NULL,
    jwk bytea NOT NULL,
    thumbprint bytea NOT NULL,
    status text NOT NULL,
    contacts text NOT NULL,
    terms_agreed boolean NOT NULL,
    external_key text,
    created_at bigint NOT NULL,
    version bigint NOT NULL,
    UNIQUE (provisioner, thumbprint)
);

CREATE TABLE acme_external_keys (
    id text NOT NULL PRIMARY KEY,
    provisioner text NOT NULL,
    hmac_key bytea NOT NULL,
    name text NOT NULL,
    created_at bigint NOT NULL,
    account text,
    revoked_at bigint,
    version bigint NOT NULL
);

CREATE INDEX acme_external_keys_by_provisioner ON acme_external_keys (provisioner, id);

-- `place` is the order of creation: the ids are random. An order changes once, from PENDING to
-- its end, and no indexed column with it: room in the page keeps the indexes out of that.
CREATE TABLE acme_orders (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    account text NOT NULL,
    provisioner text NOT NULL,
    status text NOT NULL,
    identifiers text NOT NULL,
    authorizations text NOT NULL,
    profile text NOT NULL,
    not_before bigint,
    not_after bigint,
    replaces bytea,
    expires_at bigint NOT NULL,
    error text,
    certificate bytea,
    version bigint NOT NULL
) WITH (fillfactor = 60);

CREATE INDEX acme_orders_by_account ON acme_orders (account, place, expires_at);
CREATE INDEX acme_orders_by_expiry ON acme_orders (expires_at);

-- `next_attempt` is the earliest of its challenges'.
CREATE TABLE acme_authorizations (
    id text NOT NULL PRIMARY KEY,
    account text NOT NULL,
    identifier_type text NOT NULL,
    identifier text NOT NULL,
    wildcard boolean NOT NULL,
    status text NOT NULL,
    expires_at bigint NOT NULL,
    challenges text NOT NULL,
    next_attempt bigint,
    version bigint NOT NULL
);

CREATE INDEX acme_authorizations_pending ON acme_authorizations (account, expires_at)
    WHERE status = 'pending';
CREATE INDEX acme_authorizations_valid ON acme_authorizations (account, identifier, expires_at)
    WHERE status = 'valid';
CREATE INDEX acme_authorizations_due ON acme_authorizations (next_attempt)
    WHERE next_attempt IS NOT NULL;
CREATE INDEX acme_authorizations_by_expiry ON acme_authorizations (expires_at);

CREATE TABLE acme_pauses (
    account text NOT NULL,
    identifier text NOT NULL,
    failures bigint NOT NULL,
    since bigint NOT NULL,
    paused_at bigint,
    PRIMARY KEY (account, identifier)
);

CREATE INDEX acme_pauses_paused ON acme_pauses (account, identifier)
    WHERE paused_at IS NOT NULL;
CREATE INDEX acme_pauses_counting ON acme_pauses (since) WHERE paused_at IS NULL;

-- Used nonces; one nonce has one expiry, so the pair is as unique as the nonce.
CREATE TABLE acme_nonces (
    expires_at bigint NOT NULL,
    nonce bytea NOT NULL,
    PRIMARY KEY (expires_at, nonce)
);

-- `expires_at` is the certificate's.
CREATE TABLE acme_renewal_windows (
    serial bytea NOT NULL PRIMARY KEY,
    opens_at bigint NOT NULL,
    closes_at bigint NOT NULL,
    explanation_url text NOT NULL,
    expires_at bigint NOT NULL
);

CREATE INDEX acme_renewal_windows_by_expiry ON acme_renewal_windows (expires_at);
