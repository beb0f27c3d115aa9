package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
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
