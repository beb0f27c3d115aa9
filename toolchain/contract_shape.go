package main

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// checkShape examines what of a grant or limit is written literally; the engine examines the rest when it decides.
func (c *contract) checkShape(kind string, rule *ast.Rule) {
	l := literal{rule}
	head := l.of(rule.Head.Key)
	object, ok := head.Value.(ast.Object)
	if !ok {
		c.notLiteral(kind, rule, head)
		return
	}
	want := map[string]*shape{"grant": grantShape, "limit": limitShape}[kind]
	c.fit(l, "authz."+kind, head, want)
	if kind == "grant" {
		if object.Get(ast.StringTerm("reason")) == nil && l.plainKeys(object) {
			c.add(refuse(rule.Location, "reason_missing", "a grant says why", `"reason": "support refunds within the tenant's limit"`))
		}
		if term := object.Get(ast.StringTerm("credential")); term != nil {
			c.checkCredential(rule, l.of(term), l)
		}
	}
	c.checkRequires(kind, l, object)
	if kind == "limit" && l.isVoid(object) {
		c.add(warn(rule.Location, "limit_empty", "this limit bounds no argument and requires nothing, so it limits nothing",
			`limit contains {"arguments": {"amount": {"maximum": 100}}} if {…}`))
	}
}

// isVoid: neither a bound nor a requirement is written in it, and none is computed.
func (l literal) isVoid(limit ast.Object) bool {
	return !limit.Until(func(key, value *ast.Term) bool {
		switch v := l.of(value).Value.(type) {
		case ast.Object:
			return v.Len() > 0
		case *ast.Array:
			return v.Len() > 0
		case ast.Set:
			return v.Len() > 0
		}
		return !l.of(key).Equal(ast.StringTerm("must_exist"))
	})
}

// notLiteral: a grant that comes from data or a function may name a credential.
func (c *contract) notLiteral(kind string, rule *ast.Rule, head *ast.Term) {
	switch head.Value.(type) {
	case ast.Var, ast.Ref, ast.Call:
		c.computed = true
		if kind == "grant" {
			c.checkCredential(rule, head, literal{rule})
		}
	default:
		c.add(refuse(rule.Location, "rule_shape", fmt.Sprintf("authz.%s holds objects", kind), kind+` contains {"arguments": {…}} if {…}`))
	}
}

// checkCredential: a credential goes where configured, so the grant must fix the upstream by itself.
func (c *contract) checkCredential(rule *ast.Rule, term *ast.Term, l literal) {
	cred := credential{Upstream: upstream(rule), File: rule.Location.File, Row: rule.Location.Row, Col: rule.Location.Col}
	if object, ok := term.Value.(ast.Object); ok {
		cred.Source, cred.Role = l.text(object, "source"), l.text(object, "role")
		if object.Get(ast.StringTerm("source")) == nil && l.plainKeys(object) {
			c.add(refuse(rule.Location, "credential_unnamed", "a credential names its source", `"credential": {"source": "crm"}`))
		}
	}
	c.facts.Credentials = append(c.facts.Credentials, cred)
	if cred.Upstream == nil {
		message := "a grant with a credential must fix the upstream that it is for"
		if _, ok := term.Value.(ast.Object); !ok {
			message = "a grant that may name a credential must fix the upstream that it is for"
		}
		c.add(refuse(rule.Location, "credential_unbound", message, `input.target.upstream == "crm"`))
	}
}

// checkRequires: every requirement that is named literally is defined.
func (c *contract) checkRequires(kind string, l literal, object ast.Object) {
	term := object.Get(ast.StringTerm("requires"))
	c.computed = c.computed || !l.plainKeys(object)
	if term == nil {
		return
	}
	names := l.of(term)
	c.computed = c.computed || kindOf(names.Value) == ""
	l.elements(names, func(e *ast.Term) {
		name, ok := e.Value.(ast.String)
		c.required[string(name)], c.computed = true, c.computed || !ok
		if !ok || c.holds[string(name)] != nil {
			return
		}
		hint := meant(string(name), util.Keys(c.holds))
		if hint == "" {
			hint = "each layer defines what it requires: " + fmt.Sprintf("%v if {…}", ast.Ref{ast.VarTerm("holds"), ast.NewTerm(name)})
		}
		c.add(refuse(place(e, l.rule), "requirement_unknown", fmt.Sprintf("authz.%s requires %v, which no holds defines", kind, name), hint))
	})
}

// checkRequired warns of a requirement that nothing asks for: its author takes it for a condition.
func (c *contract) checkRequired() {
	for _, name := range util.KeysSorted(c.holds) {
		if !c.computed && !c.required[name] {
			c.add(warn(c.holds[name][0].Location, "requirement_unused", fmt.Sprintf("no grant or limit of this layer requires holds.%s", name),
				fmt.Sprintf(`"requires": [%q]`, name)))
		}
	}
}

func (c *contract) checkDenials() {
	for _, rule := range c.rules["deny"] {
		l := literal{rule}
		switch reason := l.of(rule.Head.Key); reason.Value.(type) {
		case ast.String:
			c.checkValue(l, "authz.deny", reason, text)
		case *ast.Array, ast.Object, ast.Set, ast.Number, ast.Boolean, ast.Null:
			c.add(refuse(rule.Location, "rule_shape", "authz.deny holds reasons, which are text", `deny contains "contractors do not handle money" if {…}`))
		}
	}
}

