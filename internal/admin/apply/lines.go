package apply

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// WriteLines writes a file as JSON: each document, which is a tenant, on a line of its own, keys in their order. A line
// is a file by itself, since JSON is YAML.
func WriteLines(w io.Writer, file io.Reader) error {
	reader := yaml.NewDecoder(file)
	for {
		var root yaml.Node
		if err := decode(reader, &root); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(root.Content) == 0 {
			continue
		}
		var line bytes.Buffer
		if err := appendJSON(&line, &root); err != nil {
			return err
		}
		line.WriteByte('\n')
		if _, err := w.Write(line.Bytes()); err != nil {
			return err
		}
	}
}

// appendJSON writes a node of a file without anchors.
func appendJSON(b *bytes.Buffer, node *yaml.Node) error {
	switch node.Kind {
	case yaml.DocumentNode:
		return appendJSON(b, node.Content[0])
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(node.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			key, err := json.Marshal(node.Content[i].Value)
			if err != nil {
				return err
			}
			b.Write(append(key, ':'))
			if err := appendJSON(b, node.Content[i+1]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range node.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := appendJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case yaml.ScalarNode:
		var value any
		if err := node.Decode(&value); err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		b.Write(text)
	default:
		return fmt.Errorf("line %d: anchors and aliases are not part of this file", node.Line)
	}
	return nil
}
