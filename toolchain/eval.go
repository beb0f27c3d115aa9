package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
)

type solution struct {
	Value    any            `json:"value"`
	Bindings map[string]any `json:"bindings"`
}

// eval evaluates a query with OPA's own evaluator; without one, the capability and the requirements of the input.
func eval(req request) (any, []problem) {
	c, problems := load(req)
	if failed(problems) {
		return nil, problems
	}
	if req.Query == "" {
		req.Query = fmt.Sprintf(`{"grants": %s, "limits": %s, "denials": %s, "holds": %s}`,
			c.document("grant"), c.document("limit"), c.document("deny"), c.requirements())
	}
	var printed bytes.Buffer
	results, err := rego.New(
		rego.Query(req.Query),
		rego.Compiler(c.compiler),
		rego.Store(inmem.NewFromObject(c.data)),
		rego.Input(req.Input),
		rego.EnablePrintStatements(true),
		rego.PrintHook(topdown.NewPrintHook(&printed)),
	).Eval(context.Background())
	if err != nil {
		return nil, append(problems, fromOPA(err)...)
	}
	solutions := []solution{}
	for _, r := range results {
		s := solution{Bindings: sane(map[string]any(r.Bindings)).(map[string]any)}
		for _, e := range r.Expressions {
			s.Value = sane(e.Value) // of the last expression
		}
		solutions = append(solutions, s)
	}
	return map[string]any{"report": map[string]any{"results": solutions, "output": printed.String()}}, problems
}

func (c *contract) requirements() string {
	if len(c.holds) == 0 {
		return "{}"
	}
	return "data.authz.holds"
}
