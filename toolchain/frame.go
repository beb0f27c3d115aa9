package main

import (
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
)

// frame walks one rule body. The compiler has made variables unique within the rule, so that one map holds them all.
type frame struct {
	w       *walker
	rule    *ast.Rule
	negated bool
	env     map[ast.Var][]path // what a variable may stand for
	uses    map[ast.Var]int    // how often a variable is bound or unified
	owner   map[ast.Var]string // the ref whose elements a free variable runs over
	loc     *ast.Location      // of the expression at hand
}

func (f *frame) run(args [][]path) []path {
	f.loc = f.rule.Location
	for i, arg := range f.rule.Head.Args {
		if v, ok := arg.Value.(ast.Var); ok {
			f.uses[v]++
			if i < len(args) {
				f.env[v] = union(f.env[v], args[i])
			}
		}
	}
	exprs := f.exprs()
	for _, e := range exprs {
		f.survey(e)
	}
	for f.bindAll(exprs) {
		// until nothing new: a binding may come after its use
	}
	f.body(f.rule.Body, f.negated)
	return f.head()
}

// exprs are all expressions of the body and head, nested ones included.
func (f *frame) exprs() (all []*ast.Expr) {
	collect := func(x any) {
		ast.WalkExprs(x, func(e *ast.Expr) bool {
			all = append(all, e)
			return false
		})
	}
	collect(f.rule.Body)
	for _, t := range []*ast.Term{f.rule.Head.Key, f.rule.Head.Value} {
		if t != nil {
			collect(t)
		}
	}
	return all
}

// survey notes what binds which variable, and which ref a free variable runs over first.
func (f *frame) survey(e *ast.Expr) {
	switch terms := e.Terms.(type) {
	case []*ast.Term:
		out := terms[1:]
		if !isEquality(e) {
			out = outputs(f.w.compiler, e)
		}
		for _, t := range out {
			if v, ok := t.Value.(ast.Var); ok {
				f.uses[v]++
			}
		}
	case *ast.Every:
		for _, t := range []*ast.Term{terms.Key, terms.Value} {
			if t != nil {
				f.uses[t.Value.(ast.Var)]++
			}
		}
	}
	ast.WalkRefs(e, func(ref ast.Ref) bool {
		for _, t := range ref[1:] {
			if v, ok := t.Value.(ast.Var); ok && f.owner[v] == "" {
				f.owner[v] = ref.String()
			}
		}
		return false
	})
}

// bindAll makes one pass over the bindings, and says whether a variable came to stand for more.
func (f *frame) bindAll(exprs []*ast.Expr) bool {
	before := f.known()
	for _, e := range exprs {
		switch terms := e.Terms.(type) {
		case []*ast.Term:
			if isEquality(e) {
				f.bind(terms[1], f.paths(terms[2]))
				f.bind(terms[2], f.paths(terms[1]))
			} else if out := outputs(f.w.compiler, e); len(out) > 0 {
				f.bind(out[0], f.call(e.Operator(), e.Operands()))
			}
		case *ast.Every:
			f.bind(terms.Value, extend(f.paths(terms.Domain), path{{kind: each}}))
		}
		ast.WalkRefs(e, func(ref ast.Ref) bool {
			f.refPaths(ref) // binds variables that run over the elements of a set
			return false
		})
	}
	return f.known() > before
}

func (f *frame) bind(t *ast.Term, paths []path) {
	switch v := t.Value.(type) {
	case ast.Var:
		if len(paths) > 0 {
			f.env[v] = union(f.env[v], paths)
		}
	case *ast.Array:
		for i := range v.Len() {
			f.bind(v.Elem(i), extend(paths, path{{kind: index, key: strconv.Itoa(i)}}))
		}
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) {
			if s, ok := constantStep(key.Value); ok {
				f.bind(value, extend(paths, path{s}))
			}
		})
	}
}

func (f *frame) known() (n int) {
	for _, paths := range f.env {
		n += len(paths)
	}
	return n
}

