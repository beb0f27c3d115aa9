package main

import (
	"maps"
	"slices"
)

// typed adapts a schema to OPA's type checker, which takes `properties` for all there is, the first of several types for the
// only one, and cannot join what says no type: where more is allowed, it is told of none.
func typed(schema any) any {
	switch s := schema.(type) {
	case map[string]any:
		out := make(map[string]any, len(s))
		for key, value := range s {
			out[key] = typed(value)
		}
		if more, ok := s["additionalProperties"]; ok && more != false {
			delete(out, "properties")
		}
		return alternatives(out)
	case []any:
		out := make([]any, len(s))
		for i, value := range s {
			out[i] = typed(value)
		}
		return out
	}
	return schema
}

// alternatives says with `anyOf`, which OPA reads, what else it would misread. The rest stays: references may lead there.
func alternatives(s map[string]any) map[string]any {
	kinds, isList := s["type"].([]any)
	_, joined := s["allOf"]
	_, either := s["anyOf"]
	if !isList && !joined {
		return s
	}
	delete(s, "type")
	if joined || either || slices.Contains(kinds, any("null")) { // OPA knows no null
		s["anyOf"] = []any{map[string]any{}}
		return s
	}
	branches := make([]any, len(kinds))
	for i, kind := range kinds {
		branches[i] = map[string]any{"type": kind}
		if kind == "object" || kind == "array" {
			branch := maps.Clone(s)
			branch["type"] = kind
			branches[i] = branch
		}
	}
	s["anyOf"] = branches
	return s
}
