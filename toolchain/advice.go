package main

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// advice is what to write instead, by what OPA says.
var advice = []struct{ said, write string }{
	{"`contains` keyword is required", `deny contains "the reason" if {…}`},
	{"`if` keyword is required", `if stands before the body: deny contains "the reason" if {…}`},
	{"illegal escape sequence", "in backquotes a backslash is itself: `\\d+`"},
	{"illegal token", "texts stand in double quotes or in backquotes"},
	{"illegal ! character", "not negates a condition, and != compares"},
	{"unexpected eq token", "== compares"},
	{"unexpected or token", "either: two rules of one name, or input.server in {\"a\", \"b\"}"},
	{"unexpected and token", "both: a condition on each line, or ; between them"},
	{"expected \\n or ; or }", "a condition ends with its line or at a ;, and the body with a }"},
	{"unexpected , token", "conditions stand on lines of their own, or behind a ;"},
	{"unexpected } token", "it closes nothing, or what should stand before it is missing"},
	{"unexpected if keyword", `what it is about stands before if: deny contains "the reason" if {…}`},
	{"unexpected package", "a file is of one package, which its first line names"},
	{"yaml:", `METADATA is YAML: a text with a colon stands in quotes: title: "a: b"`},
	{"rule name", "a condition stands on a line of its own, or behind a ;"},
	{"package expected", "the first line is the package: package authz"},
	{"empty module", "the first line is the package: package authz"},
	{"unexpected eof", "a bracket or brace before here is not closed"},
	{"non-terminated string", "a quote is missing at its end, or before it"},
	{"non-terminated", "a comma or a closing bracket is missing before here"},
	{"cannot assign to ref", "== compares, := gives a name"},
	{"is unsafe", "nothing gives it a value: some role in input.principal.roles"},
	{"assigned var", "nothing reads it: == compares, some x gives a name to what is to be found"},
	{"unused", "nothing reads it: take it out"},
	{"is recursive", "no rule may need its own answer"},
}

func advise(message string) string {
	if name, ok := strings.CutPrefix(message, "undefined function "); ok {
		if dot := strings.Index(name, "."); dot > 0 {
			return fmt.Sprintf("if %s is a package of yours: import data.%[1]s", name[:dot])
		}
		return "no builtin and no rule of this package is called so"
	}
	for _, a := range advice {
		if strings.Contains(message, a.said) {
			return a.write
		}
	}
	return ""
}

// mismatch says which types do not fit, and what is meant most often: a text is compared with the list that may hold it.
func mismatch(e *ast.Error) (message, hint string) {
	switch detail := e.Details.(type) {
	case *ast.UnificationErrDetail:
		message = fmt.Sprintf("%s: %s is never %s", e.Message, types.Sprint(detail.Left), types.Sprint(detail.Right))
		if holds(detail.Left, detail.Right) || holds(detail.Right, detail.Left) {
			hint = `"support" in input.principal.roles`
		}
	case *ast.ArgErrDetail:
		message = fmt.Sprintf("%s: %s", e.Message, strings.Join(detail.Lines(), ", "))
	}
	return message, hint
}

func holds(list, one types.Type) bool {
	array, ok := list.(*types.Array)
	return ok && types.Compare(types.Values(array), one) == 0
}
