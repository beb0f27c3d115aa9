package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// contract is what a layer's policies promise: the rules of `package authz` that the engine asks for, by kind.
type contract struct {
	sources
	compiler *ast.Compiler
	rules    map[string][]*ast.Rule // grant, limit, deny
	holds    map[string][]*ast.Rule // by requirement
	reached  map[*ast.Rule]bool     // by walking from those
	required map[string]bool        // requirements that grants and limits name
	computed bool                   // some of these names are known at run time alone
	problems []problem
	facts    facts
	patterns map[string]language // that are written out in rules
}

var authz = ast.MustParseRef("data.authz")

var kinds = []string{"grant", "limit", "deny"}

// load compiles the policies and finds the rules of the contract.
func load(req request) (*contract, []problem) {
	s, problems := parse(req)
	c := newContract(s)
	if failed(problems) {
		return c, problems
	}
	c.compiler, problems = s.compile(s.policies)
	if !failed(problems) {
		c.sortRules()
	}
	return c, problems
}

// verify checks everything that the contract asks of the policies.
func (c *contract) verify() []problem {
	c.checkReads()
	for _, kind := range []string{"grant", "limit"} {
		for _, rule := range c.rules[kind] {
			c.checkShape(kind, rule)
		}
	}
	c.checkDenials()
	c.checkPatterns()
	c.checkMembership()
	c.checkConditions()
	c.checkMetadata()
	c.checkData()
	c.add(c.unserved()...)
	if len(c.rules["grant"]) == 0 {
		c.add(warn(nil, "nothing_granted", "no rule grants anything, so nothing is listed or callable",
			"package authz: grant contains {\"reason\": \"…\"} if {…}"))
	}
	return c.problems
}

// besides finds what the contract refuses in policies that do not compile. A compiler that checks nothing brings them into
// the form that the checks read; where it cannot, or they stumble over what it let pass, they say nothing.
func (s sources) besides() (problems []problem) {
	defer func() {
		if recover() != nil {
			problems = nil
		}
	}()
	c := newContract(s)
	c.compiler = s.unchecked(s.policies)
	if c.compiler.Failed() {
		return nil
	}
	c.sortRules()
	return c.verify()
}

func newContract(s sources) *contract {
	c := &contract{sources: s, rules: map[string][]*ast.Rule{}, holds: map[string][]*ast.Rule{}, reached: map[*ast.Rule]bool{},
		required: map[string]bool{}, patterns: map[string]language{}}
	c.facts.Requirements, c.facts.Credentials = []requirement{}, []credential{}
	return c
}

func (c *contract) add(problems ...problem) { c.problems = append(c.problems, problems...) }

// foreign finds what a policy must not do whatever it means: take our package, or replace what it is asked about.
func foreign(module *ast.Module) (problems []problem) {
	if strings.HasPrefix(module.Package.Path.String()+".", "data.portcullis.") {
		problems = append(problems, refuse(module.Package.Location, "package_reserved",
			"the package portcullis is the gateway's own", "package authz, or a package of your own name"))
	}
	instead := "pass the value to a function: f(value)"
	if slices.ContainsFunc(module.Rules, isTestRule) {
		instead = "tests stand in a file whose name ends in _test.rego"
	}
	ast.NewGenericVisitor(func(x any) bool {
		if with, ok := x.(*ast.With); ok {
			problems = append(problems, refuse(with.Location, "with_in_policy",
				"`with` changes what is decided on, so it is for tests alone", instead))
		}
		return false
	}).Walk(module)
	return problems
}

// sortRules finds the rules of the contract, and refuses those that only look like one.
func (c *contract) sortRules() {
	for _, file := range util.KeysSorted(c.compiler.Modules) {
		c.add(foreign(c.policies[file])...)
		for _, rule := range c.compiler.Modules[file].Rules {
			ref := rule.Ref()
			if len(ref) < 3 || !ref.HasPrefix(authz) {
				continue
			}
			name, _ := ref[2].Value.(ast.String)
			switch {
			case name == "holds":
				c.sortRequirement(rule, ref)
			case slices.Contains(kinds, string(name)):
				c.sortCapability(string(name), rule, ref)
			}
		}
	}
}

func (c *contract) sortCapability(kind string, rule *ast.Rule, ref ast.Ref) {
	if len(ref) != 3 || len(rule.Head.Args) > 0 || rule.Head.RuleKind() != ast.MultiValue {
		instead := map[string]string{
			"grant": `grant contains {"reason": "…"} if {…}`,
			"limit": `limit contains {"arguments": {…}} if {…}`,
			"deny":  `deny contains "the reason" if {…}`,
		}
		c.add(refuse(rule.Location, "rule_shape", fmt.Sprintf("authz.%s is a set", kind), instead[kind]))
		return
	}
	c.rules[kind] = append(c.rules[kind], rule)
}

func (c *contract) sortRequirement(rule *ast.Rule, ref ast.Ref) {
	name, constant := ast.String(""), false
	if len(ref) == 4 {
		name, constant = ref[3].Value.(ast.String)
	}
	truth := rule.Head.RuleKind() == ast.SingleValue && rule.Head.Value.Equal(ast.BooleanTerm(true))
	for r := rule.Else; r != nil; r = r.Else {
		truth = truth && r.Head.Value.Equal(ast.BooleanTerm(true))
	}
	if !constant || !truth || rule.Default || len(rule.Head.Args) > 0 {
		c.add(refuse(rule.Location, "rule_shape", "a requirement has a fixed name, and is true or undefined", "holds.fresh_login if {…}"))
		return
	}
	c.holds[string(name)] = append(c.holds[string(name)], rule)
}
