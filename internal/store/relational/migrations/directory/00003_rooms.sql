-- Conference rooms. pin is sealed.

-- +goose Up
CREATE TABLE rooms (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED,
    name      TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    number    TEXT   NOT NULL,
    pin       BYTEA  NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, number)
);
