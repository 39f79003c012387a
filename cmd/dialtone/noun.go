package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"dialtone/internal/admin/client"
)

// noun is a kind of object as the command line speaks of it.
type noun struct {
	path    string   // of the API
	key     string   // the field that names an object
	columns []string // fields of a list, in capitals as its head
}

// inTenant is the flag of nouns that belong to a tenant.
type inTenant struct {
	Tenant string `help:"Name of the tenant; default by default." placeholder:"NAME"`
}

func (t inTenant) query() url.Values {
	q := url.Values{}
	if t.Tenant != "" {
		q.Set("tenant", t.Tenant)
	}
	return q
}

type listCmd struct {
	inTenant
}

// Run prints all objects of the noun.
func (c *listCmd) Run(s *session, n *noun) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	query := c.query()
	query.Set("limit", "1000")
	if s.global.JSON {
		return client.Each(s.ctx, server, n.path, query, func(o json.RawMessage) error { return s.printJSON(o) })
	}
	var heads []string
	for _, column := range n.columns {
		heads = append(heads, strings.ToUpper(strings.ReplaceAll(column, "_", " ")))
	}
	t := newTable(s.stdout, heads...)
	err = client.Each(s.ctx, server, n.path, query, func(o map[string]any) error {
		var cells []string
		for _, column := range n.columns {
			cells = append(cells, cell(o[column]))
		}
		t.row(cells...)
		return nil
	})
	if err != nil {
		return err
	}
	return t.flush()
}

// cell writes a value of JSON in a table.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var parts []string
		for _, e := range v {
			if o, ok := e.(map[string]any); ok {
				e = short(o)
			}
			parts = append(parts, cell(e))
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}

// short names an element of a list by one word: a device, how a target is, a target.
func short(o map[string]any) any {
	for _, field := range []string{"username", "state", "uri"} {
		if v, ok := o[field]; ok {
			return v
		}
	}
	return nil
}

type showCmd struct {
	inTenant
	Name string `arg:"" help:"Name, number or identifier."`
}

// Run prints one object, field by field.
func (c *showCmd) Run(s *session, n *noun) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	answer, err := server.Do(s.ctx, client.Request{Path: n.path + "/" + url.PathEscape(c.Name), Query: c.query()})
	if err != nil {
		return err
	}
	return s.printObject(answer.Body)
}

// printObject prints an object as JSON, or a field a line in the order in which the server wrote them.
func (s *session) printObject(text []byte) error {
	if s.global.JSON {
		return s.printJSON(json.RawMessage(text))
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("understand the answer: %w", err)
	}
	t := newTable(s.stdout)
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("understand the answer: %w", err)
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return fmt.Errorf("understand the answer: %w", err)
		}
		list, ok := value.([]any)
		if !ok || len(list) == 0 {
			t.row(fmt.Sprint(name), cell(value))
			continue
		}
		for _, e := range list {
			t.row(fmt.Sprint(name), inline(e))
		}
	}
	return t.flush()
}

// inline writes an element of a list on one line.
func inline(v any) string {
	o, ok := v.(map[string]any)
	if !ok {
		return cell(v)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return cell(v)
	}
	return string(text)
}

type removeCmd struct {
	inTenant
	Name []string `arg:"" help:"Names, numbers or identifiers."`
}

// Run removes objects, one after the other.
func (c *removeCmd) Run(s *session, n *noun) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	for _, name := range c.Name {
		_, err := server.Do(s.ctx, client.Request{Method: http.MethodDelete, Path: n.path + "/" + url.PathEscape(name), Query: c.query()})
		if err != nil {
			return err
		}
	}
	return nil
}

// add makes an object of the fields, which are a struct or a map with the words of the API.
func (s *session) add(n *noun, tenant inTenant, name string, fields any) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	body, err := object(fields)
	if err != nil {
		return err
	}
	body[n.key] = name
	answer, err := server.Do(s.ctx, client.Request{Method: http.MethodPost, Path: n.path, Query: tenant.query(), Body: body})
	if err != nil {
		return err
	}
	return s.printObject(answer.Body)
}

// set changes the fields that are given.
func (s *session) set(n *noun, tenant inTenant, name string, fields any) error {
	body, err := object(fields)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return usage("nothing to change: give at least one field")
	}
	server, err := s.client()
	if err != nil {
		return err
	}
	answer, err := server.Do(s.ctx, client.Request{
		Method: http.MethodPatch, Path: n.path + "/" + url.PathEscape(name), Query: tenant.query(),
		Body: body, Type: "application/merge-patch+json",
	})
	if err != nil {
		return err
	}
	return s.printObject(answer.Body)
}

// object turns a struct of flags into the fields that were given.
func object(fields any) (map[string]any, error) {
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	o := map[string]any{}
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	return o, nil
}
