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
)

// step is one element of a path below input.
type step struct {
	kind kind
	key  string
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

// read is one place where a path below input is read.
type read struct {
	path    path
	loc     *ast.Location
	negated bool // below a `not`
	handed  bool // only bound to a name or handed to a function, which may look into it
}

// walker follows rules through everything they reach, and collects what of the input they read. A value is followed
// through variables, function parameters, and the values of rules; not through a value that is built anew.
type walker struct {
	compiler *ast.Compiler
	reads    []read
	clock    bool
	seen     map[string][]path
	found    map[string][]*ast.Rule
}

func walk(c *ast.Compiler, rules ...*ast.Rule) *walker {
	w := &walker{compiler: c, seen: map[string][]path{}, found: map[string][]*ast.Rule{}}
	for _, rule := range rules {
		for _, p := range w.visit(rule, nil, false) {
			w.reads = append(w.reads, read{path: p, loc: rule.Location}) // the engine looks at the whole answer
		}
	}
	w.settle()
	return w
}

// settle drops what was handed on whole and then looked into: only the parts were read. The whole input stays.
func (w *walker) settle() {
	w.reads = slices.DeleteFunc(slices.Clone(w.reads), func(r read) bool {
		return r.handed && len(r.path) > 0 && slices.ContainsFunc(w.reads, func(other read) bool { return other.path.extends(r.path) })
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
	w.seen[key] = nil
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
		out = append(out, slices.Concat(p, steps))
	}
	return out
}

func constantStep(v ast.Value) (step, bool) {
	switch v := v.(type) {
	case ast.String:
		return step{field, string(v)}, true
	case ast.Number:
		if n, ok := v.Int(); ok {
			return step{index, strconv.Itoa(n)}, true
		}
	}
	return step{}, false
}
