package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/util"
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
	whole := req.Query == ""
	if whole {
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
		if answer, ok := s.Value.(map[string]any); ok && whole {
			c.withhold(answer, req.Input)
		}
		solutions = append(solutions, s)
	}
	return map[string]any{"report": map[string]any{"results": solutions, "output": printed.String()}}, problems
}

// requirements is an object: each that the layer defines, and whether it holds.
func (c *contract) requirements() string {
	asked := []string{}
	for _, name := range util.KeysSorted(c.holds) {
		asked = append(asked, fmt.Sprintf("%[1]s: object.get(data.authz.holds, %[1]s, false)", ast.String(name).String()))
	}
	return "{" + strings.Join(asked, ", ") + "}"
}

// withhold: without an argument that it reads no requirement holds at the gateway, whatever its rule says.
func (c *contract) withhold(answer map[string]any, input any) {
	c.checkReads()
	c.checkMetadata()
	holds, lacking := answer["holds"].(map[string]any), map[string]any{}
	for _, r := range c.facts.Requirements {
		pointers := []string{}
		for _, path := range r.ArgumentsRead {
			if !slices.Contains(r.Optional, path[0]) && !has(input, append([]string{"arguments"}, path...)) {
				pointers = append(pointers, pointer(path))
			}
		}
		if len(pointers) > 0 {
			holds[r.Name], lacking[r.Name] = false, pointers
		}
	}
	answer["missing"] = lacking
}

func has(value any, path []string) bool {
	for _, key := range path {
		object, _ := value.(map[string]any)
		member, ok := object[key]
		if !ok {
			return false
		}
		value = member
	}
	return true
}

// pointer is a JSON Pointer (RFC 6901).
func pointer(path []string) string {
	escaped := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, key := range path {
		b.WriteString("/" + escaped.Replace(key))
	}
	return b.String()
}
