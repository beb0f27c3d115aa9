package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/compile"
	"github.com/open-policy-agent/opa/v1/util"
)

type built struct {
	Wasm  []byte `json:"wasm"` // base64
	Facts facts  `json:"facts"`
}

// build compiles policies and our entrypoints to one module.
func build(req request) (any, []problem) {
	c, problems := checked(req)
	if failed(problems) {
		return nil, problems
	}
	wasm, err := c.wasm()
	if err != nil {
		return nil, append(problems, fromOPA(err)...)
	}
	return built{wasm, c.facts}, problems
}

// entrypoints is the module that the engine calls: the capability for each target in one evaluation, and the named
// requirements, each in a rule of its own so that the others are never evaluated.
func (c *contract) entrypoints() string {
	var b strings.Builder
	b.WriteString("package portcullis\n")
	b.WriteString("capabilities := [answer | some target in input.targets; answer := data.portcullis.capability with input.target as target]\n")
	fmt.Fprintf(&b, "capability := {\"grants\": %s, \"limits\": %s, \"denials\": %s}\n", c.document("grant"), c.document("limit"), c.document("deny"))
	b.WriteString(c.legible())
	b.WriteString(standinRules)
	b.WriteString("requirements contains name if { some name in set() }\n")
	for _, name := range util.KeysSorted(c.holds) {
		fmt.Fprintf(&b, "requirements contains %[1]s if { %[1]s in input.requires; data.authz.holds[%[1]s] == true }\n", ast.String(name).String())
	}
	return b.String()
}

// document is a set of the contract; one that no rule defines is empty.
func (c *contract) document(kind string) string {
	if len(c.rules[kind]) == 0 {
		return "set()"
	}
	return "data.authz." + kind
}

func (c *contract) wasm() ([]byte, error) {
	entrypoints := []string{"portcullis/capabilities", "portcullis/requirements"}
	if len(c.patterns) > 0 {
		entrypoints = append(entrypoints, "portcullis/patterns")
	}
	return assemble(c.entrypoints(), c.policies, entrypoints)
}

// assemble compiles the modules, and ours among them, to one that runs.
func assemble(ours string, modules map[string]*ast.Module, entrypoints []string) ([]byte, error) {
	own, err := ast.ParseModule("portcullis.rego", ours)
	if err != nil {
		return nil, err
	}
	b := &bundle.Bundle{Data: map[string]any{}}
	b.Manifest.Init()
	b.Manifest.SetRegoVersion(ast.RegoV1)
	add := func(file string, module *ast.Module) {
		b.Modules = append(b.Modules, bundle.ModuleFile{URL: file, Path: file, Parsed: module})
	}
	add("portcullis.rego", own)
	for _, file := range util.KeysSorted(modules) {
		add("policies/"+file, standIn(modules[file]))
	}
	compiler := compile.New().
		WithCapabilities(hosted).
		WithRegoVersion(ast.RegoV1).
		WithTarget(compile.TargetWasm).
		WithPruneUnused(true).
		WithEntrypoints(entrypoints...).
		WithBundle(b)
	if err := compiler.Build(context.Background()); err != nil {
		return nil, err
	}
	return compiler.Bundle().WasmModules[0].Raw, nil
}
