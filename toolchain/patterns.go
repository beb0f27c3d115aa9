package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// What runs a pattern is not Go: bounds are matched by re2js, rules by the RE2 and the globs in the module, and each knows
// what the others do not. So a pattern that stands in a policy is found here, and judged by the engine that will run it
// (src/policy/pattern-problems.ts). In a rule OPA has to read it as well, since that runs the tests.
const unjudged = "unjudged"

func judge(loc *ast.Location, code string, pattern ast.String, hint string) problem {
	p := refuse(loc, code, "", hint)
	p.Severity, p.Pattern = unjudged, string(pattern)
	return p
}

// language is what a pattern is written in.
type language struct {
	code string
	// readable is true, in Rego, of a pattern that the module can read.
	readable string
	// tested says why OPA's evaluator, which runs the tests, cannot read it.
	tested func(pattern string) error
	hint   string
}

var regexes = language{"regex_invalid", "regex.is_valid(pattern)",
	func(pattern string) error { _, err := regexp.Compile(pattern); return err },
	`no lookahead and no backreference; (?P<name>…) for a named group, \p{…} with a category or script as Unicode spells it`}

var globs = language{"glob_invalid", `is_boolean(glob.match(pattern, ["/"], ""))`,
	func(pattern string) error { _, err := glob.Compile(pattern); return err },
	`* ? [a-z] {one,other}, and \ before what stands for itself`}

// matching are the builtins whose first operand is a pattern.
var matching = map[string]language{"glob.match": globs, "regex.find_all_string_submatch_n": regexes, "regex.match": regexes}

// checkPatterns finds the patterns of rules. One that its engine cannot read is undefined there: a denial that never holds.
func (c *contract) checkPatterns() {
	for _, file := range util.KeysSorted(c.compiler.Modules) {
		ast.WalkRules(c.compiler.Modules[file], func(rule *ast.Rule) bool {
			ast.WalkExprs(rule, func(e *ast.Expr) bool {
				if e.IsCall() {
					c.checkPattern(rule, e)
				}
				return false
			})
			return false
		})
	}
}

func (c *contract) checkPattern(rule *ast.Rule, call *ast.Expr) {
	in, ok := matching[call.Operator().String()]
	if !ok {
		return
	}
	term := literal{rule}.of(call.Operand(0))
	pattern, ok := term.Value.(ast.String)
	if !ok {
		return
	}
	c.patterns[in.code] = in
	found := judge(place(term, rule), in.code, pattern, in.hint)
	if err := in.tested(string(pattern)); err != nil {
		found.Message = fmt.Sprintf("OPA cannot read %s: %s", string(pattern), err)
	}
	c.add(found)
}

// legible is, by code, which of the patterns that it is asked about the module can read.
func (c *contract) legible() string {
	var b strings.Builder
	for _, code := range util.KeysSorted(c.patterns) {
		fmt.Fprintf(&b, "patterns[%q] := [pattern | some pattern in input[%[1]q]; %s]\n", code, c.patterns[code].readable)
	}
	return b.String()
}
