package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

type kind int

const (
	field  kind = iota // .name
	index              // [0]
	each               // [_]: whatever is there
	lookup             // [key]: a computed key, which may miss
	made               // not a step: the value before it became the element `key` of one that was made anew
)

// step is one element of a path below input.
type step struct {
	kind kind
	key  string
	of   kind // of made: field or index; each where the element may be any
}

type path []step

func (p path) String() string {
	var b strings.Builder
	b.WriteString("input")
	for _, s := range p {
		switch s.kind {
		case field:
			b.WriteString("." + s.key)
		case index:
			b.WriteString("[" + s.key + "]")
		case each:
			b.WriteString("[_]")
		case lookup:
			b.WriteString("[…]")
		}
	}
	return b.String()
}

// fields is the path up to where it is no longer field by field.
func (p path) fields() []string {
	out := []string{}
	for _, s := range p {
		if s.kind != field {
			break
		}
		out = append(out, s.key)
	}
	return out
}

func (p path) extends(q path) bool {
	return len(p) > len(q) && slices.Equal(p[:len(q)], q)
}

// use is how a value is read.
type use int

const (
	handed   use = iota // bound to a name, put into another value, or given to a function, which may look into it
	glanced             // whether it is there, and of what type
	compared            // compared, counted, or asked for an element: of a map or list, whatever is in it
	whole               // given to a builtin that takes anything
	searched            // given to a builtin that looks for members
)

// read is one place where a path below input is read.
type read struct {
	path    path
	loc     *ast.Location
	negated bool // below a `not`
	use     use
}

// walker follows rules through everything they reach, and collects what of the input they read. A value is followed
// through variables, function parameters, the values of rules, and what is made of it by writing it into another; not
// through builtins.
type walker struct {
	compiler *ast.Compiler
	reads    []read
	clock    bool
	seen     map[string][]path
	reached  map[*ast.Rule]bool
	found    map[string][]*ast.Rule
}

func walk(c *ast.Compiler, rules ...*ast.Rule) *walker {
	w := &walker{compiler: c, seen: map[string][]path{}, reached: map[*ast.Rule]bool{}, found: map[string][]*ast.Rule{}}
	for _, rule := range rules {
		for _, p := range w.visit(rule, nil, false) {
			if len(p) == len(p.real()) {
				w.reads = append(w.reads, read{path: p, loc: rule.Location, use: glanced}) // the engine looks at the whole answer
			}
		}
	}
	w.settle()
	return w
}

// settle drops what was handed on whole and then looked into: only the parts were read. The whole input stays.
func (w *walker) settle() {
	w.reads = slices.DeleteFunc(slices.Clone(w.reads), func(r read) bool {
		return r.use == handed && len(r.path) > 0 && slices.ContainsFunc(w.reads, func(other read) bool { return other.path.extends(r.path) })
	})
	w.clock = w.clock || slices.ContainsFunc(w.reads, func(r read) bool {
		return touches(r.path, "context", "now")
	})
}

// touches: a read of the path, of what is above it, or below it.
func touches(p path, names ...string) bool {
	for i, name := range names {
		if i == len(p) || p[i].kind != field {
			return true
		}
		if p[i].key != name {
			return false
		}
	}
	return true
}

// visit walks a rule, called with arguments that stand for these paths, and returns what its value stands for.
func (w *walker) visit(rule *ast.Rule, args [][]path, negated bool) []path {
	key := fmt.Sprintf("%p %v %v", rule, args, negated)
	if values, ok := w.seen[key]; ok {
		return values
	}
	w.seen[key], w.reached[rule] = nil, true
	var values []path
	for r := rule; r != nil; r = r.Else {
		f := &frame{w: w, rule: r, negated: negated, env: map[ast.Var][]path{}, uses: map[ast.Var]int{}, owner: map[ast.Var]string{}}
		values = union(values, f.run(args))
	}
	w.seen[key] = values
	return values
}

// rules that a ref below data may mean, in a stable order.
func (w *walker) rules(ref ast.Ref) []*ast.Rule {
	key := ref.String()
	rules, ok := w.found[key]
	if !ok {
		rules = w.compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true})
		slices.SortFunc(rules, func(a, b *ast.Rule) int { return a.Location.Compare(b.Location) })
		w.found[key] = rules
	}
	return rules
}

func union(a, b []path) []path {
	for _, p := range b {
		if !slices.ContainsFunc(a, func(q path) bool { return slices.Equal(p, q) }) {
			a = append(a, p)
		}
	}
	return a
}

func extend(paths []path, steps path) []path {
	out := make([]path, 0, len(paths))
	for _, p := range paths {
		if longer, ok := p.then(steps); ok {
			out = append(out, longer)
		}
	}
	return out
}

// then takes steps; the first into a value that was made anew leads back to what it was made of, or to another element.
func (p path) then(steps path) (path, bool) {
	p = slices.Clone(p)
	for _, s := range steps {
		last := len(p) - 1
		if last < 0 || p[last].kind != made {
			p = append(p, s)
			continue
		}
		m := p[last]
		if m.of != each && (s.kind == field || s.kind == index) && (s.kind != m.of || s.key != m.key) {
			return nil, false
		}
		p = p[:last]
	}
	return p, true
}

// real is the path without what was made of it.
func (p path) real() path {
	for len(p) > 0 && p[len(p)-1].kind == made {
		p = p[:len(p)-1]
	}
	return p
}

// maxMade: a value that is written into another, again and again, is followed this far.
const maxMade = 8

// within are paths whose values became an element of a value made anew.
func within(paths []path, element step) (out []path) {
	for _, p := range paths {
		if len(p)-len(p.real()) < maxMade {
			out = append(out, slices.Concat(p, path{element}))
		}
	}
	return out
}

func constantStep(v ast.Value) (step, bool) {
	switch v := v.(type) {
	case ast.String:
		return step{kind: field, key: string(v)}, true
	case ast.Number:
		if n, ok := v.Int(); ok {
			return step{kind: index, key: strconv.Itoa(n)}, true
		}
	}
	return step{}, false
}
