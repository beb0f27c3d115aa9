package main

import "github.com/open-policy-agent/opa/v1/ast"

// body notes what the expressions read.
func (f *frame) body(body ast.Body, negated bool) {
	for _, e := range body {
		outer, at := f.negated, f.loc
		f.negated, f.loc = negated || e.Negated, e.Location
		f.expr(e)
		f.negated, f.loc = outer, at
	}
}

func (f *frame) expr(e *ast.Expr) {
	switch terms := e.Terms.(type) {
	case *ast.Term:
		f.read(terms, glanced)
	case *ast.Not:
		f.body(terms.Body, true)
	case *ast.Every:
		f.read(terms.Domain, compared)
		f.body(terms.Body, f.negated)
	case []*ast.Term:
		if isEquality(e) {
			f.unify(terms[1], terms[2])
		} else {
			f.operands(e.Operator(), e.Operands())
		}
	}
}

// operands notes what a function is given.
func (f *frame) operands(operator ast.Ref, operands []*ast.Term) {
	if operator[0].Equal(ast.DefaultRootDocument) {
		f.call(operator, operands)
		for _, t := range operands {
			f.read(t, handed)
		}
		return
	}
	f.w.clock = f.w.clock || operator.String() == ast.NowNanos.Name
	for i, t := range operands {
		f.read(t, useBy(operator.String(), i, operands))
	}
}

// unify notes an equality. Giving a value a name only hands it on; a comparison looks at all of it.
func (f *frame) unify(a, b *ast.Term) {
	switch {
	case f.names(a):
		f.read(b, handed)
	case f.names(b):
		f.read(a, handed)
	default:
		f.read(a, comparedWith(b))
		f.read(b, comparedWith(a))
	}
}

func (f *frame) names(t *ast.Term) bool {
	v, ok := t.Value.(ast.Var)
	return ok && f.uses[v] == 1
}

// read notes a value that is read. What is written into another value is read as that is.
func (f *frame) read(t *ast.Term, as use) {
	inner := func(t *ast.Term) { f.read(t, as) }
	switch v := t.Value.(type) {
	case ast.Var, ast.Ref:
		f.see(t, as)
	case ast.Call:
		f.operands(v[0].Value.(ast.Ref), v[1:])
	case *ast.Array:
		v.Foreach(inner)
	case ast.Set:
		v.Foreach(inner)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) {
			f.read(key, compared)
			f.read(value, as)
		})
	case *ast.ArrayComprehension:
		f.body(v.Body, f.negated)
		inner(v.Term)
	case *ast.SetComprehension:
		f.body(v.Body, f.negated)
		inner(v.Term)
	case *ast.ObjectComprehension:
		f.body(v.Body, f.negated)
		f.read(v.Key, compared)
		inner(v.Value)
	case ast.Null, ast.Boolean, ast.Number, ast.String:
	default:
		panic("a term of a kind that the contract does not know: " + ast.ValueName(v))
	}
}

// see notes a variable, or a ref with its computed keys. A variable was bound before, so that a `not` over it does not
// turn a missing value into a true one.
func (f *frame) see(t *ast.Term, as use) {
	ref, isRef := t.Value.(ast.Ref)
	f.note(f.paths(t), t.Location, f.negated && isRef, as)
	if !isRef {
		return
	}
	if _, named := ref[0].Value.(ast.Var); !named {
		f.read(ref[0], handed)
	}
	for _, key := range ref[1:] {
		if _, constant := constantStep(key.Value); constant {
			continue
		}
		if f.runsOver(key, ref) {
			f.read(key, handed)
		} else {
			f.read(key, compared)
		}
	}
}

// head hands on what the rule's value is.
func (f *frame) head() []path {
	f.loc = f.rule.Location
	value := f.rule.Head.Value
	if f.rule.Head.RuleKind() == ast.MultiValue {
		value = f.rule.Head.Key
	}
	for _, t := range f.rule.Head.Ref()[1:] {
		f.read(t, compared)
	}
	if value == nil {
		return nil
	}
	f.read(value, handed)
	return f.paths(value)
}

func (f *frame) note(paths []path, loc *ast.Location, negated bool, as use) {
	if loc == nil || loc.File == "" {
		loc = f.loc
	}
	for _, p := range paths {
		if as == handed && len(p) > len(p.real()) {
			continue // noted where it was written into the value that is handed on
		}
		f.w.reads = append(f.w.reads, read{p.real(), loc, negated, as})
	}
}
