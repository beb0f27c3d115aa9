package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
)

// checkConditions finds what a rule asks though the answer is known beforehand: a denial that never holds denies nothing.
func (c *contract) checkConditions() {
	for _, file := range util.KeysSorted(c.compiler.Modules) {
		ast.WalkRules(c.compiler.Modules[file], func(rule *ast.Rule) bool {
			c.checkEqualities(rule)
			c.checkLookups(rule)
			conditions(rule, func(e *ast.Expr, negated bool) {
				c.checkPresence(rule, e, negated)
				c.checkKinds(rule, e)
				c.checkCall(rule, e)
			})
			return false
		})
	}
	for _, file := range util.KeysSorted(c.policies) {
		c.checkInequalities(c.policies[file])
	}
}

// conditions are all expressions of a rule, and whether a `not` stands before them.
func conditions(rule *ast.Rule, tell func(e *ast.Expr, negated bool)) {
	below := map[*ast.Expr]bool{}
	ast.WalkExprs(rule, func(e *ast.Expr) bool {
		if not, ok := e.Terms.(*ast.Not); ok {
			for _, inner := range not.Body {
				below[inner] = len(not.Body) == 1
			}
		}
		tell(e, e.Negated || below[e])
		return false
	})
}

// nonempty and empty are what to write of a value that is always there, by its kind.
var nonempty = map[string]string{"string": `%s != ""`, "number": "%s > 0", "array": "count(%s) > 0", "set": "count(%s) > 0", "object": "%s != {}", "null": "%s != null"}
var empty = map[string]string{"string": `%s == ""`, "number": "%s == 0", "array": "count(%s) == 0", "set": "count(%s) == 0", "object": "%s == {}", "null": "%s == null"}

// checkPresence finds a condition that is nothing but a value which is always there: undefined and false alone do not hold.
func (c *contract) checkPresence(rule *ast.Rule, e *ast.Expr, negated bool) {
	if what, kind := c.present(rule, e); kind != "" {
		instead := nonempty[kind]
		if negated {
			instead = empty[kind]
		}
		c.alwaysThere(e, negated, what, fmt.Sprintf(instead, what))
	} else if isWritten(e) {
		c.alwaysThere(e, negated, "a value that is written out", `if "support" in input.principal.roles`)
	}
}

func (c *contract) alwaysThere(e *ast.Expr, negated bool, what, instead string) {
	if negated {
		c.add(refuse(e.Location, "condition_never", what+" is always there, so that its `not` never holds", instead))
	} else {
		c.add(warn(e.Location, "condition_always", what+" is always there, so that this always holds", instead))
	}
}

// isWritten: `if {}` and `if "admin"` hold for everybody.
func isWritten(e *ast.Expr) bool {
	t, ok := e.Terms.(*ast.Term)
	if !ok {
		return false
	}
	switch t.Value.(type) {
	case ast.Null, ast.Number, ast.String, *ast.Array, ast.Object, ast.Set:
		return true
	}
	return false
}

// present is a value that is there whoever asks and never false, as it may be written, and its kind.
func (c *contract) present(rule *ast.Rule, e *ast.Expr) (what, kind string) {
	if e.IsCall() {
		name := e.Operator().String()
		if kind := always[name]; kind != "" && len(e.Operands()) == ast.BuiltinMap[name].Decl.Arity() {
			return sourceOf(e), kind
		}
		return "", ""
	}
	t, ok := e.Terms.(*ast.Term)
	if !ok {
		return "", ""
	}
	switch v := (literal{rule}).of(t).Value.(type) {
	case *ast.ArrayComprehension:
		return sourceOf(e), "array"
	case *ast.SetComprehension:
		return sourceOf(e), "set"
	case *ast.ObjectComprehension:
		return sourceOf(e), "object"
	case ast.Ref:
		if v[0].Equal(ast.InputRootDocument) {
			return v.String(), c.presentField(v)
		}
		return v.String(), gathered(c.compiler, v)
	}
	return "", ""
}

// always are the builtins that give a value for whatever they are meant for, none of which is false: 0 is as good as 1.
var always = map[string]string{"and": "set", "array.concat": "array", "count": "number", "intersection": "set", "object.keys": "set",
	"or": "set", "union": "set"}

// sourceOf is an expression as it was written.
func sourceOf(e *ast.Expr) string {
	return strings.TrimPrefix(string(e.Location.Text), "not ")
}

// presentField is the kind of a field of the input that every valid input has, and that is never false.
func (c *contract) presentField(ref ast.Ref) string {
	p := path{}
	for _, key := range ref[1:] {
		s, ok := constantStep(key.Value)
		if !ok || s.kind != field {
			return ""
		}
		p = append(p, s)
	}
	if len(p) == 0 || classify(c.schema, p).standing != required {
		return ""
	}
	kinds := kindSet{}
	for _, node := range nodesAt(c.schema, c.schema, p) {
		if !schemaKinds(c.schema, node, kinds) {
			return ""
		}
	}
	switch {
	case kinds["boolean"] || len(kinds) == 0:
		return ""
	case kinds["null"]:
		return "null"
	}
	return util.KeysSorted(kinds)[0]
}

// gathered is the kind of what rules make member by member, which is there also when it is empty.
func gathered(compiler *ast.Compiler, ref ast.Ref) string {
	rules := compiler.GetRulesExact(ref)
	switch {
	case len(rules) == 0:
		return ""
	case len(rules[0].Ref()) > len(ref):
		return "object"
	case rules[0].Head.RuleKind() == ast.MultiValue:
		return "set"
	}
	return ""
}

