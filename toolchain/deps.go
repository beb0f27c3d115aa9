package main

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"
	"github.com/open-policy-agent/opa/v1/util"
)

// deps tells what a query reads: base documents, and rules.
func deps(req request) (any, []problem) {
	c, problems := checked(req)
	if failed(problems) {
		return nil, problems
	}
	body, err := ast.ParseBodyWithOpts(req.Query, ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: capabilities})
	if err != nil {
		return nil, append(problems, fromOPA(err)...)
	}
	query, err := c.compiler.QueryCompiler().Compile(body)
	if err != nil {
		return nil, append(problems, fromOPA(err)...)
	}
	base, err := dependencies.Base(c.compiler, query)
	if err != nil {
		panic(err)
	}
	virtual, err := dependencies.Virtual(c.compiler, query)
	if err != nil {
		panic(err)
	}
	return map[string]any{"report": map[string]any{"base": texts(base), "virtual": texts(virtual)}}, problems
}

func texts(refs []ast.Ref) []string {
	out := map[string]bool{}
	for _, ref := range refs {
		out[fmt.Sprint(ref)] = true
	}
	return util.KeysSorted(out)
}
