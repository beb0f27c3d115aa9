package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

//go:embed capabilities.json
var capabilitiesText []byte

// vocabulary is what policies may call: what the engine's module has itself, what it gets wrong and its host does instead,
// what the host adds for the clock, what only tests and print need, and for the rest what to write instead (a trailing dot
// stands for a family).
var vocabulary = func() (v struct {
	Native, Hosted, Clock, Tests []string
	Refused                      map[string]string
}) {
	if err := json.Unmarshal(capabilitiesText, &v); err != nil {
		panic(err)
	}
	return v
}()

// capabilities are OPA's own, cut down to the vocabulary. Rego v2 stays out: its `not` holds for what is missing.
var capabilities = func() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	allowed := slices.Concat(vocabulary.Native, vocabulary.Hosted, vocabulary.Clock, vocabulary.Tests)
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return !slices.Contains(allowed, b.Name) })
	if len(c.Builtins) != len(allowed) {
		panic("capabilities.json names a builtin that OPA does not have")
	}
	c.Features = []string{ast.FeatureRegoV1, ast.FeatureKeywordsInRefs, ast.FeatureTemplateStrings}
	c.AllowNet = []string{}
	return c
}()

// sources are one layer's policies, parsed.
type sources struct {
	policies map[string]*ast.Module
	tests    map[string]*ast.Module
	data     map[string]any
	schema   any
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.rego") }

func parse(req request) (sources, []problem) {
	s := sources{map[string]*ast.Module{}, map[string]*ast.Module{}, req.Data, req.Schema}
	var problems []problem
	for _, file := range util.KeysSorted(req.Files) {
		if loc := loneReturn(file, req.Files[file]); loc != nil {
			problems = append(problems, refuse(loc, "line_end", "a carriage return alone ends no line in Rego, and a comment goes on behind it",
				"end lines with a line feed"))
			continue
		}
		module, err := ast.ParseModuleWithOpts(file, req.Files[file], ast.ParserOptions{
			ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: capabilities,
		})
		switch {
		case err != nil:
			problems = append(problems, fromOPA(err)...)
		case isTest(file):
			s.tests[file] = module
		default:
			s.policies[file] = module
		}
	}
	return s, problems
}

// loneReturn is where a line seems to end: whoever reads the rule behind such a comment believes that it is in force.
func loneReturn(file, source string) *ast.Location {
	for row, line := range strings.Split(source, "\n") {
		if at := strings.Index(strings.TrimSuffix(line, "\r"), "\r"); at >= 0 {
			return ast.NewLocation(nil, file, row+1, utf8.RuneCountInString(line[:at])+1)
		}
	}
	return nil
}

// all are the policies with their tests.
func (s sources) all() map[string]*ast.Module {
	modules := maps.Clone(s.policies)
	maps.Copy(modules, s.tests)
	return modules
}

// compiler is strict, knows the input's schema, and refuses packages that collide with data.
func (s sources) compiler() *ast.Compiler {
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, typed(s.schema))
	return ast.NewCompiler().
		SetErrorLimit(100).
		WithCapabilities(capabilities).
		WithStrict(true).
		WithEnablePrintStatements(true).
		WithSchemas(schemas).
		WithPathConflictsCheck(s.hasData)
}

func (s sources) hasData(path []string) (bool, error) {
	var at any = s.data
	for _, key := range path {
		object, ok := at.(map[string]any)
		if !ok {
			return false, nil
		}
		if at, ok = object[key]; !ok {
			return false, nil
		}
	}
	return true, nil
}

// compile returns what the compiler made of the modules, or the problems it found.
func (s sources) compile(modules map[string]*ast.Module) (*ast.Compiler, []problem) {
	problems := refusedCalls(modules)
	c := s.compiler()
	c.Compile(modules)
	for _, e := range c.Errors {
		if name, ok := strings.CutPrefix(e.Message, "undefined function "); ok && known(name) {
			continue // refusedCalls says it better
		}
		problems = append(problems, fromError(e))
	}
	if len(problems) == 0 && c.Failed() {
		problems = append(problems, fromOPA(c.Errors)...)
	}
	return c, problems
}

// unchecked compiles as far as it can. Recursion alone it still refuses: whoever follows the calls would not come back.
func (s sources) unchecked(modules map[string]*ast.Module) *ast.Compiler {
	c := ast.NewCompiler().WithCapabilities(capabilities).WithEnablePrintStatements(true).WithSkipStages(
		ast.StageCheckUnusedImports, ast.StageCheckKeywordOverrides, ast.StageCheckDuplicateImports, ast.StageCheckVoidCalls,
		ast.StageCheckRuleConflicts, ast.StageCheckUndefinedFuncs, ast.StageCheckSafetyRuleHeads,
		ast.StageCheckSafetyRuleBodies, ast.StageCheckTypes, ast.StageCheckUnsafeBuiltins, ast.StageCheckDeprecatedBuiltins,
	)
	c.Compile(modules)
	return c
}

func known(builtin string) bool {
	_, ok := ast.BuiltinMap[builtin]
	return ok
}

// refusedCalls finds builtins of OPA that the engine lacks or gets wrong.
func refusedCalls(modules map[string]*ast.Module) []problem {
	allowed := map[string]bool{}
	for _, b := range capabilities.Builtins {
		allowed[b.Name] = true
	}
	var problems []problem
	for _, module := range modules {
		ast.NewGenericVisitor(func(x any) bool {
			if ref, ok := x.(ast.Ref); ok {
				if name := ref.String(); known(name) && !allowed[name] {
					problems = append(problems, refuse(ref[0].Location, "builtin_refused",
						fmt.Sprintf("%s is not available to policies", name), instead(name)))
				}
			}
			return false
		}).Walk(module)
	}
	return problems
}

func instead(builtin string) string {
	for name, hint := range vocabulary.Refused {
		if name == builtin || strings.HasSuffix(name, ".") && strings.HasPrefix(builtin, name) {
			return hint
		}
	}
	return "the engine does not have it: put what it would compute into data or the tenant's record"
}
