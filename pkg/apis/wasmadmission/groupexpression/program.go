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

// Package groupexpression compiles and evaluates the expressions that combine the
// verdicts of the members of a policy group, such as "signed() || (trusted() && scanned())".
//
// The language is the part of CEL that consists of the members as functions without parameters, the
// operators ==, !=, ||, && and !, parentheses, true and false. CEL parses the text, but this
// package evaluates it: CEL does not define the order in which it evaluates operands, and drops the
// error of one operand if the other decides. Here, order and errors are part of the meaning.
package groupexpression

import (
	"context"
	"fmt"
)

// Program is a compiled expression. It is immutable and may be evaluated concurrently.
type Program struct {
	root    *node
	members []string
}

// node is an operation on the verdicts below it, or a leaf.
type node struct {
	kind  kind
	value bool
	// member is the name of the member that a leaf calls.
	member      string
	left, right *node
}

type kind int

const (
	literal kind = iota
	call
	not
	and
	or
	equal
	unequal
)

// Members returns the names of the members that the expression calls, each once, in the order of
// their first call in the text. The caller must not change the slice.
func (p *Program) Members() []string { return p.members }

// Evaluate returns the value of the expression. It goes from left to right, calls a member at every
// mention, and skips operands that cannot change the result of || or &&. If call returns an error,
// evaluation ends with that error unchanged. If ctx is done before a call, evaluation ends with the
// cause of ctx.
func (p *Program) Evaluate(ctx context.Context,
	call func(member string) (bool, error)) (bool, error) {
	return p.root.evaluate(ctx, call)
}

func (n *node) evaluate(ctx context.Context, ask func(string) (bool, error)) (bool, error) {
	switch n.kind {
	case literal:
		return n.value, nil
	case call:
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		return ask(n.member)
	}
	left, err := n.left.evaluate(ctx, ask)
	if err != nil {
		return false, err
	}
	switch {
	case n.kind == not:
		return !left, nil
	case n.kind == or && left, n.kind == and && !left:
		return left, nil
	}
	right, err := n.right.evaluate(ctx, ask)
	if err != nil {
		return false, err
	}
	switch n.kind {
	case and, or:
		return right, nil
	case equal:
		return left == right, nil
	case unequal:
		return left != right, nil
	}
	return false, fmt.Errorf("unknown operation %d", n.kind)
}
