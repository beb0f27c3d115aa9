package main

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
	"github.com/open-policy-agent/opa/v1/util"
)

// checkMembership refuses `x in "text"`, which OPA takes and which never holds: the list stands on the right.
func (c *contract) checkMembership() {
	for _, file := range util.KeysSorted(c.compiler.Modules) {
		ast.WalkRules(c.compiler.Modules[file], func(rule *ast.Rule) bool {
			ast.WalkExprs(rule, func(e *ast.Expr) bool {
				if e.IsCall() && e.Operator().String() == "internal.member_2" && c.scalar(literal{rule}.of(e.Operand(1))) {
					c.add(refuse(e.Location, "value_type", "nothing is in a text, a number or a boolean", `"support" in input.principal.roles`))
				}
				return false
			})
			return false
		})
	}
}

func (c *contract) scalar(t *ast.Term) bool {
	switch v := t.Value.(type) {
	case ast.String, ast.Number, ast.Boolean, ast.Null:
		return true
	case ast.Ref:
		if c.compiler.TypeEnv == nil {
			return false
		}
		switch c.compiler.TypeEnv.GetByRef(v).(type) {
		case types.String, types.Number, types.Boolean, types.Null:
			return true
		}
	}
	return false
}

// ranges are the keywords that bound a value from both sides.
var ranges = []struct {
	lower, upper string
	exclusive    bool
}{
	{"minimum", "maximum", false}, {"minimum", "exclusiveMaximum", true}, {"exclusiveMinimum", "maximum", true},
	{"exclusiveMinimum", "exclusiveMaximum", true}, {"minLength", "maxLength", false}, {"minItems", "maxItems", false},
}

// checkMeetable warns of a bound that lets nothing through, and so hides what it bounds.
func (c *contract) checkMeetable(l literal, where string, bound ast.Object) {
	said := func(key string) ast.Value {
		if t := bound.Get(ast.StringTerm(key)); t != nil {
			return l.of(t).Value
		}
		return nil
	}
	none := func(why string) {
		c.add(warn(place(bound.Keys()[0], l.rule), "bound_unmeetable", fmt.Sprintf("%s lets nothing through: %s", where, why),
			`to hide a target from somebody: deny contains "the reason" if {…}`))
	}
	if list, ok := said("enum").(*ast.Array); ok && list.Len() == 0 {
		none("enum is empty")
	}
	for _, r := range ranges {
		lower, isNumber := said(r.lower).(ast.Number)
		upper, areNumbers := said(r.upper).(ast.Number)
		if !isNumber || !areNumbers {
			continue
		}
		if order := lower.Compare(upper); order > 0 || order == 0 && r.exclusive {
			none(fmt.Sprintf("%s %v and %s %v", r.lower, lower, r.upper, upper))
		}
	}
}
