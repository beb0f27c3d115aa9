package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// checkData refuses what is read below data and never there: it is undefined for as long as these policies are in force,
// so that a denial which reads it never applies.
func (c *contract) checkData() {
	c.add(c.unknownData(c.compiler, c.policies)...)
	if there, _ := c.hasData([]string{"portcullis"}); there {
		c.add(refuse(nil, "data_reserved", "a data.json defines portcullis, which is the gateway's own", "give the data another name"))
	}
	for _, name := range asked {
		if there, _ := c.hasData([]string{"authz", name}); there {
			c.add(refuse(nil, "data_reserved", fmt.Sprintf("a data.json defines authz.%s, but rules alone are asked", name),
				"give the data another name, and let a rule read it"))
		}
	}
}

// unknownData looks through some of what was compiled.
func (s sources) unknownData(compiler *ast.Compiler, files map[string]*ast.Module) (problems []problem) {
	for _, file := range util.KeysSorted(files) {
		module := compiler.Modules[file]
		given := mocked(module)
		for _, rule := range module.Rules {
			ast.WalkTerms(rule, func(t *ast.Term) bool {
				ref, ok := t.Value.(ast.Ref)
				if !ok || !ref[0].Equal(ast.DefaultRootDocument) || slices.ContainsFunc(given, ref.HasPrefix) ||
					slices.ContainsFunc(given, func(whole ast.Ref) bool { return whole.HasPrefix(ref) }) {
					return false
				}
				if at, names := missing(compiler, ref.ConstantPrefix(), s.data); at > 0 {
					problems = append(problems, noData(place(t, rule), ref[:at+1], names))
				}
				return false
			})
		}
	}
	return problems
}

func noData(loc *ast.Location, ref ast.Ref, names []string) problem {
	name, _ := ref[len(ref)-1].Value.(ast.String)
	hint := meant(string(name), names)
	if !strings.HasPrefix(hint, "did you mean") {
		hint = "define it; of data only files that are called data.json are read"
	}
	return refuse(loc, "data_unknown", fmt.Sprintf("%v: no rule and no data.json defines it", ref), hint)
}

// mocked are what tests give with `with`.
func mocked(module *ast.Module) (refs []ast.Ref) {
	ast.NewGenericVisitor(func(x any) bool {
		if with, ok := x.(*ast.With); ok {
			if ref, ok := with.Target.Value.(ast.Ref); ok {
				refs = append(refs, ref)
			}
		}
		return false
	}).Walk(module)
	return refs
}

// missing is the place in a ref from which on there is nothing, and what there is instead; 0: there may be something.
func missing(compiler *ast.Compiler, ref ast.Ref, data map[string]any) (int, []string) {
	tree := compiler.RuleTree.Child(ast.DefaultRootDocument.Value)
	var document any = data
	for at := 1; at < len(ref); at++ {
		key, ok := ref[at].Value.(ast.String)
		if !ok || tree != nil && len(tree.Values) > 0 {
			return 0, nil // an element, or within what a rule makes
		}
		object, _ := document.(map[string]any)
		names := util.Keys(object)
		if tree != nil {
			for child := range tree.Children {
				if name, ok := child.(ast.String); ok {
					names = append(names, string(name))
				}
			}
			tree = tree.Child(key)
		}
		if !slices.Contains(names, string(key)) {
			return at, names
		}
		document = object[string(key)]
	}
	return 0, nil
}
