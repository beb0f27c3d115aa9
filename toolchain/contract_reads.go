package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

var arguments = step{kind: field, key: "arguments"}

// checkReads walks every rule of the contract, and gathers the facts on the way.
func (c *contract) checkReads() {
	var reads []read
	for _, kind := range kinds {
		w := walk(c.compiler, c.rules[kind]...)
		c.checkCapability(kind, w)
		maps.Copy(c.reached, w.reached)
		reads = append(reads, w.reads...)
		c.facts.Clock.Capability = c.facts.Clock.Capability || w.clock
	}
	c.facts.Reads.Capability = projection(reads)

	reads = nil
	for _, name := range util.KeysSorted(c.holds) {
		w := walk(c.compiler, c.holds[name]...)
		c.checkRequirement(name, w)
		maps.Copy(c.reached, w.reached)
		reads = append(reads, w.reads...)
		c.facts.Clock.Holds = c.facts.Clock.Holds || w.clock
		c.facts.Requirements = append(c.facts.Requirements, requirement{Name: name, ArgumentsRead: argumentsRead(w.reads)})
	}
	c.facts.Reads.Holds = projection(reads)
}

// checkCapability: what a grant, limit or denial may read. It is asked before there are arguments, for listing and
// calling alike; and a limit or denial that is undefined because a field is absent would fail open.
func (c *contract) checkCapability(kind string, w *walker) {
	for _, r := range w.reads {
		if len(r.path) > 0 && r.path[0] == arguments {
			c.add(refuse(r.loc, "arguments_in_capability",
				fmt.Sprintf("authz.%s reads %v, but a capability is decided before there are arguments", kind, r.path),
				`bound the argument in the grant ("arguments": {"amount": {"maximum": 100}}), or name a requirement ("requires": ["…"]) whose holds reads it`))
			continue
		}
		v, ok := c.checkField(r)
		if ok && v.standing == required && kind != "grant" && lacks(c.schema, r) {
			c.add(refuse(r.loc, "optional_in_veto",
				fmt.Sprintf("authz.%s reads %v as a whole, and no schema requires all that may be looked for in it: where that is absent, the %s would silently not apply", kind, r.path, kind),
				fmt.Sprintf("name the member: object.get(%v, \"…\", default), or require its members in the schema", r.path)))
		}
		if !ok || v.standing != optional {
			continue
		}
		missing := r.path[:v.at+1]
		switch {
		case kind != "grant":
			c.add(refuse(r.loc, "optional_in_veto",
				fmt.Sprintf("authz.%s reads %v, which no schema requires: where it is absent, the %s would silently not apply", kind, missing, kind),
				requireOr(missing)))
		case r.negated:
			c.add(absent(r, "grant applies", missing))
		}
	}
}

func (c *contract) checkRequirement(name string, w *walker) {
	for _, r := range w.reads {
		if len(r.path) > 0 && r.path[0] == arguments {
			c.checkArgument(name, r)
		} else if v, ok := c.checkField(r); ok && v.standing == optional && r.negated {
			c.add(absent(r, "requirement holds", r.path[:v.at+1]))
		}
	}
}

// checkArgument: each argument that a requirement reads must be named, so that its presence can be enforced.
func (c *contract) checkArgument(requirement string, r read) {
	if len(r.path) == 1 || r.path[1].kind != field {
		c.add(refuse(r.loc, "arguments_unnamed",
			fmt.Sprintf("holds.%s reads input.arguments as a whole, so that nobody can tell which must be present", requirement),
			"name the argument: input.arguments.amount"))
	} else if r.use == searched && !c.mayLack(requirement, r.path[1].key) {
		c.add(refuse(r.loc, "arguments_unnamed",
			fmt.Sprintf("holds.%s looks for members in %v, so that nobody can tell which must be present", requirement, r.path),
			fmt.Sprintf("name the member: %v.…, or say that it may be absent (METADATA custom.optional: [%s])", r.path, r.path[1].key)))
	}
}

// checkField: what no rule may read.
func (c *contract) checkField(r read) (verdict, bool) {
	if len(r.path) == 0 {
		c.add(refuse(r.loc, "input_unnamed", "input is read as a whole, so that its parts cannot be told apart",
			"name the field: input.principal.roles"))
		return verdict{}, false
	}
	v := classify(c.schema, r.path)
	switch v.standing {
	case unknown:
		c.add(unknownField(r.loc, r.path[:v.at+1].String(), r.path[v.at].key, v.names))
	case closed:
		c.add(refuse(r.loc, "input_unnamed", fmt.Sprintf("%v is read by a computed key", r.path[:v.at]),
			fmt.Sprintf("name the field: %v.…", r.path[:v.at])))
	}
	return v, v.standing != unknown && v.standing != closed
}

func requireOr(missing path) string {
	parent, last := missing[:len(missing)-1], missing[len(missing)-1]
	key := fmt.Sprintf("%q", last.key)
	if last.kind != field {
		key = "key"
	}
	return fmt.Sprintf("object.get(%v, %s, default), or require the field in the schema", parent, key)
}

func absent(r read, consequence string, missing path) problem {
	return warn(r.loc, "optional_negated",
		fmt.Sprintf("%v is read under `not`, but no schema requires it: where it is absent, the %s", missing, consequence), requireOr(missing))
}

// projection is the shortest set of fields that covers the reads.
func projection(reads []read) [][]string {
	paths := [][]string{}
	for _, r := range reads {
		paths = append(paths, r.path.fields())
	}
	return pruned(paths, func(a, b []string) bool { return isPrefix(b, a) })
}

// argumentsRead are the paths below input.arguments, the longest of each.
func argumentsRead(reads []read) [][]string {
	paths := [][]string{}
	for _, r := range reads {
		if fields := r.path.fields(); len(fields) > 1 && fields[0] == "arguments" {
			paths = append(paths, fields[1:])
		}
	}
	return pruned(paths, isPrefix)
}

// pruned sorts, and drops each path that another makes superfluous.
func pruned(paths [][]string, superfluous func(a, b []string) bool) [][]string {
	slices.SortFunc(paths, slices.Compare)
	paths = slices.CompactFunc(paths, slices.Equal)
	return slices.DeleteFunc(slices.Clone(paths), func(p []string) bool {
		return slices.ContainsFunc(paths, func(q []string) bool { return len(p) != len(q) && superfluous(p, q) })
	})
}

func isPrefix(p, q []string) bool {
	return len(p) <= len(q) && slices.Equal(p, q[:len(p)])
}

// upstream is the literal that a rule's own body compares input.target.upstream with.
func upstream(rule *ast.Rule) *string {
	want := ast.MustParseRef("input.target.upstream")
	for _, e := range rule.Body {
		if e.Negated || !isEquality(e) {
			continue
		}
		a, b := e.Operand(0), e.Operand(1)
		if a.Value.Compare(want) != 0 {
			a, b = b, a
		}
		if name, ok := b.Value.(ast.String); ok && a.Value.Compare(want) == 0 {
			return (*string)(&name)
		}
	}
	return nil
}

// mayLack: METADATA says that the argument may be absent.
func (c *contract) mayLack(requirement, argument string) bool {
	return c.optionalAt(requirement, argument) != nil
}
