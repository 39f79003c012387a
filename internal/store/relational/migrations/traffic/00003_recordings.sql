-- What is known of the recordings of calls; the sound is in files.

-- +goose Up
CREATE TABLE recordings (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL,
    call_id   TEXT   NOT NULL,
    start_ms  BIGINT NOT NULL,
    end_ms    BIGINT NOT NULL,
    state     TEXT   NOT NULL,
    held      BIGINT NOT NULL,
    body      BYTEA  NOT NULL
);
CREATE INDEX recordings_start ON recordings (start_ms, id);
CREATE INDEX recordings_tenant ON recordings (tenant_id, start_ms, id);
CREATE INDEX recordings_call ON recordings (call_id);
CREATE INDEX recordings_state ON recordings (state, end_ms);
