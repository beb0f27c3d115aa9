package main

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// nameFact is a text that a policy compares a field of the input with, or a field of the tenant's record: what only the
// configuration can tell to be misspelt.
type nameFact struct {
	Path     string  `json:"path"` // below input
	Text     string  `json:"text"`
	Upstream *string `json:"upstream"` // that the rule compares input.target.upstream with
	File     string  `json:"file"`
	Row      int     `json:"row"`
	Col      int     `json:"col"`
}

// names are found as they are written: the compiler would have moved them apart.
func (c *contract) names() []nameFact {
	found := []nameFact{}
	for _, file := range util.KeysSorted(c.policies) {
		for _, rule := range c.policies[file].Rules {
			add := func(at *ast.Term, path, text string) {
				loc := place(at, rule)
				found = append(found, nameFact{path, text, upstreamWritten(rule), loc.File, loc.Row, loc.Col})
			}
			literals(rule, func(field string, text *ast.Term) {
				add(text, field, string(text.Value.(ast.String)))
			})
			ast.WalkTerms(rule, func(t *ast.Term) bool {
				if member, ok := strings.CutPrefix(inputField(t), "tenant."); ok {
					add(t, "tenant", member)
				}
				return false
			})
		}
	}
	return found
}

// literals tells which field of the input is compared with which text.
func literals(rule *ast.Rule, tell func(field string, text *ast.Term)) {
	ast.NewGenericVisitor(func(x any) bool {
		var operator string
		var operands []*ast.Term
		switch x := x.(type) {
		case *ast.Expr:
			if x.IsCall() {
				operator, operands = x.Operator().String(), x.Operands()
			}
		case ast.Call:
			operator, operands = x[0].Value.String(), x[1:]
		}
		if len(operands) != 2 {
			return false
		}
		switch operator {
		case "eq", "equal", "neq":
			pair(operands[0], operands[1], tell)
			pair(operands[1], operands[0], tell)
		case "internal.member_2":
			pair(operands[1], operands[0], tell)
			literal{rule}.elements(operands[1], func(e *ast.Term) { pair(operands[0], e, tell) })
		}
		return false
	}).Walk(rule)
}

func pair(field, text *ast.Term, tell func(field string, text *ast.Term)) {
	if _, ok := text.Value.(ast.String); !ok {
		return
	}
	if path := inputField(field); path != "" {
		tell(path, text)
	}
}

// inputField is a ref below input as text, as far as it is field by field: "target.name".
func inputField(t *ast.Term) string {
	ref, ok := t.Value.(ast.Ref)
	if !ok || !ref[0].Equal(ast.InputRootDocument) {
		return ""
	}
	var keys []string
	for _, key := range ref[1:] {
		name, ok := key.Value.(ast.String)
		if !ok {
			break
		}
		keys = append(keys, string(name))
	}
	return strings.Join(keys, ".")
}

func upstreamWritten(rule *ast.Rule) (name *string) {
	for _, e := range rule.Body {
		if e.Negated || !e.IsCall() || e.Operator().String() != "equal" && !e.IsEquality() {
			continue
		}
		for at := range 2 {
			pair(e.Operand(at), e.Operand(1-at), func(field string, text *ast.Term) {
				if field == "target.upstream" {
					text := string(text.Value.(ast.String))
					name = &text
				}
			})
		}
	}
	return name
}
