/*
Copyright The WasmAdmission Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package topdown

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// maxDepth limits how deeply values may nest. Functions recurse for each level, and a Go stack
// overflow ends the process.
const maxDepth = 1000

// maxExponent limits the exponent of a number. It is larger than the exponent of any double.
// maxDigits limits the bytes of a number's text.
const (
	maxExponent = 1000
	maxDigits   = 1000
)

// maxElements limits the values in the arguments of a call, at all levels. Each value takes up to
// 300 bytes. maxCollisions limits the comparisons of keys and members with the same hash.
// Collisions are easy to arrange: all numbers between 0 and 1 have the same hash.
const (
	maxElements   = 50_000
	maxCollisions = 200_000
)

var errTooDeep = fmt.Errorf("a value nests more than %d levels deep", maxDepth)

// parseValue parses the text of a value as guests print it: JSON, and also sets and objects with
// keys of any type. The Open Policy Agent's own parser reads a whole language, which a guest must
// not get to evaluate.
//
// The counts accumulate over several values.
func parseValue(text []byte, counts *counts) (ast.Value, error) {
	p := parser{text: text, counts: counts}
	value, err := p.value(0)
	if err == nil && p.peek() != 0 {
		err = errors.New("something follows the value")
	}
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", p.at, err)
	}
	return value, nil
}

// counts counts values, their nesting depth, and the comparisons of keys and members.
type counts struct{ elements, depth, collisions int64 }

type parser struct {
	text   []byte
	at     int
	counts *counts
}

// peek skips white space and returns the next byte, or 0 at the end.
func (p *parser) peek() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (p *parser) expect(c byte) error {
	if p.peek() != c {
		return fmt.Errorf("%q is missing", c)
	}
	p.at++
	return nil
}

// literal consumes the word if it comes next.
func (p *parser) literal(word string) bool {
	if len(p.text)-p.at < len(word) || string(p.text[p.at:p.at+len(word)]) != word {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) value(depth int) (ast.Value, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	p.counts.elements++
	if err := exceeds("values in arguments", p.counts.elements, maxElements); err != nil {
		return nil, err
	}
	p.counts.depth = max(p.counts.depth, int64(depth))
	switch c := p.peek(); {
	case c == '"':
		return p.string()
	case c == '[':
		return p.array(depth)
	case c == '{':
		return p.braces(depth)
	case c == '-' || c == '.' || c >= '0' && c <= '9':
		return p.number()
	case p.literal("null"):
		return ast.Null{}, nil
	case p.literal("true"):
		return ast.Boolean(true), nil
	case p.literal("false"):
		return ast.Boolean(false), nil
	case p.literal("set("):
		return ast.NewSet(), p.expect(')')
	}
	return nil, errors.New("a value is missing")
}

func (p *parser) string() (ast.Value, error) {
	start := p.at
	for p.at++; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\\':
			p.at++
		case '"':
			p.at++
			var s string
			err := json.Unmarshal(p.text[start:p.at], &s)
			return ast.String(s), err
		}
	}
	return nil, errors.New("a string does not end")
}

func (p *parser) number() (ast.Value, error) {
	start := p.at
	for p.at < len(p.text) {
		if c := p.text[p.at]; c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' &&
			(c < '0' || c > '9') {
			break
		}
		p.at++
	}
	text := p.text[start:p.at]
	if err := exceeds("bytes of a number", int64(len(text)), maxDigits); err != nil {
		return nil, err
	}
	if text[0] == '.' {
		// A policy may omit the zero before the dot, and guests preserve that.
		text = append([]byte("0"), text...)
	}
	var n json.Number
	if err := json.Unmarshal(text, &n); err != nil {
		return nil, err
	}
	// Functions that compute with a number write out its zeros.
	if e := strings.IndexAny(string(n), "eE"); e >= 0 {
		if exponent, err := strconv.Atoi(string(n[e+1:])); err != nil || exponent > maxExponent ||
			exponent < -maxExponent {
			return nil, fmt.Errorf("the exponent of %.20s is beyond %d", n, maxExponent)
		}
	}
	return ast.Number(n), nil
}

func (p *parser) array(depth int) (ast.Value, error) {
	var elements []*ast.Term
	err := p.list(']', func() error {
		element, err := p.value(depth + 1)
		elements = append(elements, ast.NewTerm(element))
		return err
	})
	if err != nil {
		return nil, err
	}
	return ast.NewArray(elements...), nil
}

// braces parses an object or a set. The first element decides which.
func (p *parser) braces(depth int) (ast.Value, error) {
	object, set := ast.NewObject(), ast.NewSet()
	hashes := map[int]int64{}
	err := p.list('}', func() error {
		key, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		hash := key.Hash()
		p.counts.collisions += hashes[hash]
		hashes[hash]++
		if err := exceeds("comparisons of members with the same hash", p.counts.collisions,
			maxCollisions); err != nil {
			return err
		}
		isMember := p.peek() == ':'
		if isMember && set.Len() > 0 || !isMember && object.Len() > 0 {
			return errors.New("an object and a set at once")
		}
		if !isMember {
			set.Add(ast.NewTerm(key))
			return nil
		}
		p.at++
		value, err := p.value(depth + 1)
		if err == nil {
			object.Insert(ast.NewTerm(key), ast.NewTerm(value))
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case set.Len() > 0:
		return set, nil
	}
	return object, nil
}

// list parses the elements between the next bracket and its end.
func (p *parser) list(end byte, element func() error) error {
	p.at++
	if p.peek() == end {
		p.at++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if p.peek() != ',' {
			return p.expect(end)
		}
		p.at++
	}
}

// printed builds the text of a value in a form that guests can parse. The Open Policy Agent's own
// text quotes strings like Go, which guests cannot parse. Values share parts, so that a small value
// can have an unbounded text. It ends with an error at limit bytes.
type printed struct {
	text  []byte
	limit int64
	err   error
}

func (p *printed) append(text string) {
	if p.err == nil && int64(len(p.text)+len(text)) > p.limit {
		p.err = &engine.LimitError{
			Limit: "bytes of result",
			Value: int64(len(p.text) + len(text)),
			Max:   p.limit,
		}
	}
	if p.err == nil {
		p.text = append(p.text, text...)
	}
}

func (p *printed) value(value ast.Value, depth int) {
	if depth > maxDepth {
		p.err = errTooDeep
	}
	switch v := value.(type) {
	case ast.Null, ast.Boolean, ast.Number:
		p.append(v.String())
	case ast.String:
		quoted, err := json.Marshal(string(v))
		if err != nil {
			p.err = err
		}
		p.append(string(quoted))
	case *ast.Array:
		p.list("[", v.Until, depth, "]")
	case ast.Set:
		if v.Len() == 0 {
			p.append("set()")
			return
		}
		p.list("{", v.Until, depth, "}")
	case ast.Object:
		p.object(v, depth)
	default:
		p.err = fmt.Errorf("the result is a %s, which is not a value", ast.ValueName(value))
	}
}

func (p *printed) list(before string, until func(func(*ast.Term) bool) bool, depth int,
	after string) {
	p.append(before)
	comma := ""
	until(func(t *ast.Term) bool {
		p.append(comma)
		p.value(t.Value, depth+1)
		comma = ","
		return p.err != nil
	})
	p.append(after)
}

func (p *printed) object(object ast.Object, depth int) {
	p.append("{")
	comma := ""
	object.Until(func(key, value *ast.Term) bool {
		p.append(comma)
		p.value(key.Value, depth+1)
		p.append(":")
		if p.err == nil {
			p.value(value.Value, depth+1)
		}
		comma = ","
		return p.err != nil
	})
	p.append("}")
}
