package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
	"github.com/open-policy-agent/opa/v1/util"
)

// kindSet are the kinds that a value may be of; empty: nobody knows.
type kindSet map[string]bool

func (k kindSet) String() string { return strings.Join(util.KeysSorted(k), " or ") }

// apart: a value of the one is never one of the other.
func apart(a, b kindSet) bool {
	return len(a) > 0 && len(b) > 0 && !slices.ContainsFunc(util.Keys(a), func(kind string) bool { return b[kind] })
}

// checkKinds refuses comparisons that OPA lets pass and whose answer is known: Rego orders values of different kinds by their
// kind, and nothing is known of data to the type checker.
func (c *contract) checkKinds(rule *ast.Rule, e *ast.Expr) {
	if !e.IsCall() || len(e.Operands()) != 2 {
		return
	}
	a, b := e.Operand(0), e.Operand(1)
	name := e.Operator().String()
	if name == "internal.member_2" {
		c.checkElements(rule, e, a, b)
		return
	}
	if !comparisons[name] || ast.IsConstant(a.Value) && ast.IsConstant(b.Value) || c.asksWhetherSet(rule, a, b) {
		return
	}
	one, other := c.kindsOf(rule, a), c.kindsOf(rule, b)
	if apart(one, other) {
		c.add(refuse(e.Location, "value_type", fmt.Sprintf("%v is compared with %v, so that the answer is always the same", one, other), ""))
	}
}

// asksWhetherSet: data changes without the rule, and what is null there is not set.
func (c *contract) asksWhetherSet(rule *ast.Rule, operands ...*ast.Term) bool {
	return slices.ContainsFunc(operands, func(t *ast.Term) bool { return literal{rule}.of(t).Value.Compare(ast.NullValue) == 0 }) &&
		slices.ContainsFunc(operands, func(t *ast.Term) bool {
			ref, ok := literal{rule}.of(t).Value.(ast.Ref)
			_, isDatum := c.datum(ref)
			return ok && isDatum
		})
}

// checkElements: `in` looks through the values of an object, not through its keys.
func (c *contract) checkElements(rule *ast.Rule, e *ast.Expr, element, list *ast.Term) {
	ref, ok := literal{rule}.of(list).Value.(ast.Ref)
	if !ok {
		return
	}
	document, _ := c.datum(ref)
	elements := kindSet{}
	switch document := document.(type) {
	case []any:
		for _, value := range document {
			elements[jsonKind(value)] = true
		}
	case map[string]any:
		for _, value := range document {
			elements[jsonKind(value)] = true
		}
	}
	if kinds := c.kindsOf(rule, element); apart(kinds, elements) {
		hint := ""
		if _, isObject := document.(map[string]any); isObject {
			hint = fmt.Sprintf("among its keys: object.keys(%v)", ref)
		}
		c.add(refuse(e.Location, "value_type", fmt.Sprintf("%v is looked for in %v, which holds %v", kinds, ref, elements), hint))
	}
}

// checkLookups: a list has no member of a name.
func (c *contract) checkLookups(rule *ast.Rule) {
	ast.WalkRefs(rule, func(ref ast.Ref) bool {
		for at := 1; at < len(ref); at++ {
			document, ok := c.datum(ref[:at])
			if _, isList := document.([]any); ok && isList && apart(c.kindsOf(rule, ref[at]), kindSet{"number": true}) {
				c.add(refuse(place(ref[at], rule), "value_type", fmt.Sprintf("%v is a list, which has no names to look up", ref[:at]), fmt.Sprintf("%v in %v", literal{rule}.of(ref[at]), ref[:at])))
			}
		}
		return false
	})
}

func (c *contract) kindsOf(rule *ast.Rule, t *ast.Term) kindSet {
	t = literal{rule}.of(t)
	switch v := t.Value.(type) {
	case ast.Var:
		return kindsIn(c.resultOf(rule, v))
	case ast.Ref:
		if document, ok := c.datum(v); ok {
			if document == nil {
				return nil
			}
			return kindSet{jsonKind(document): true}
		}
	}
	if c.compiler.TypeEnv == nil {
		return nil
	}
	return kindsIn(c.compiler.TypeEnv.GetByValue(t.Value))
}

// resultOf is the type of what a builtin gives, where the compiler made a variable of it.
func (c *contract) resultOf(rule *ast.Rule, v ast.Var) types.Type {
	for _, e := range rule.Body {
		if !e.IsCall() || isEquality(e) {
			continue
		}
		builtin, ok := ast.BuiltinMap[e.Operator().String()]
		if out := outputs(c.compiler, e); ok && len(out) == 1 && out[0].Value.Compare(v) == 0 {
			return builtin.Decl.Result()
		}
	}
	return nil
}

// datum is what data.json files have at a ref, where no rule has a part in it.
func (c *contract) datum(ref ast.Ref) (any, bool) {
	if len(ref) < 2 || !ref[0].Equal(ast.DefaultRootDocument) {
		return nil, false
	}
	var document any = c.data
	tree := c.compiler.RuleTree.Child(ast.DefaultRootDocument.Value)
	for _, key := range ref[1:] {
		object, isObject := document.(map[string]any)
		name, isText := key.Value.(ast.String)
		value, there := object[string(name)]
		if !isObject || !isText || !there {
			return nil, false
		}
		document = value
		if tree != nil {
			tree = tree.Child(key.Value)
		}
	}
	return document, tree == nil
}

func kindsIn(t types.Type) kindSet {
	switch t := t.(type) {
	case *types.NamedType:
		return kindsIn(t.Type)
	case types.Any:
		kinds := kindSet{}
		for _, one := range t {
			inner := kindsIn(one)
			if len(inner) == 0 {
				return nil
			}
			maps.Copy(kinds, inner)
		}
		return kinds
	case types.Null:
		return kindSet{"null": true}
	case types.Boolean:
		return kindSet{"boolean": true}
	case types.Number:
		return kindSet{"number": true}
	case types.String:
		return kindSet{"string": true}
	case *types.Array:
		return kindSet{"array": true}
	case *types.Object:
		return kindSet{"object": true}
	case *types.Set:
		return kindSet{"set": true}
	}
	return nil
}

func jsonKind(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case nil:
		return "null"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "number"
}