// checkEqualities finds alternatives that were written below each other, where all lines have to hold.
func (c *contract) checkEqualities(rule *ast.Rule) {
	told := map[string]*ast.Term{}
	for _, e := range rule.Body {
		if e.Negated || !isEquality(e) {
			continue
		}
		at, value := e.Operand(0), e.Operand(1)
		if !ast.IsScalar(value.Value) {
			at, value = value, at
		}
		if !single(at) || !ast.IsScalar(value.Value) {
			continue
		}
		if other := told[at.String()]; other != nil && !other.Equal(value) {
			what := writtenAs(c.compiler, at)
			c.add(refuse(e.Location, "condition_never", fmt.Sprintf("%s is never both %v and %v: all lines of a rule have to hold", what, other, value),
				fmt.Sprintf("either: two rules of one name, or %s in {%v, %v}", what, other, value)))
		}
		told[at.String()] = value
	}
}

// single: it has one value at a time.
func single(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.Var:
		return !v.IsWildcard()
	case ast.Ref:
		return v.IsGround()
	}
	return false
}

// writtenAs is a variable, or what is looked up in it, with the name that its author gave it.
func writtenAs(compiler *ast.Compiler, t *ast.Term) string {
	head, rest := t, ast.Ref{}
	if ref, ok := t.Value.(ast.Ref); ok {
		head, rest = ref[0], ref[1:]
	}
	if v, ok := head.Value.(ast.Var); ok {
		if name, ok := compiler.RewrittenVars[v]; ok {
			return append(ast.Ref{ast.NewTerm(name)}, rest...).String()
		}
	}
	return t.String()
}

// checkInequalities warns of `roles[_] != "guest"`, which holds as soon as there is any other role.
func (c *contract) checkInequalities(module *ast.Module) {
	ast.WalkExprs(module, func(e *ast.Expr) bool {
		if !e.IsCall() || e.Operator().String() != ast.NotEqual.Name || len(e.Operands()) != 2 {
			return false
		}
		for at, t := range e.Operands() {
			ref, ok := t.Value.(ast.Ref)
			if !ok || !ast.IsConstant(e.Operand(1-at).Value) {
				continue
			}
			list, last := ref[:len(ref)-1], ref[len(ref)-1]
			if v, ok := last.Value.(ast.Var); ok && v.IsWildcard() {
				c.add(warn(e.Location, "any_differs", fmt.Sprintf("this holds as soon as any of %v is another", list),
					fmt.Sprintf("where none may be: not %v in %v", e.Operand(1-at), list)))
			}
		}
		return false
	})
}

// checkCall refuses a call whose arguments are written out and that has no value: a date that is none, a time zone that is
// misspelt. It would be undefined for good.
func (c *contract) checkCall(rule *ast.Rule, e *ast.Expr) {
	if !e.IsCall() || isEquality(e) {
		return
	}
	name := e.Operator().String()
	builtin, ok := ast.BuiltinMap[name]
	_, judged := matching[name]
	arity := 0
	if ok {
		arity = builtin.Decl.Arity()
	}
	if !ok || judged || builtin.Nondeterministic || arity == 0 || arity > len(e.Operands()) {
		return
	}
	operands := make([]*ast.Term, arity)
	for i := range operands {
		operands[i] = c.settled(literal{rule}, name, e.Operand(i))
		if !ast.IsConstant(operands[i].Value) {
			return
		}
	}
	if fault, ok := undefinedCall(builtin, operands); ok {
		hint := ""
		if strings.HasPrefix(name, "time.") {
			hint = `a moment is "2026-06-30T00:00:00Z", a duration "72h", a time zone "Europe/Berlin"`
		}
		c.add(refuse(e.Location, "call_undefined", "never has a value: "+fault, hint))
	}
}

// settled is an operand with what is written out put in. Of a moment and what says how to read it, the moment may be any.
func (c *contract) settled(l literal, name string, t *ast.Term) *ast.Term {
	t = c.constant(l.of(t))
	array, ok := t.Value.(*ast.Array)
	if !ok || !strings.HasPrefix(name, "time.") {
		return t
	}
	terms := make([]*ast.Term, array.Len())
	for i := range terms {
		if terms[i] = c.constant(l.of(array.Elem(i))); i == 0 && !ast.IsConstant(terms[i].Value) {
			terms[i] = ast.IntNumberTerm(0)
		}
	}
	return ast.ArrayTerm(terms...)
}

// constant is what a rule such as `zone := "Europe/Berlin"` names.
func (c *contract) constant(t *ast.Term) *ast.Term {
	ref, ok := t.Value.(ast.Ref)
	if !ok {
		return t
	}
	rules := c.compiler.GetRulesExact(ref)
	if len(rules) != 1 || rules[0].Else != nil || len(rules[0].Head.Args) > 0 || !rules[0].Body.Equal(ast.NewBody(ast.NewExpr(ast.BooleanTerm(true)))) {
		return t
	}
	if value := rules[0].Head.Value; value != nil && len(rules[0].Ref()) == len(ref) && ast.IsConstant(value.Value) {
		return value
	}
	return t
}

// undefinedCall evaluates, and says why there is no value.
func undefinedCall(builtin *ast.Builtin, operands []*ast.Term) (string, bool) {
	query := ast.NewBody(builtin.Expr(append(operands, ast.VarTerm("value"))...))
	results, err := rego.New(rego.ParsedQuery(query), rego.StrictBuiltinErrors(true), rego.Capabilities(capabilities)).Eval(context.Background())
	var failure *topdown.Error
	if errors.As(err, &failure) {
		return failure.Message, true
	}
	return builtin.Name + " is undefined here", err == nil && len(results) == 0
}
