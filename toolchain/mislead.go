package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/util"
)

// unserved refuses what a file of tests adds to what policies define: the tests would see it, and it decides nothing.
func (s sources) unserved() (problems []problem) {
	served := map[string]bool{}
	for _, module := range s.policies {
		for _, rule := range module.Rules {
			served[documentOf(module, rule).String()] = true
		}
	}
	for _, file := range util.KeysSorted(s.tests) {
		module := s.tests[file]
		for _, rule := range module.Rules {
			ref := documentOf(module, rule)
			if served[ref.String()] || ofContract(ref) {
				problems = append(problems, refuse(rule.Location, "rule_in_test",
					fmt.Sprintf("%s is added to in a file of tests: they alone would see it", written(ref)),
					"a file whose name does not end in _test.rego"))
			}
		}
	}
	return problems
}

// documentOf is the document that a rule makes, or a part of.
func documentOf(module *ast.Module, rule *ast.Rule) ast.Ref {
	name, _ := rule.Head.Ref()[0].Value.(ast.Var)
	return append(slices.Clone(module.Package.Path), ast.StringTerm(string(name)))
}

// vacuous finds tests that would pass whatever the policies say.
func (s sources) vacuous() []problem {
	compiler := s.unchecked(s.all())
	if compiler.Failed() {
		return nil // whoever runs the tests says why
	}
	return s.misleading(compiler)
}

// misleading finds what tests read and nothing defines (`not data.authz.denny` would pass), what is there in any case
// (`data.authz.deny`, also where it is empty), what they give to an input that has no such field, and what never runs.
func (s sources) misleading(compiler *ast.Compiler) []problem {
	problems := append(s.unknownData(compiler, s.tests), s.unrun(compiler)...)
	for _, file := range util.KeysSorted(s.tests) {
		given := mocked(compiler.Modules[file])
		for _, rule := range compiler.Modules[file].Rules {
			conditions(rule, func(e *ast.Expr, negated bool) {
				if ref, ok := bare(e); ok && !negated && !slices.ContainsFunc(given, func(g ast.Ref) bool { return ref.HasPrefix(g) }) {
					if kind := gathered(compiler, ref); kind != "" {
						problems = append(problems, refuse(e.Location, "condition_always",
							fmt.Sprintf("%v is there also when it is empty, so that this always holds", ref), fmt.Sprintf(nonempty[kind], ref)))
					}
				}
				for _, with := range e.With {
					problems = append(problems, s.misgiven(with)...)
				}
			})
		}
	}
	return problems
}

// bare is a condition that is nothing but a ref.
func bare(e *ast.Expr) (ast.Ref, bool) {
	t, ok := e.Terms.(*ast.Term)
	if !ok {
		return nil, false
	}
	ref, ok := t.Value.(ast.Ref)
	return ref, ok
}

// misgiven are the fields that a test gives and no input has.
func (s sources) misgiven(with *ast.With) (problems []problem) {
	ref, ok := with.Target.Value.(ast.Ref)
	if !ok || !ref.HasPrefix(ast.InputRootRef) {
		return nil
	}
	p := path{}
	for _, key := range ref[1:] {
		s, ok := constantStep(key.Value)
		if !ok {
			return nil
		}
		p = append(p, s)
	}
	return s.strange(p, with.Target, with.Value)
}

// strange looks through what is written out.
func (s sources) strange(p path, at, value *ast.Term) (problems []problem) {
	if v := classify(s.schema, p); v.standing == unknown {
		return []problem{unknownField(at.Location, p[:v.at+1].String(), p[v.at].key, v.names)}
	}
	object, ok := value.Value.(ast.Object)
	if !ok {
		return nil
	}
	object.Foreach(func(key, value *ast.Term) {
		if step, ok := constantStep(key.Value); ok {
			problems = append(problems, s.strange(slices.Concat(p, path{step}), key, value)...)
		}
	})
	return problems
}

// unrun warns of a condition among the tests that is no test by its name and that no test reads: its author takes it for one.
func (s sources) unrun(compiler *ast.Compiler) (problems []problem) {
	told := s.readByTests(compiler)
	for _, file := range util.KeysSorted(s.tests) {
		module := s.tests[file]
		for _, rule := range module.Rules {
			document := documentOf(module, rule)
			if rule.Default || isTestRule(rule) || len(rule.Head.Args) > 0 || rule.Head.RuleKind() != ast.SingleValue ||
				!rule.Head.Value.Equal(ast.BooleanTerm(true)) || slices.ContainsFunc(told, func(ref ast.Ref) bool {
				return ref.HasPrefix(document) || document.HasPrefix(ref)
			}) {
				continue
			}
			told = append(told, document)
			problems = append(problems, warn(rule.Location, "rule_unasked",
				fmt.Sprintf("nothing asks for %s, and by its name it is no test", written(document)), "tests are called test_…, or todo_test_… while they are skipped"))
		}
	}
	return problems
}

// readByTests are the documents that tests read, or more of data than one.
func (s sources) readByTests(compiler *ast.Compiler) (refs []ast.Ref) {
	for file := range s.tests {
		for _, rule := range compiler.Modules[file].Rules {
			ast.WalkRefs(rule, func(ref ast.Ref) bool {
				if ref[0].Equal(ast.DefaultRootDocument) {
					refs = append(refs, ref.ConstantPrefix())
				}
				return false
			})
		}
	}
	return refs
}

// isTestRule: by its name the tester runs it, or skips it.
func isTestRule(rule *ast.Rule) bool {
	name, _ := rule.Head.Ref()[0].Value.(ast.Var)
	return strings.HasPrefix(string(name), tester.TestPrefix) || strings.HasPrefix(string(name), tester.SkipTestPrefix)
}
