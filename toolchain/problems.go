package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// problem is a finding at a place. Rows and columns count from 1; 0 where there is no place.
type problem struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	File     string `json:"file"`
	Row      int    `json:"row"`
	Col      int    `json:"col"`
	Hint     string `json:"hint,omitempty"`
	Pattern  string `json:"pattern,omitempty"` // of what is unjudged
}

func refuse(loc *ast.Location, code, message, hint string) problem {
	p := problem{Severity: "error", Code: code, Message: message, Hint: hint}
	if loc != nil {
		p.File, p.Row, p.Col = loc.File, loc.Row, loc.Col
	}
	return p
}

func warn(loc *ast.Location, code, message, hint string) problem {
	p := refuse(loc, code, message, hint)
	p.Severity = "warning"
	return p
}

func failed(problems []problem) bool {
	return slices.ContainsFunc(problems, func(p problem) bool { return p.Severity == "error" })
}

// merge adds what was found besides, but for what the compiler told of the same line in its own words.
func merge(problems, more []problem) []problem {
	told := map[problem]bool{}
	line := func(p problem) problem { return problem{Code: p.Code, File: p.File, Row: p.Row} }
	for _, p := range problems {
		told[line(p)] = true
	}
	return append(problems, slices.DeleteFunc(more, func(p problem) bool { return told[line(p)] })...)
}

// arrange sorts by place and drops what was found twice.
func arrange(problems []problem) []problem {
	slices.SortFunc(problems, func(a, b problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row), cmp.Compare(a.Col, b.Col),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message),
		)
	})
	return append([]problem{}, slices.Compact(problems)...)
}

// fromOPA turns what OPA's parser or compiler returned into problems.
func fromOPA(err error) []problem {
	var list ast.Errors
	if !errors.As(err, &list) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return []problem{refuse(nil, "toolchain_failed", err.Error(), "")}
		}
		list = ast.Errors{one}
	}
	problems := make([]problem, 0, len(list))
	for _, e := range list {
		problems = append(problems, fromError(e))
	}
	return once(problems)
}

// once: the scanner and each parser that was at work tell one mistake of syntax, each in words of its own. One that comes
// with advice is told, else the first.
func once(problems []problem) (told []problem) {
	for _, p := range problems {
		same := slices.IndexFunc(told, func(q problem) bool { return q.Code == ast.ParseErr && p.Code == q.Code && p.Row == q.Row })
		switch {
		case same < 0:
			told = append(told, p)
		case told[same].Hint == "" && p.Hint != "":
			told[same] = p
		}
	}
	return told
}

func fromError(e *ast.Error) problem {
	detail, ok := e.Details.(*ast.RefErrInvalidDetail)
	if !ok || len(detail.Ref) == 0 || !detail.Ref[0].Equal(ast.InputRootDocument) {
		if message, hint := mismatch(e); message != "" {
			return refuse(e.Location, e.Code, message, hint)
		}
		return refuse(e.Location, e.Code, e.Message, advise(e.Message))
	}
	var names []string
	for _, v := range detail.OneOf {
		if s, ok := v.(ast.String); ok {
			names = append(names, string(s))
		}
	}
	name, _ := detail.Ref[detail.Pos].Value.(ast.String)
	return unknownField(e.Location, detail.Ref.String(), string(name), names)
}

func unknownField(loc *ast.Location, ref, name string, names []string) problem {
	hint := meant(name, names)
	if of, ok := strings.CutSuffix(ref, "."+name); ok && len(names) == 0 {
		hint = fmt.Sprintf("a member of a list: %q in %s", name, of)
	}
	if ref == "input.action" {
		hint = "there is no action: listing and calling ask the same question"
	}
	return refuse(loc, "input_unknown", ref+": the input has no such field", hint)
}

// meant says which name was probably meant, or which there are.
func meant(got string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	best, distance := "", 1+max(1, len(got)/3)
	for _, name := range names {
		if d := edits(got, name); d < distance {
			best, distance = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "one of " + strings.Join(names, ", ")
}

// edits is the optimal string alignment distance: two letters that swapped places are one mistake.
func edits(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
