package main

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

type packageFact struct {
	Path        string `json:"path"`
	Title       string `json:"title"`
	Description string `json:"description"`
	File        string `json:"file"`
}

type ruleFact struct {
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	Title       string `json:"title"`
	Description string `json:"description"`
	File        string `json:"file"`
	Row         int    `json:"row"`
}

// inspect tells what policy documentation is made of.
func inspect(req request) (any, []problem) {
	c, problems := checked(req)
	if failed(problems) {
		return nil, problems
	}
	packages, rules := []packageFact{}, []ruleFact{}
	for _, file := range util.KeysSorted(c.compiler.Modules) {
		module := c.compiler.Modules[file]
		fact := packageFact{Path: module.Package.Path.String(), File: file}
		for _, a := range module.Annotations {
			if a.Scope == "package" {
				fact.Title, fact.Description = a.Title, a.Description
			}
		}
		packages = append(packages, fact)
	}
	for _, kind := range kinds {
		for _, rule := range c.rules[kind] {
			rules = append(rules, c.describe(kind, reason(rule), rule))
		}
	}
	for _, name := range util.KeysSorted(c.holds) {
		for _, rule := range c.holds[name] {
			rules = append(rules, c.describe("holds", name, rule))
		}
	}
	return map[string]any{"report": map[string]any{"packages": packages, "rules": rules, "names": c.names()}}, problems
}

func (c *contract) describe(kind, name string, rule *ast.Rule) ruleFact {
	fact := ruleFact{Kind: kind, Name: name, File: rule.Location.File, Row: rule.Location.Row}
	for _, a := range annotations(c.compiler, rule) {
		if fact.Title == "" {
			fact.Title = a.Title
		}
		if fact.Description == "" {
			fact.Description = a.Description
		}
	}
	return fact
}

// reason is what a grant or denial says of itself, where literal.
func reason(rule *ast.Rule) string {
	l := literal{rule}
	switch v := l.of(rule.Head.Key).Value.(type) {
	case ast.String:
		return string(v)
	case ast.Object:
		if text := l.text(v, "reason"); text != nil {
			return *text
		}
	}
	return ""
}
