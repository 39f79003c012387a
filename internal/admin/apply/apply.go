// Package apply puts a configuration file into the store and writes one from it.
//
// It owns the grammar of the file, the faults that name its lines, the order in which its objects are put, and what
// --prune takes away. It does not own the meaning of the fields (form and directory), nor the transaction (store). A
// file is taken whole or not at all, and taking it twice changes nothing.
//
// An entry of a section is the whole object: a field that is left out has its default. What is not written is left
// alone where it would be lost: secrets, the devices of a line, whole sections, objects missing from a section. With
// --prune, objects missing from sections that are there, and devices missing from lists of devices that are there, go.
//
// No goroutines.
package apply

import (
	"context"
	"errors"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// Store is where a file is put.
type Store interface {
	Update(ctx context.Context, actor store.Actor, fn func(store.Tx) error) ([]directory.Change, error)
	Plan(ctx context.Context, actor store.Actor, fn func(store.Tx) error) ([]directory.Change, error)
	View(ctx context.Context, fn func(store.Tx) error) error
}

// Options say how a file is put.
type Options struct {
	Plan  bool // change nothing, tell what would change
	Prune bool // remove what is missing from sections that are there
}

// errFaults makes the transaction fail when the file has faults.
var errFaults = errors.New("the file has faults")

// Apply puts the file into the store as actor. What is wrong with the file is Faults, all of them.
func Apply(ctx context.Context, s Store, actor store.Actor, text []byte, o Options) (*Report, error) {
	documents, unreadable := read(text)
	if unreadable.hideOthers() {
		return nil, unreadable.sorted()
	}
	documents = parentsFirst(documents)
	keep := s.Update
	if o.Plan || len(unreadable) > 0 {
		keep = s.Plan
	}
	var r *run
	changes, err := keep(ctx, actor, func(tx store.Tx) error {
		r = &run{ctx: ctx, tx: tx, names: NewNames(ctx, tx), options: o, places: map[objectKey]place{}}
		for i := range documents {
			if err := r.document(&documents[i]); err != nil {
				return err
			}
		}
		if err := r.names.Err(); err != nil {
			return err
		}
		if len(r.faults)+len(unreadable) > 0 {
			return errFaults
		}
		return nil
	})
	if r == nil {
		return nil, err // the transaction did not begin
	}
	r.names.end()
	if err != nil {
		return nil, unreadable.with(r.explain(err))
	}
	report := &Report{Plan: o.Plan, Changes: make([]Change, 0, len(changes)), Warnings: r.warnings, Unchanged: r.unchanged}
	for _, c := range changes {
		d := Describe(c, r.names)
		switch d.Action {
		case create:
			report.Created++
		case change:
			report.Changed++
		case remove:
			report.Removed++
		}
		report.Changes = append(report.Changes, d)
	}
	return report, nil
}

// parentsFirst orders the tenants of a file so that each comes after the one it belongs to, and else as they are
// written. Tenants that belong to each other in a circle stay where they are.
func parentsFirst(documents []document) []document {
	at := make(map[string]*document, len(documents))
	for i := range documents {
		at[documents[i].name] = &documents[i]
	}
	ordered := make([]document, 0, len(documents))
	done := make(map[string]bool, len(documents))
	var add func(d *document)
	add = func(d *document) {
		if done[d.name] {
			return
		}
		done[d.name] = true
		if d.header.parent != nil {
			if parent, ok := at[*d.header.parent]; ok {
				add(parent)
			}
		}
		ordered = append(ordered, *d)
	}
	for i := range documents {
		add(&documents[i])
	}
	return ordered
}
