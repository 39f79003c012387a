-- Sets of servers that requests are sent on to. scope is the domain, or the tenant of a set that has only a prefix.

-- +goose Up
CREATE TABLE next_hops (
    id        TEXT   NOT NULL PRIMARY KEY,
    tenant_id TEXT   NOT NULL REFERENCES tenants (id) DEFERRABLE INITIALLY DEFERRED,
    name      TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    domain    TEXT   NOT NULL,
    prefix    TEXT   NOT NULL,
    scope     TEXT   NOT NULL,
    UNIQUE (tenant_id, name),
    UNIQUE (scope, prefix)
);
CREATE INDEX next_hops_domain ON next_hops (domain);
