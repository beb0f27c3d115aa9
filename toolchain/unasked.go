package main

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// asked are the rules that the engine asks for.
var asked = append([]string{"holds"}, kinds...)

// mistaken are what others call them.
var mistaken = map[string]string{
	"allow": "grant", "allows": "grant", "grants": "grant", "limits": "limit",
	"denial": "deny", "denials": "deny", "denies": "deny", "hold": "holds", "requirement": "holds", "requires": "holds",
}

// checkUnasked warns of rules that look as if they decided and that nothing reads: a denial that is misspelt, or stands in
// another package, denies nothing.
func (c *contract) checkUnasked() {
	told := map[string]bool{}
	for _, file := range util.KeysSorted(c.compiler.Modules) {
		module := c.compiler.Modules[file]
		for _, rule := range module.Rules {
			name, _ := rule.Head.Ref()[0].Value.(ast.Var)
			document := written(documentOf(module, rule))
			if c.reached[rule] || told[document] || c.isAsked(rule) {
				continue
			}
			if problem, ok := unasked(rule.Location, document, string(name), module.Package.Path.Equal(authz)); ok {
				told[document] = true
				c.add(problem)
			}
		}
	}
}

// isAsked: it is of the contract, or was refused because it only looks like that.
func (c *contract) isAsked(rule *ast.Rule) bool { return ofContract(rule.Ref()) }

func ofContract(ref ast.Ref) bool {
	if len(ref) < 3 || !ref.HasPrefix(authz) {
		return false
	}
	name, _ := ref[2].Value.(ast.String)
	return slices.Contains(asked, string(name))
}

// unasked is what to say of a rule that nothing reads. One of another package may well be a library's.
func unasked(loc *ast.Location, document, name string, inAuthz bool) (problem, bool) {
	means := mistaken[name]
	switch {
	case !inAuthz && means == "" && !slices.Contains(asked, name):
		return problem{}, false
	case !inAuthz:
		return warn(loc, "rule_unasked", fmt.Sprintf("nothing asks for %s: rules of package authz decide", document), "package authz"), true
	case means != "":
		return warn(loc, "rule_unasked", "nothing asks for "+document, fmt.Sprintf("did you mean %s?", means)), true
	}
	return warn(loc, "rule_unasked", "nothing asks for "+document, meant(name, asked)), true
}

// written is a ref below data without `data`, as the package line has it.
func written(ref ast.Ref) string {
	below := slices.Clone(ref[1:])
	if name, ok := below[0].Value.(ast.String); ok {
		below[0] = ast.VarTerm(string(name))
	}
	return below.String()
}
