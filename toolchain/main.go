// Command toolchain is OPA's compiler, tester and evaluator behind one function: a JSON request in, a JSON response
// out. It is built as a WebAssembly reactor and run by worker.mjs. It reads no file and opens no socket.
package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
)

type request struct {
	Verb  string            `json:"verb"`
	Files map[string]string `json:"files"`
	Data  map[string]any    `json:"data"`
	// JSON Schema of the input that policies see.
	Schema   any      `json:"schema"`
	Query    string   `json:"query"` // of deps and eval
	Input    any      `json:"input"` // of eval
	Run      string   `json:"run"`   // of test: a regular expression for the names of those to run
	Coverage bool     `json:"coverage"`
	Tests    []string `json:"tests"` // of trial: names of tests, such as data.authz_test.test_x
}

type response struct {
	OK       bool      `json:"ok"`
	Problems []problem `json:"problems"`
	Result   any       `json:"result,omitempty"`
}

var verbs = map[string]func(request) (any, []problem){
	"build":   build,
	"check":   check,
	"deps":    deps,
	"eval":    eval,
	"fmt":     reformat,
	"inspect": inspect,
	"test":    test,
	"trial":   trial,
}

// serve answers one request. A Go panic becomes a problem; the instance survives it.
func serve(input []byte) (output []byte) {
	defer func() {
		if r := recover(); r != nil {
			output = encode(response{Problems: []problem{{
				Severity: "error", Code: "toolchain_failed", Message: fmt.Sprintf("%v\n%s", r, debug.Stack()),
			}}})
		}
	}()
	var req request
	if err := decode(input, &req); err != nil {
		panic(err)
	}
	verb, ok := verbs[req.Verb]
	if !ok {
		panic("unknown verb " + req.Verb)
	}
	result, problems := verb(req)
	problems = arrange(problems)
	if !failed(problems) {
		return encode(response{OK: true, Problems: problems, Result: result})
	}
	return encode(response{Problems: problems})
}

func encode(r response) []byte {
	out, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return out
}

// main is never called: a reactor's host calls the exports.
func main() {}
