package main

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// trials are a layer's tests in a module of the kind that serves.
type trials struct {
	Wasm        []byte            `json:"wasm"`        // base64; null where it holds none
	Entrypoints map[string]string `json:"entrypoints"` // by test
	Alone       map[string]string `json:"alone"`       // why no module holds it, by test
}

// trial compiles the named tests to one module, as build does the policies: the same rules, stand-ins and builtins.
func trial(req request) (any, []problem) {
	s, problems := parse(req)
	if failed(problems) {
		return nil, problems
	}
	s.settle()
	t := &trials{Entrypoints: map[string]string{}, Alone: map[string]string{}}
	for _, test := range req.Tests {
		entrypoint, err := entrypoint(test, req.Tests)
		if err != nil {
			t.Alone[test] = err.Error()
		} else {
			t.Entrypoints[test] = entrypoint
		}
	}
	t.Wasm = t.hold(s)
	return map[string]any{"trial": t}, problems
}

// entrypoint is a test's path. The tester tells rules of one name apart by a number, a module has one rule of them.
func entrypoint(test string, all []string) (string, error) {
	name, _, numbered := strings.Cut(test, "#")
	if numbered || slices.ContainsFunc(all, func(other string) bool { return strings.HasPrefix(other, name+"#") }) {
		return "", errors.New("another test of its package has the same name")
	}
	ref, err := ast.ParseRef(test)
	if err != nil {
		return "", err
	}
	return ref.Ptr()
}

// hold is the module of all tests that a module can hold.
func (t *trials) hold(s sources) []byte {
	for len(t.Entrypoints) > 0 {
		tests := util.KeysSorted(t.Entrypoints)
		wasm, err := t.assemble(s, tests)
		if err == nil {
			return wasm
		}
		t.exclude(s, tests, err)
	}
	return nil
}

// exclude finds out, by halves, which of the tests it was that the planner refused: it refuses them all for one.
func (t *trials) exclude(s sources, tests []string, err error) {
	var whole ast.Errors
	found := false
	if len(tests) > 1 && !errors.As(err, &whole) {
		for _, half := range [][]string{tests[:len(tests)/2], tests[len(tests)/2:]} {
			if _, err := t.assemble(s, half); err != nil {
				t.exclude(s, half, err)
				found = true
			}
		}
	}
	if found {
		return
	}
	for _, test := range tests {
		delete(t.Entrypoints, test)
		t.Alone[test] = err.Error()
	}
}

func (t *trials) assemble(s sources, tests []string) ([]byte, error) {
	entrypoints := make([]string, len(tests))
	for i, test := range tests {
		entrypoints[i] = t.Entrypoints[test]
	}
	return assemble("package portcullis\n"+standinRules, s.all(), entrypoints)
}

// settle puts what replaces functions behind what replaces documents: OPA's planner takes the targets of the latter from the
// beginning of the list. The order means nothing otherwise.
func (s sources) settle() {
	functions := map[string]bool{}
	for _, module := range s.all() {
		for _, rule := range module.Rules {
			if len(rule.Head.Args) > 0 {
				functions[absolute(module, rule.Head.Ref())] = true
			}
		}
	}
	for _, module := range s.tests {
		ast.WalkExprs(module, func(e *ast.Expr) bool {
			rank := func(w *ast.With) int {
				ref, ok := w.Target.Value.(ast.Ref)
				switch {
				case !ok || known(ref.String()) || functions[absolute(module, ref)]:
					return 1
				}
				return 0
			}
			slices.SortStableFunc(e.With, func(a, b *ast.With) int { return cmp.Compare(rank(a), rank(b)) })
			return false
		})
	}
}

// absolute is the full name of what a module names by an import of its own, or as a rule of its own.
func absolute(module *ast.Module, ref ast.Ref) string {
	head, _ := ref[0].Value.(ast.Var)
	if head.Equal(ast.DefaultRootDocument.Value) || head.Equal(ast.InputRootDocument.Value) {
		return ref.String()
	}
	for _, imported := range module.Imports {
		if imported.Name().Equal(head) {
			return imported.Path.Value.(ast.Ref).Concat(ref[1:]).String()
		}
	}
	return module.Package.Path.Append(ast.StringTerm(string(head))).Concat(ref[1:]).String()
}
