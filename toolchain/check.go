package main

// check finds what is wrong with policies and tests, without building.
func check(req request) (any, []problem) {
	c, problems := checked(req)
	if c.compiler == nil || c.compiler.Failed() || len(c.tests) == 0 {
		return nil, problems
	}
	compiler, more := c.compile(c.all())
	if !failed(more) {
		more = append(more, c.misleading(compiler)...)
	}
	return nil, append(problems, more...)
}

// checked finds everything at once: what the compiler refuses, and what the contract does whatever the compiler says.
func checked(req request) (*contract, []problem) {
	c, problems := load(req)
	switch {
	case !failed(problems):
		c.verify()
		c.checkRequired()
		c.checkUnasked()
		return c, c.problems
	case c.compiler == nil:
		return c, problems // a file that does not parse: nobody knows what it defines
	}
	return c, merge(problems, c.sources.besides())
}
