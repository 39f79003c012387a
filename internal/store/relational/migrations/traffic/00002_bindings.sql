-- Bindings have a log of their own (AdoptBindings has taken them there).

-- +goose Up
DROP TABLE bindings;
