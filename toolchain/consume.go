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
		f.consume(terms)
	case *ast.Not:
		f.body(terms.Body, true)
	case *ast.Every:
		f.consume(terms.Domain)
		f.body(terms.Body, f.negated)
	case []*ast.Term:
		operator := e.Operator()
		switch {
		case isEquality(e):
			f.unify(terms[1], terms[2])
		case operator[0].Equal(ast.DefaultRootDocument):
			f.call(operator, e.Operands())
			for _, t := range e.Operands() {
				f.hand(t)
			}
		default:
			f.w.clock = f.w.clock || operator.String() == ast.NowNanos.Name
			for _, t := range e.Operands() {
				f.consume(t)
			}
		}
	}
}

// unify notes an equality. Giving a value a name only hands it on; a comparison looks at all of it.
func (f *frame) unify(a, b *ast.Term) {
	switch {
	case f.names(a):
		f.hand(b)
	case f.names(b):
		f.hand(a)
	default:
		f.consume(a)
		f.consume(b)
	}
}

func (f *frame) names(t *ast.Term) bool {
	v, ok := t.Value.(ast.Var)
	return ok && f.uses[v] == 1
}

// hand notes a value that is handed on whole.
func (f *frame) hand(t *ast.Term) {
	switch t.Value.(type) {
	case ast.Var, ast.Ref:
		f.see(t, true)
	default:
		f.consume(t)
	}
}

// consume notes a value that is looked at.
func (f *frame) consume(t *ast.Term) {
	switch v := t.Value.(type) {
	case ast.Var, ast.Ref:
		f.see(t, false)
	case ast.Call:
		for _, operand := range v[1:] {
			f.consume(operand)
		}
		f.call(v[0].Value.(ast.Ref), v[1:])
	case *ast.Array:
		v.Foreach(f.consume)
	case ast.Set:
		v.Foreach(f.consume)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) {
			f.consume(key)
			f.consume(value)
		})
	case *ast.ArrayComprehension:
		f.body(v.Body, f.negated)
		f.consume(v.Term)
	case *ast.SetComprehension:
		f.body(v.Body, f.negated)
		f.consume(v.Term)
	case *ast.ObjectComprehension:
		f.body(v.Body, f.negated)
		f.consume(v.Key)
		f.consume(v.Value)
	case ast.Null, ast.Boolean, ast.Number, ast.String:
	default:
		panic("a term of a kind that the contract does not know: " + ast.ValueName(v))
	}
}

// see notes a variable, or a ref with its computed keys. A variable was bound before, so that a `not` over it does not
// turn a missing value into a true one.
func (f *frame) see(t *ast.Term, handed bool) {
	ref, isRef := t.Value.(ast.Ref)
	f.note(f.paths(t), t.Location, f.negated && isRef, handed)
	if !isRef {
		return
	}
	if _, named := ref[0].Value.(ast.Var); !named {
		f.consume(ref[0])
	}
	for _, key := range ref[1:] {
		if _, constant := constantStep(key.Value); !constant {
			f.consume(key)
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
		f.consume(t)
	}
	if value == nil {
		return nil
	}
	f.hand(value)
	return f.paths(value)
}

func (f *frame) note(paths []path, loc *ast.Location, negated, handed bool) {
	if loc == nil || loc.File == "" {
		loc = f.loc
	}
	for _, p := range paths {
		f.w.reads = append(f.w.reads, read{p, loc, negated, handed})
	}
}
