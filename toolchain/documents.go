package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/dependencies"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/util"
)

// reformat returns the files that formatting changes.
func reformat(req request) (any, []problem) {
	changed := map[string]string{}
	var problems []problem
	for _, file := range util.KeysSorted(req.Files) {
		out, err := format.SourceWithOpts(file, []byte(req.Files[file]), format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			problems = append(problems, fromOPA(err)...)
		} else if formatted := dotted(file, string(out)); formatted != req.Files[file] {
			changed[file] = formatted
		}
	}
	return map[string]any{"changed": changed}, problems
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// dotted writes `holds.x` where OPA's formatter writes `holds["x"]`.
func dotted(file, source string) string {
	module, err := ast.ParseModuleWithOpts(file, source, ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		panic(err)
	}
	lines := strings.Split(source, "\n")
	for _, rule := range module.Rules {
		ref := rule.Head.Ref()
		if len(ref) != 2 {
			continue
		}
		name, ok := ref[1].Value.(ast.String)
		if ok && identifier.MatchString(string(name)) && !ast.IsKeyword(string(name)) {
			line := &lines[rule.Head.Location.Row-1]
			*line = strings.Replace(*line, fmt.Sprintf("%v[%q]", ref[0], string(name)), fmt.Sprintf("%v.%s", ref[0], string(name)), 1)
		}
	}
	return strings.Join(lines, "\n")
}

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
			rules = append(rules, c.describe(kind, reason(kind, rule), rule))
		}
	}
	for _, name := range util.KeysSorted(c.holds) {
		for _, rule := range c.holds[name] {
			rules = append(rules, c.describe("holds", name, rule))
		}
	}
	return map[string]any{"report": map[string]any{"packages": packages, "rules": rules}}, problems
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
func reason(kind string, rule *ast.Rule) string {
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