// paths that a term may stand for.
func (f *frame) paths(t *ast.Term) []path {
	switch v := t.Value.(type) {
	case ast.Var:
		return f.env[v]
	case ast.Ref:
		return f.refPaths(v)
	case ast.Call:
		return f.call(v[0].Value.(ast.Ref), v[1:])
	}
	return f.elements(t)
}

var anyElement = step{kind: made, of: each}

// elements are the paths that a value made anew holds.
func (f *frame) elements(t *ast.Term) (paths []path) {
	add := func(element step, t *ast.Term) { paths = union(paths, within(f.paths(t), element)) }
	switch v := t.Value.(type) {
	case *ast.Array:
		for i := range v.Len() {
			add(step{kind: made, of: index, key: strconv.Itoa(i)}, v.Elem(i))
		}
	case ast.Set:
		v.Foreach(func(t *ast.Term) { add(anyElement, t) })
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) {
			s, ok := constantStep(key.Value)
			if !ok {
				s = step{kind: each}
			}
			add(step{kind: made, of: s.kind, key: s.key}, value)
		})
	case *ast.ArrayComprehension:
		add(anyElement, v.Term)
	case *ast.SetComprehension:
		add(anyElement, v.Term)
	case *ast.ObjectComprehension:
		add(anyElement, v.Value)
	}
	return paths
}

func (f *frame) refPaths(ref ast.Ref) []path {
	head, ok := ref[0].Value.(ast.Var)
	switch {
	case !ok:
		return extend(f.paths(ref[0]), f.steps(ref, 1))
	case ref[0].Equal(ast.InputRootDocument):
		return []path{f.steps(ref, 1)}
	case ref[0].Equal(ast.DefaultRootDocument):
		return f.documentPaths(ref)
	}
	return extend(f.env[head], f.steps(ref, 1))
}

// documentPaths are what a ref to rules stands for: their values, or what lies below them.
func (f *frame) documentPaths(ref ast.Ref) (paths []path) {
	for _, rule := range f.w.rules(ref) {
		if len(rule.Head.Args) > 0 {
			continue
		}
		values := f.w.visit(rule, nil, f.negated)
		depth := len(rule.Ref())
		if rule.Head.RuleKind() == ast.MultiValue {
			depth++ // an element of the set
		}
		if len(ref) < depth {
			for range depth - len(ref) { // the whole document
				values = within(values, anyElement)
			}
			paths = union(paths, values)
			continue
		}
		if rule.Head.RuleKind() == ast.MultiValue {
			f.bind(ref[depth-1], values)
		}
		paths = union(paths, extend(values, f.steps(ref, depth)))
	}
	return paths
}

func (f *frame) steps(ref ast.Ref, from int) path {
	out := path{}
	for _, t := range ref[from:] {
		if s, ok := constantStep(t.Value); ok {
			out = append(out, s)
		} else if f.runsOver(t, ref) {
			out = append(out, step{kind: each})
		} else {
			out = append(out, step{kind: lookup})
		}
	}
	return out
}

// runsOver: the key is a variable that the ref itself binds, to each element in turn.
func (f *frame) runsOver(key *ast.Term, ref ast.Ref) bool {
	v, ok := key.Value.(ast.Var)
	return ok && f.uses[v] == 0 && f.owner[v] == ref.String()
}

// call returns what the value of a policy's own function may stand for.
func (f *frame) call(operator ast.Ref, operands []*ast.Term) (paths []path) {
	if !operator[0].Equal(ast.DefaultRootDocument) {
		return nil
	}
	args := make([][]path, len(operands))
	for i, t := range operands {
		args[i] = f.paths(t)
	}
	for _, rule := range f.w.rules(operator) {
		paths = union(paths, f.w.visit(rule, args[:min(len(args), len(rule.Head.Args))], f.negated))
	}
	return paths
}

// outputs are the operands beyond a function's parameters: at most one, its result.
func outputs(c *ast.Compiler, e *ast.Expr) []*ast.Term {
	operands := e.Operands()
	if arity := c.GetArity(e.Operator()); arity >= 0 && arity < len(operands) {
		return operands[arity:]
	}
	return nil
}

func isEquality(e *ast.Expr) bool {
	return e.IsEquality() && len(e.Operands()) == 2
}