// fit compares a literal with a shape, as far as it is literal.
func (c *contract) fit(l literal, where string, term *ast.Term, s *shape) {
	term = l.of(term)
	got := kindOf(term.Value)
	if got == "" {
		c.fitComputed(l, where, term, s)
		return
	}
	if len(s.kinds) > 0 && !slices.Contains(s.kinds, got) {
		c.add(refuse(place(term, l.rule), "value_type", fmt.Sprintf("%s is %s, not %s", where, s.kinds[0], got), ""))
		return
	}
	c.checkValue(l, where, term, s)
	if s.each != nil && got == "array" {
		l.elements(term, func(e *ast.Term) { c.fit(l, where, e, s.each) })
	}
	object, ok := term.Value.(ast.Object)
	if !ok || s.each == nil && s.keys == nil {
		return
	}
	if s == bound || s == member {
		c.checkMeetable(l, where, object)
	}
	object.Foreach(func(key, value *ast.Term) {
		name, ok := l.of(key).Value.(ast.String)
		at, known := s.keys[string(name)]
		switch {
		case s.each != nil:
			c.fit(l, where+"."+string(name), value, s.each)
		case !ok:
		case known:
			c.fit(l, where+"."+string(name), value, at)
		default:
			c.add(refuse(place(key, l.rule), "key_unknown", fmt.Sprintf("%s has no key %v", where, name), meant(string(name), util.Keys(s.keys))))
		}
	})
}

// fitComputed compares what is known of a value that is computed.
func (c *contract) fitComputed(l literal, where string, term *ast.Term, s *shape) {
	wanted := kindSet{}
	for _, kind := range s.kinds {
		wanted[kind] = true
		wanted["set"] = wanted["set"] || kind == "array"
	}
	if got := c.kindsOf(l.rule, term); apart(got, wanted) {
		c.add(refuse(place(term, l.rule), "value_type", fmt.Sprintf("%s is %s, not %v", where, s.kinds[0], got), ""))
	}
}

// checkValue: what is of the right kind may still mean nothing.
func (c *contract) checkValue(l literal, where string, term *ast.Term, s *shape) {
	if s.keys == nil && s.each == nil {
		if n := inexact(term.Value); n != nil {
			c.add(refuse(place(term, l.rule), "value_invalid", fmt.Sprintf("%s: %v would be rounded", where, n), "numbers up to 2^53, or a text"))
			return
		}
	}
	if pattern, ok := term.Value.(ast.String); ok && s == re2 {
		c.add(judge(place(term, l.rule), "pattern_invalid", pattern,
			"RE2 has no lookahead and no backreference; count with minLength and maxLength"))
	}
	if s.fault == nil {
		return
	}
	if f := s.fault(term.Value); f.message != "" {
		c.add(refuse(place(term, l.rule), "value_invalid", where+" "+f.message, f.hint))
	}
}

func kindOf(v ast.Value) string {
	switch v.(type) {
	case ast.String:
		return "string"
	case ast.Number:
		return "number"
	case ast.Boolean:
		return "boolean"
	case ast.Null:
		return "null"
	case *ast.Array, ast.Set:
		return "array"
	case ast.Object:
		return "object"
	}
	return "" // computed
}

// literal finds what the compiler moved out of a rule's head: `x` in the head, `x = {…}` in the body.
type literal struct{ rule *ast.Rule }

func (l literal) of(t *ast.Term) *ast.Term {
	for range 8 {
		if _, ok := t.Value.(ast.Var); !ok {
			break
		}
		next := l.binding(t)
		if next == nil {
			break
		}
		t = next
	}
	return t
}

func (l literal) binding(v *ast.Term) *ast.Term {
	for _, e := range l.rule.Body {
		if e.Negated || !isEquality(e) {
			continue
		}
		if e.Operand(0).Equal(v) {
			return e.Operand(1)
		}
		if e.Operand(1).Equal(v) {
			return e.Operand(0)
		}
	}
	return nil
}

func (l literal) text(object ast.Object, key string) *string {
	if t := object.Get(ast.StringTerm(key)); t != nil {
		if s, ok := l.of(t).Value.(ast.String); ok {
			return (*string)(&s)
		}
	}
	return nil
}

// plainKeys: no key is computed.
func (l literal) plainKeys(object ast.Object) bool {
	return !object.Until(func(key, _ *ast.Term) bool {
		_, ok := l.of(key).Value.(ast.String)
		return !ok
	})
}

func (l literal) elements(t *ast.Term, each func(*ast.Term)) {
	switch v := t.Value.(type) {
	case *ast.Array:
		v.Foreach(func(e *ast.Term) { each(l.of(e)) })
	case ast.Set:
		v.Foreach(func(e *ast.Term) { each(l.of(e)) })
	}
}

func place(t *ast.Term, rule *ast.Rule) *ast.Location {
	if t.Location != nil && t.Location.File != "" {
		return t.Location
	}
	return rule.Location
}
