package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/util"
)

// standing is what a schema says of a path.
type standing int

const (
	required standing = iota // always there in a valid input
	optional                 // may be absent
	unknown                  // no valid input has it
	closed                   // a computed key, where the schema names the fields
)

// verdict is the standing of the first step of a path that is not required, if any.
type verdict struct {
	standing standing
	at       int      // which step
	names    []string // of unknown: what there is
}

// classify walks a path down the schema.
func classify(root any, p path) verdict {
	return descend(root, root, p, 0)
}

func descend(root, node any, p path, at int) verdict {
	if at == len(p) {
		return verdict{standing: required}
	}
	s, ok := node.(map[string]any)
	if !ok {
		return verdict{standing: optional, at: at} // true, or nothing said
	}
	if ref, ok := s["$ref"].(string); ok {
		return descend(root, resolve(root, ref), p, at)
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		if branches, ok := s[keyword].([]any); ok {
			return weakest(root, branches, p, at)
		}
	}
	if branches, ok := s["allOf"].([]any); ok {
		beside := maps.Clone(s)
		delete(beside, "allOf")
		return strongest(root, append(slices.Clone(branches), beside), p, at)
	}
	if !container(s) {
		v := property(root, s, p, at)
		if v.standing == required {
			return verdict{standing: optional, at: at}
		}
		return v
	}
	return property(root, s, p, at)
}

// property takes one step into a schema without branches.
func property(root any, s map[string]any, p path, at int) verdict {
	if items, isArray := s["items"]; isArray || s["type"] == "array" {
		if p[at].kind == field {
			return verdict{standing: unknown, at: at} // a list has no members of a name
		}
		return rest(p[at].kind == each, root, items, p, at)
	}
	properties, _ := s["properties"].(map[string]any)
	more, hasMore := s["additionalProperties"]
	open := hasMore && more != false || !hasMore && properties == nil
	if p[at].kind != field {
		if !open {
			return verdict{standing: closed, at: at}
		}
		return rest(p[at].kind == each, root, more, p, at)
	}
	child, known := properties[p[at].key]
	if !known {
		child = more
	}
	if !known && !open {
		return verdict{standing: unknown, at: at, names: util.Keys(properties)}
	}
	names, _ := s["required"].([]any)
	return rest(slices.Contains(names, any(p[at].key)), root, child, p, at)
}

// rest goes on below a step that is surely there, or may be absent. What is below may still be worse.
func rest(there bool, root, child any, p path, at int) verdict {
	below := descend(root, child, p, at+1)
	if !there && (below.standing == required || below.standing == optional) {
		return verdict{standing: optional, at: at}
	}
	return below
}

// weakest: of alternatives, any may be the one. A field unknown to one and known to another is optional.
func weakest(root any, branches []any, p path, at int) verdict {
	var worst verdict
	known := false
	for i, branch := range branches {
		v := descend(root, branch, p, at)
		known = known || v.standing != unknown && !scalar(branch)
		if i == 0 || v.standing > worst.standing {
			worst = v
		}
	}
	if worst.standing == unknown && known {
		return verdict{standing: optional, at: at}
	}
	return worst
}

// strongest: all of them hold, so one that requires is enough.
func strongest(root any, branches []any, p path, at int) verdict {
	best := descend(root, branches[0], p, at)
	for _, branch := range branches[1:] {
		if v := descend(root, branch, p, at); v.standing < best.standing {
			best = v
		}
	}
	return best
}

func scalar(schema any) bool {
	s, ok := schema.(map[string]any)
	kind, typed := s["type"].(string)
	return ok && typed && kind != "object" && kind != "array"
}

// container: only an object, or only a list, fits. What a schema says of members it says of those alone who may have some:
// `required` lets a number pass.
func container(s map[string]any) bool {
	kind, one := s["type"].(string)
	if kinds, ok := s["type"].([]any); ok && len(kinds) == 1 {
		kind, one = kinds[0].(string)
	}
	return one && (kind == "object" || kind == "array")
}

// resolve follows a local reference, a JSON Pointer in a fragment.
func resolve(root any, ref string) any {
	at := root
	for _, token := range strings.Split(strings.TrimPrefix(ref, "#"), "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch node := at.(type) {
		case map[string]any:
			at = node[token]
		case []any:
			if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(node) {
				at = node[i]
			}
		}
	}
	return at
}

// lacks: a value that is read as a whole may be without something that is looked for in it.
func lacks(root any, r read) bool {
	return r.use >= compared && slices.ContainsFunc(nodesAt(root, root, r.path), func(node any) bool {
		return incomplete(root, node, r.use, maxNesting)
	})
}

// maxNesting of a schema that refers to itself.
const maxNesting = 16

// incomplete: an object with members that it names and does not require; read as a whole, also a map, a value of which
// nothing is said, and what holds such a thing.
func incomplete(root, node any, as use, depth int) bool {
	if depth == 0 {
		return true
	}
	inner := func(node any) bool { return incomplete(root, node, as, depth-1) }
	s, ok := node.(map[string]any)
	if !ok {
		return as >= whole && node != false
	}
	if ref, ok := s["$ref"].(string); ok {
		return inner(resolve(root, ref))
	}
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
		if branches, ok := s[keyword].([]any); ok {
			return slices.ContainsFunc(branches, inner)
		}
	}
	if items, isArray := s["items"]; isArray || s["type"] == "array" {
		return as >= whole && inner(items)
	}
	properties, named := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for key, child := range properties {
		if !slices.Contains(required, any(key)) || inner(child) {
			return true
		}
	}
	return as >= whole && !named && !scalar(s) && s["enum"] == nil && s["const"] == nil
}

// nodesAt are the schemas that a path leads to.
func nodesAt(root, node any, p path) []any {
	if len(p) == 0 {
		return []any{node}
	}
	s, ok := node.(map[string]any)
	if !ok {
		return nil
	}
	if ref, ok := s["$ref"].(string); ok {
		return nodesAt(root, resolve(root, ref), p)
	}
	found := []any{}
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
		branches, _ := s[keyword].([]any)
		for _, branch := range branches {
			found = append(found, nodesAt(root, branch, p)...)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	child, known := properties[p[0].key]
	if !known || p[0].kind != field {
		child = s["additionalProperties"]
	}
	if items, isArray := s["items"]; isArray {
		child = items
	}
	if child != nil {
		found = append(found, nodesAt(root, child, p[1:])...)
	}
	return found
}

// schemaKinds gathers the kinds of values that a schema lets pass, and says whether they are all known.
func schemaKinds(root, node any, kinds kindSet) bool {
	s, _ := node.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		node, _ := resolve(root, ref).(map[string]any)
		return node["$ref"] == nil && schemaKinds(root, node, kinds)
	}
	for _, keyword := range []string{"anyOf", "oneOf"} {
		if branches, ok := s[keyword].([]any); ok {
			return !slices.ContainsFunc(branches, func(branch any) bool { return !schemaKinds(root, branch, kinds) })
		}
	}
	kind, ok := s["type"].(string)
	if kind == "integer" {
		kind = "number"
	}
	kinds[kind] = true
	return ok
}
