package main

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// What runs a pattern is not Go: bounds are matched by re2js, rules by the RE2 in the module, and each knows classes and
// groups that the others do not. So a pattern that stands in a policy is only found here, and judged by the engine that
// will run it (src/policy/pattern-problems.ts).
const unjudged = "unjudged"

func judge(loc *ast.Location, code string, pattern ast.String, hint string) problem {
	p := refuse(loc, code, "", hint)
	p.Severity, p.Pattern = unjudged, string(pattern)
	return p
}

// matching are the builtins whose first operand is a pattern.
var matching = []string{"regex.find_all_string_submatch_n", "regex.match"}

// checkRegexes finds the patterns of rules. One that its engine cannot read is undefined there: a denial that never holds.
func (c *contract) checkRegexes() {
	for _, file := range util.KeysSorted(c.compiler.Modules) {
		ast.WalkRules(c.compiler.Modules[file], func(rule *ast.Rule) bool {
			ast.WalkExprs(rule, func(e *ast.Expr) bool {
				if !e.IsCall() || !slices.Contains(matching, e.Operator().String()) {
					return false
				}
				term := literal{rule}.of(e.Operand(0))
				if pattern, ok := term.Value.(ast.String); ok {
					c.regexes = true
					c.add(judge(place(term, rule), "regex_invalid", pattern,
						`no lookahead and no backreference; (?P<name>…) for a named group, \p{…} with a category or script as Unicode spells it`))
				}
				return false
			})
			return false
		})
	}
}
