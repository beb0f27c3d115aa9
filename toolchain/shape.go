package main

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// shape says what may stand at a place: a kind of value, what more has to be true of it, and for objects the closed set of
// keys, or one shape for all. The engine would drop such a grant and close such a target whenever it decides.
type shape struct {
	kinds []string
	keys  map[string]*shape
	each  *shape
	fault func(ast.Value) fault
}

// fault is what is wrong with a value of the right kind; without a message: nothing.
type fault struct{ message, hint string }

func a(kinds ...string) *shape { return &shape{kinds: kinds} }

func (s shape) where(is func(ast.Value) fault) *shape {
	s.fault = is
	return &s
}

var (
	anything, yes, list = a(), a("boolean"), a("array")
	text                = a("string").where(filled)
	re2                 = a("string")
	quantity            = a("number")
	integer             = quantity.where(number("a whole number", (*big.Rat).IsInt))
	count               = quantity.where(number("a whole number, 0 or more", func(n *big.Rat) bool { return n.IsInt() && n.Sign() >= 0 }))
	seconds             = quantity.where(number("whole seconds over 0", func(n *big.Rat) bool { return n.IsInt() && n.Sign() > 0 }))
	positive            = quantity.where(number("over 0", func(n *big.Rat) bool { return n.Sign() > 0 }))
	names               = &shape{kinds: []string{"array"}, each: a("string").where(requirementName)}
	bound               = &shape{kinds: []string{"object"}, fault: boundFault}
	member              = &shape{kinds: []string{"object"}, fault: boundFault}
	item                = &shape{kinds: []string{"object"}, fault: boundFault}
	bounds              = &shape{kinds: []string{"object"}, each: bound}
	asking              = a("string").where(oneOf("elicitation", "sampling", "roots"))
	jsonType            = a("string", "array").where(oneOf("null", "boolean", "integer", "number", "string", "array", "object"))
	grantShape          = &shape{kinds: []string{"object"}, keys: map[string]*shape{
		"reason": text, "rank": integer, "arguments": bounds, "others": yes, "requires": names,
		"interaction": {kinds: []string{"array"}, each: asking},
		"credential":  {kinds: []string{"object"}, keys: map[string]*shape{"source": text, "role": text, "ttl": seconds}},
	}}
	limitShape = &shape{kinds: []string{"object"}, keys: map[string]*shape{"arguments": bounds, "requires": names, "must_exist": yes}}
)

// formats are those that the engine knows (src/policy/format.ts).
var formats = []string{
	"binary", "byte", "date", "date-time", "double", "duration", "email", "float", "hostname", "int32", "int64", "ipv4", "ipv6",
	"iso-date-time", "iso-time", "json-pointer", "json-pointer-uri-fragment", "password", "regex", "relative-json-pointer", "time",
	"uri", "uri-reference", "uri-template", "url", "uuid",
}

func init() {
	jsonType.each = a("string").where(jsonType.fault)
	bound.keys = map[string]*shape{
		"type": jsonType, "enum": list, "const": anything, "set": anything,
		"minimum": quantity, "maximum": quantity, "exclusiveMinimum": quantity, "exclusiveMaximum": quantity, "multipleOf": positive,
		"minLength": count, "maxLength": count, "pattern": re2, "format": a("string").where(oneOf(formats...)),
		"items": item, "minItems": count, "maxItems": count, "uniqueItems": yes,
		"properties": {kinds: []string{"object"}, each: member}, "others": yes, "forbidden": yes.where(onlyTrue), "optional": yes,
	}
	member.keys, item.keys = maps.Clone(bound.keys), maps.Clone(bound.keys)
	// What is said of an argument as a whole means nothing further in.
	delete(member.keys, "set")
	for _, key := range []string{"set", "forbidden", "optional"} {
		delete(item.keys, key)
	}
}

func filled(v ast.Value) fault {
	if v, ok := v.(ast.String); ok && v == "" {
		return fault{"must not be empty", ""}
	}
	return fault{}
}

var nameable = regexp.MustCompile(`^[\w.-]{1,128}$`)

func requirementName(v ast.Value) fault {
	if name, ok := v.(ast.String); ok && !nameable.MatchString(string(name)) {
		return fault{fmt.Sprintf("cannot name %v", name), "letters, digits, underscores, dots and dashes"}
	}
	return fault{}
}

func oneOf(values ...string) func(ast.Value) fault {
	return func(v ast.Value) fault {
		if name, ok := v.(ast.String); ok && !slices.Contains(values, string(name)) {
			return fault{fmt.Sprintf("cannot be %v", name), meant(string(name), slices.Clone(values))}
		}
		return fault{}
	}
}

func number(what string, is func(*big.Rat) bool) func(ast.Value) fault {
	return func(v ast.Value) fault {
		// What is too large to be exact is told as that; its digits could also fill the memory.
		if n, ok := v.(ast.Number); ok && inexact(v) == nil {
			if rat, ok := new(big.Rat).SetString(string(n)); !ok || !is(rat) {
				return fault{"must be " + what, ""}
			}
		}
		return fault{}
	}
}

// inexact finds a number that JSON readers round: an id in a bound must not become its neighbour.
func inexact(v ast.Value) *ast.Term {
	var found *ast.Term
	ast.WalkTerms(ast.NewTerm(v), func(t *ast.Term) bool {
		if n, ok := t.Value.(ast.Number); ok {
			if f, ok := n.Float64(); !ok || math.Abs(f) > 1<<53-1 {
				found = t
			}
		}
		return found != nil
	})
	return found
}

func onlyTrue(v ast.Value) fault {
	if v == ast.Boolean(false) {
		return fault{"must be true", "leave it out, or say what the argument may be"}
	}
	return fault{}
}

func boundFault(v ast.Value) fault {
	object, ok := v.(ast.Object)
	if !ok {
		return fault{}
	}
	has := func(key string) bool { return object.Get(ast.StringTerm(key)) != nil }
	for _, alone := range []string{"set", "forbidden"} {
		if has(alone) && object.Len() > 1 {
			return fault{fmt.Sprintf("has more than %q, which stands alone", alone), fmt.Sprintf("bound the argument or %q it, in one grant", alone)}
		}
	}
	if has("others") && !has("properties") {
		return fault{`has "others" without "properties"`, `"others": false stands beside a grant's "arguments", or a bound's "properties"`}
	}
	return fault{}
}
