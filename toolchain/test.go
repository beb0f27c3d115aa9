package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

type testCase struct {
	Package  string    `json:"package"`
	Test     string    `json:"test"` // the rule
	Name     string    `json:"name"` // of the rule, or of one case of it
	File     string    `json:"file"`
	Row      int       `json:"row"`
	Col      int       `json:"col"`
	Outcome  string    `json:"outcome"`
	MS       float64   `json:"ms"`
	Output   string    `json:"output"`
	FailedAt *failedAt `json:"failedAt"`
	Error    string    `json:"error"`
}

type failedAt struct {
	File       string         `json:"file"`
	Row        int            `json:"row"`
	Expression string         `json:"expression"`
	Values     map[string]any `json:"values"`
}

// test runs the tests. Those that fail run a second time with a trace, which tells where and with which values: a trace
// of all would be large, and excludes coverage.
func test(req request) (any, []problem) {
	s, problems := parse(req)
	if failed(problems) {
		return nil, problems
	}
	if problems = append(refusedCalls(s.all()), s.unserved()...); failed(problems) {
		return nil, problems
	}
	if problems = s.vacuous(); failed(problems) {
		return nil, problems
	}
	var covered *cover.Cover
	if req.Coverage {
		covered = cover.New()
	}
	cases, failing, err := s.run(req.Run, covered, false)
	if err == nil && len(failing) > 0 {
		var again []testCase
		again, _, err = s.run("^("+strings.Join(failing, "|")+")$", nil, true)
		explain(cases, again)
	}
	if err != nil {
		return nil, fromOPA(err)
	}
	report := map[string]any{"tests": cases, "coverage": nil, "warnings": arrange(problems)}
	if covered != nil {
		report["coverage"] = coverage(covered.Report(s.policies))
	}
	return map[string]any{"report": report}, problems
}

// run runs the tests whose name matches, and says which failed.
func (s sources) run(filter string, covered *cover.Cover, traced bool) (cases []testCase, failing []string, err error) {
	ctx := context.Background()
	store := inmem.NewFromObject(s.data)
	txn, err := store.NewTransaction(ctx, storage.TransactionParams{})
	if err != nil {
		return nil, nil, err
	}
	defer store.Abort(ctx, txn)
	runner := tester.NewRunner().
		SetCompiler(s.compiler().WithRewriteTestRules(traced)).
		SetStore(store).
		SetModules(s.all()).
		CapturePrintOutput(true).
		EnableTracing(traced).
		RaiseBuiltinErrors(traced).
		SetTimeout(time.Hour). // nothing inside can be interrupted: the host ends the instance
		Filter(filter)
	if covered != nil {
		runner.SetCoverageQueryTracer(covered)
	}
	results, err := runner.RunTests(ctx, txn)
	if err != nil {
		return nil, nil, err
	}
	cases = []testCase{}
	for r := range results {
		cases = append(cases, casesOf(r, s.driven(r))...)
		if r.Fail {
			failing = append(failing, regexp.QuoteMeta(r.Package+"."+r.Name))
		}
	}
	slices.SortFunc(cases, func(a, b testCase) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row), cmp.Compare(a.Name, b.Name))
	})
	return cases, failing, nil
}

// driven: a rule with a case for each key.
func (s sources) driven(r *tester.Result) bool {
	module := s.all()[r.Location.File]
	return slices.ContainsFunc(module.Rules, func(rule *ast.Rule) bool {
		return rule.Location.Row == r.Location.Row && !rule.Head.Ref().IsGround()
	})
}

// casesOf is one case, or one for each case of a data-driven test. OPA lets one pass that came to no case.
func casesOf(r *tester.Result, driven bool) []testCase {
	whole := testCase{
		Package: r.Package, Test: r.Name, Name: r.Name, Outcome: "pass",
		File: r.Location.File, Row: r.Location.Row, Col: r.Location.Col,
		MS: float64(r.Duration.Microseconds()) / 1000, Output: string(r.Output), FailedAt: where(r.Trace),
	}
	switch {
	case r.Skip:
		whole.Outcome = "skip"
	case r.Error != nil:
		whole.Outcome, whole.Error = "error", r.Error.Error()
	case r.Fail:
		whole.Outcome = "fail"
	}
	var cases []testCase
	for names, sub := range r.SubResults.Iter {
		if len(sub.SubResults) > 0 {
			continue
		}
		one := whole
		one.Name, one.Outcome, one.FailedAt = r.Name+"/"+strings.Join(names, "/"), "pass", where(sub.Trace)
		if sub.Fail {
			one.Outcome = "fail"
		}
		cases = append(cases, one)
	}
	if len(cases) == 0 && driven && whole.Outcome == "pass" {
		whole.Outcome, whole.Error = "fail", "it came to no case"
	}
	if len(cases) == 0 || whole.Outcome == "error" {
		return []testCase{whole}
	}
	return cases
}

// explain copies what the traced run found out.
func explain(cases, again []testCase) {
	for i := range cases {
		same := slices.IndexFunc(again, func(c testCase) bool { return c.Package == cases[i].Package && c.Name == cases[i].Name })
		if same >= 0 && cases[i].Outcome == "fail" && cases[i].Error == "" {
			cases[i].FailedAt, cases[i].Error = again[same].FailedAt, again[same].Error
		}
	}
}

// where is the last expression that failed.
func where(trace []*topdown.Event) *failedAt {
	for _, e := range slices.Backward(trace) {
		expr, ok := e.Node.(*ast.Expr)
		if e.Op != topdown.FailOp || !ok || e.Location == nil || e.QueryID == 0 {
			continue
		}
		if _, every := expr.Terms.(*ast.Every); every {
			continue // the failing expression inside it says more
		}
		return &failedAt{e.Location.File, e.Location.Row, string(e.Location.Text), valuesAt(e, expr)}
	}
	return nil
}

// valuesAt are the values of the variables and of the input that an expression names.
func valuesAt(e *topdown.Event, expr *ast.Expr) map[string]any {
	values := map[string]any{}
	ast.WalkVars(expr, func(v ast.Var) bool {
		if meta, ok := e.LocalMetadata[v]; ok && e.Locals != nil {
			if bound := e.Locals.Get(v); bound != nil {
				values[named(meta)] = value(bound)
			}
		}
		return false
	})
	ast.WalkRefs(expr, func(ref ast.Ref) bool {
		if len(ref) > 1 && ref.HasPrefix(ast.InputRootRef) && ref.IsGround() && e.Input() != nil {
			if found, err := e.Input().Value.Find(ref[1:]); err == nil {
				values[ref.String()] = value(found)
			}
		}
		return false
	})
	return values
}

// named: what the author wrote, where the compiler made a variable of it.
func named(meta topdown.VarMetadata) string {
	if meta.Name.IsGenerated() && meta.Location != nil {
		return string(meta.Location.Text)
	}
	return fmt.Sprint(meta.Name)
}
