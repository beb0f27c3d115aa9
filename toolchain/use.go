package main

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// uses of the builtins whose types say more than they do.
var uses = map[string]use{
	"internal.print": glanced, "is_array": glanced, "is_boolean": glanced, "is_null": glanced, "is_number": glanced,
	"is_object": glanced, "is_set": glanced, "is_string": glanced, "type_name": glanced,
	"count": compared, "internal.member_2": compared, "walk": searched, "internal.member_3": searched,
}

var comparisons = map[string]bool{"eq": true, "equal": true, "neq": true, "lt": true, "lte": true, "gt": true, "gte": true}

// useBy is how a builtin reads its operand.
func useBy(name string, at int, operands []*ast.Term) use {
	if comparisons[name] && len(operands) == 2 {
		return comparedWith(operands[1-at])
	}
	if name == "object.get" && at == 0 && len(operands) > 2 && ast.IsConstant(operands[1].Value) {
		return glanced // it says what to take for a member that is absent
	}
	if as, ok := uses[name]; ok {
		return as
	}
	b, ok := ast.BuiltinMap[name]
	if !ok || at >= len(b.Decl.FuncArgs().Args) {
		return whole
	}
	return useAs(b.Decl.FuncArgs().Args[at])
}

func comparedWith(t *ast.Term) use {
	if _, isNull := t.Value.(ast.Null); isNull {
		return glanced
	}
	return compared
}

// useAs is what a parameter of this type may do with a value: a text, a number or a list of them has no members.
func useAs(t types.Type) use {
	most := compared
	switch t := t.(type) {
	case *types.NamedType:
		return useAs(t.Type)
	case types.Any:
		if len(t) == 0 {
			return whole
		}
		for _, one := range t {
			most = max(most, useAs(one))
		}
	case *types.Object:
		return searched
	case *types.Array:
		if t.Dynamic() != nil {
			most = min(whole, useAs(t.Dynamic()))
		}
	case *types.Set:
		most = min(whole, useAs(t.Of()))
	}
	return most
}
