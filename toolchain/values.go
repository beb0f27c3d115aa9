package main

import (
	"bytes"
	"encoding/json"
	"math/big"

	"github.com/open-policy-agent/opa/v1/ast"
)

// decode keeps numbers as their text.
func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// value is a Rego value as JSON: sets become arrays, keys that are not strings become their text.
func value(v ast.Value) any {
	out, err := ast.JSON(v)
	if err != nil {
		return v.String()
	}
	return sane(out)
}

// sane rewrites numbers that Rego takes and JSON does not: to_number(".5") keeps its text.
func sane(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = sane(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = sane(v[key])
		}
	case json.Number:
		if json.Valid([]byte(v)) {
			return v
		}
		f, _, err := big.ParseFloat(string(v), 10, 256, big.ToNearestEven)
		if err != nil {
			return string(v)
		}
		return json.Number(f.Text('g', 40))
	}
	return v
}
