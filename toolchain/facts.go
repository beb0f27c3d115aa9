package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// facts are told to the engine: see PolicyFacts in src/policy/toolchain-types.ts.
type facts struct {
	Requirements []requirement `json:"requirements"`
	Reads        struct {
		Capability [][]string `json:"capability"`
		Holds      [][]string `json:"holds"`
	} `json:"reads"`
	Clock struct {
		Capability bool `json:"capability"`
		Holds      bool `json:"holds"`
	} `json:"clock"`
	Credentials []credential `json:"credentials"`
}

type requirement struct {
	Name          string         `json:"name"`
	Title         string         `json:"title"`
	StepUp        map[string]any `json:"stepUp"`
	Optional      []string       `json:"optional"`
	ArgumentsRead [][]string     `json:"argumentsRead"`
}

type credential struct {
	Source   *string `json:"source"`
	Role     *string `json:"role"`
	Upstream *string `json:"upstream"`
	File     string  `json:"file"`
	Row      int     `json:"row"`
	Col      int     `json:"col"`
}

// checkMetadata reads what the requirements' METADATA says.
func (c *contract) checkMetadata() {
	for i := range c.facts.Requirements {
		r := &c.facts.Requirements[i]
		r.Title, r.Optional = r.Name, []string{}
		titled := false
		for _, rule := range c.holds[r.Name] {
			for _, a := range annotations(c.compiler, rule) {
				if a.Title != "" && !titled {
					r.Title, titled = a.Title, true
				}
				c.custom(r, a)
			}
		}
		c.checkOptional(r)
		if !titled {
			c.add(warn(c.holds[r.Name][0].Location, "requirement_untitled",
				fmt.Sprintf("holds.%s has no title: a caller who does not meet it is told its name alone", r.Name),
				"# METADATA\n# title: a login in the last five minutes"))
		}
	}
}

// annotations of a rule, and of its document.
func annotations(c *ast.Compiler, rule *ast.Rule) (found []*ast.Annotations) {
	for _, ref := range c.GetAnnotationSet().Chain(rule) {
		if a := ref.Annotations; a != nil && (a.Scope == "rule" || a.Scope == "document") {
			found = append(found, a)
		}
	}
	return found
}

// custom takes `step_up` and `optional`, and warns of what was probably meant as one of them.
func (c *contract) custom(r *requirement, a *ast.Annotations) {
	bad := func(message, hint string) { c.add(refuse(a.Location, "metadata_invalid", message, hint)) }
	for name, value := range a.Custom {
		switch name {
		case "step_up":
			r.takeStepUp(value, bad)
		case "optional":
			r.takeOptional(value, bad)
		default:
			if hint := meant(name, []string{"step_up", "optional"}); edits(name, "step_up") < 3 || edits(name, "optional") < 3 {
				c.add(warn(a.Location, "metadata_unknown", "custom."+name+" means nothing here", hint))
			}
		}
	}
}

// takeStepUp takes what a client can do to meet the requirement; the first that is said counts.
func (r *requirement) takeStepUp(value any, bad func(message, hint string)) {
	fields, ok := value.(map[string]any)
	if !ok {
		bad("custom.step_up is an object", "step_up: {max_age: 300}")
		return
	}
	for key, value := range fields {
		if key != "max_age" && key != "scope" {
			bad("custom.step_up has no "+key, meant(key, []string{"max_age", "scope"}))
		} else if !fits(value, key == "max_age") {
			bad("custom.step_up."+key+" has the wrong type", "step_up: {max_age: 300, scope: \"payments\"}")
		}
	}
	if r.StepUp == nil {
		r.StepUp = fields
	}
}

// takeOptional takes the arguments that may be absent.
func (r *requirement) takeOptional(value any, bad func(message, hint string)) {
	names, ok := value.([]any)
	for _, n := range names {
		name, isText := n.(string)
		if ok = ok && isText; isText {
			r.Optional = append(r.Optional, name)
		}
	}
	if !ok {
		bad("custom.optional is a list of argument names", "optional: [iban]")
	}
	slices.Sort(r.Optional)
	r.Optional = slices.Compact(r.Optional)
}

// checkOptional warns of a name that the requirement does not read: the argument that was meant must still be present.
func (c *contract) checkOptional(r *requirement) {
	read := []string{}
	for _, path := range r.ArgumentsRead {
		read = append(read, path[0])
	}
	read = slices.Compact(read)
	for _, name := range r.Optional {
		if !slices.Contains(read, name) {
			c.add(warn(c.optionalAt(r.Name, name), "metadata_unknown",
				fmt.Sprintf("custom.optional: holds.%s reads no argument %q", r.Name, name), meant(name, slices.Clone(read))))
		}
	}
}

// optionalAt is the METADATA that names the argument.
func (c *contract) optionalAt(requirement, argument string) *ast.Location {
	for _, rule := range c.holds[requirement] {
		for _, a := range annotations(c.compiler, rule) {
			if names, ok := a.Custom["optional"].([]any); ok && slices.Contains(names, any(argument)) {
				return a.Location
			}
		}
	}
	return nil
}

// fits: a whole number of seconds, or text.
func fits(value any, seconds bool) bool {
	if !seconds {
		_, ok := value.(string)
		return ok
	}
	text, err := json.Marshal(value)
	var n uint32
	return err == nil && json.Unmarshal(text, &n) == nil
}
