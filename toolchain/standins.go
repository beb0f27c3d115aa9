package main

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// What a policy means is what OPA's evaluator says of it, since that runs its tests. Where the module does otherwise, what is
// compiled to it asks a stand-in: a rule of ours, or a builtin of the host (src/policy/builtins.ts).

// hostPrefix keeps the module's own builtin of that name out of the way.
const hostPrefix = "__host."

// standins are rules of ours by builtin. A pattern that is not written out could not be judged, and one that the module
// cannot read would be undefined: two values of one function end the evaluation, which closes the target.
var standins = map[string]string{
	"array.slice":                      "array_slice",
	"concat":                           "joined",
	"glob.match":                       "glob_match",
	"indexof":                          "index_of",
	"internal.test_case":               "test_case",
	"object.union_n":                   "union_n",
	"regex.find_all_string_submatch_n": "regex_find",
	"regex.match":                      "regex_match",
	"substring":                        "substring_of",
}

const standinRules = `
array_slice(items, from, to) := found if { found := array.slice(items, whole(from), whole(to)) }
substring_of(text, from, length) := found if { found := substring(text, whole(from), whole(length)) }
whole(n) := round(n) if { round(n) == n } else := n
index_of(text, part) := at if { part != ""; at := indexof(text, part) }
joined(between, texts) := found if { is_set(texts); found := concat(between, sort(texts)) } else := found if { found := concat(between, texts) }
glob_match(pattern, delimiters, text) := found if { found := glob.match(pattern, delimiters, one_line(text)) } else := unreadable(pattern, text)
one_line(text) := strings.replace_n({"\n": "\u0001"}, text)
union_n(objects) := {} if { objects == [] } else := found if { found := object.union_n(objects) }
test_case(_) := true
regex_find(pattern, text, n) := found if { found := regex.find_all_string_submatch_n(pattern, text, max([n, -1])) } else := unreadable(pattern, text)
regex_match(pattern, text) := found if { found := regex.match(pattern, text) } else := unreadable(pattern, text)
unreadable(pattern, text) := 0 if { is_string(pattern); is_string(text) }
unreadable(pattern, text) := 1 if { is_string(pattern); is_string(text) }
`

// hosted are the builtins of the host, typed as OPA's own.
var hosted = func() *ast.Capabilities {
	c := *capabilities
	c.Builtins = slices.Clone(c.Builtins)
	for _, name := range vocabulary.Hosted {
		c.Builtins = append(c.Builtins, &ast.Builtin{Name: hostPrefix + name, Decl: ast.BuiltinMap[name].Decl})
	}
	return &c
}()

// standIn is the module as it is compiled to run.
func standIn(module *ast.Module) *ast.Module {
	module = module.Copy()
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Expr:
			if call, ok := x.Terms.([]*ast.Term); ok {
				replace(call)
			}
		case ast.Call:
			replace(x)
		case *ast.With:
			x.Target, x.Value = replaced(x.Target), replaced(x.Value) // a test that replaces a builtin, or by one
		}
		return false
	}).Walk(module)
	return module
}

// replace lets a call ask the stand-in.
func replace(call []*ast.Term) { call[0] = replaced(call[0]) }

// replaced is what a term that names a builtin names instead.
func replaced(t *ast.Term) *ast.Term {
	name := t.String()
	if rule, ok := standins[name]; ok {
		return &ast.Term{Value: ast.MustParseRef("data.portcullis." + rule), Location: t.Location}
	}
	if slices.Contains(vocabulary.Hosted, name) {
		builtin := ast.Builtin{Name: hostPrefix + name}
		return &ast.Term{Value: builtin.Ref(), Location: t.Location}
	}
	return t
}
