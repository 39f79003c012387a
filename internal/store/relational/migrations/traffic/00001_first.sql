-- What calls and registrations leave behind. Rows refer to the directory by ID only: a record outlives its tenant.

-- +goose Up
CREATE TABLE bindings (
    aor        TEXT   NOT NULL,
    contact    TEXT   NOT NULL,
    tenant_id  TEXT   NOT NULL,
    expires_ms BIGINT NOT NULL,
    body       BYTEA  NOT NULL,
    PRIMARY KEY (aor, contact)
);

CREATE TABLE journal (
    call_id     TEXT   NOT NULL PRIMARY KEY,
    tenant_id   TEXT   NOT NULL,
    answered_ms BIGINT NOT NULL,
    media_ms    BIGINT NOT NULL,
    body        BYTEA  NOT NULL,
    state       BYTEA
);

CREATE TABLE records (
    call_id   TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL,
    start_ms  BIGINT NOT NULL,
    end_ms    BIGINT NOT NULL,
    direction TEXT   NOT NULL,
    caller    TEXT   NOT NULL,
    callee    TEXT   NOT NULL,
    cause     TEXT   NOT NULL,
    body      BYTEA  NOT NULL
);
CREATE INDEX records_start ON records (start_ms, call_id);
CREATE INDEX records_tenant ON records (tenant_id, start_ms, call_id);
