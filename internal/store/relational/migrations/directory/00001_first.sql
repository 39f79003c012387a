-- The directory. A row's body is the object as JSON without secrets and without what has a table of its own; columns
-- repeat only what is searched, unique or referred to. References are checked when the transaction ends.

-- +goose Up
CREATE TABLE tenants (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL,
    name      TEXT   NOT NULL UNIQUE,
    version   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    realm     TEXT   NOT NULL UNIQUE,
    parent_id TEXT REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX tenants_parent ON tenants (parent_id);

CREATE TABLE tenant_domains (
    domain    TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX tenant_domains_tenant ON tenant_domains (tenant_id);

CREATE TABLE sites (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED,
    name      TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);

CREATE TABLE users (
    id            TEXT   NOT NULL PRIMARY KEY,
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED,
    name          TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    body          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);

-- A line's name is its number.
CREATE TABLE lines (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED,
    name      TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    user_id   TEXT,
    site_id   TEXT,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX lines_user ON lines (tenant_id, user_id);
CREATE INDEX lines_site ON lines (tenant_id, site_id);

-- credentials: JSON [{"since": unix ms, "sealed": base64}], the newest first.
CREATE TABLE devices (
    id          TEXT   NOT NULL PRIMARY KEY,
    tenant_id   TEXT   NOT NULL,
    line_id     TEXT   NOT NULL REFERENCES lines (id) DEFERRABLE INITIALLY DEFERRED,
    position    BIGINT NOT NULL,
    username    TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    credentials TEXT   NOT NULL,
    UNIQUE (tenant_id, username)
);
CREATE INDEX devices_line ON devices (line_id, position);

-- A number's name is the number.
CREATE TABLE numbers (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED,
    name      TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    to_kind   TEXT   NOT NULL,
    to_name   TEXT   NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX numbers_to ON numbers (tenant_id, to_kind, to_name);

CREATE TABLE audit (
    seq        BIGINT NOT NULL PRIMARY KEY,
    time_ms    BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    actor_from TEXT   NOT NULL,
    tenant_id  TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    object_id  TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    was        TEXT   NOT NULL,
    became     TEXT   NOT NULL,
    hash       BYTEA  NOT NULL
);
CREATE INDEX audit_object ON audit (object_id, seq);
CREATE INDEX audit_tenant ON audit (tenant_id, seq);
