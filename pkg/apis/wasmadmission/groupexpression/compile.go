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

package groupexpression

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"
)

const (
	// MaxSize is the largest expression that is compiled, in bytes.
	MaxSize = 8 << 10
	// maxDepth bounds how deeply operators and parentheses are nested. A chain of only && or only
	// || counts as its logarithm.
	maxDepth = 50
	// maxProblems bounds the problems that are reported about one expression.
	maxProblems = 10
)

// binary are the operators with two operands.
var binary = map[string]kind{
	operators.LogicalAnd: and,
	operators.LogicalOr:  or,
	operators.Equals:     equal,
	operators.NotEquals:  unequal,
}

// newParser creates the parser on first use. The parser has no macros, and is safe for concurrent
// use.
var newParser = sync.OnceValues(func() (*parser.Parser, error) {
	return parser.NewParser(
		parser.ExpressionSizeCodePointLimit(MaxSize),
		parser.MaxRecursionDepth(maxDepth),
		// Compile rejects an expression with any error, so there is no use in finding all.
		parser.ErrorRecoveryLimit(1),
		parser.ErrorRecoveryLookaheadTokenLimit(16),
		parser.ErrorReportingLimit(maxProblems),
	)
})

// Compile parses an expression over members with the given names. An error is a single line with
// the line and column of each problem, and what to write instead.
func Compile(expression string, members []string) (*Program, error) {
	if strings.TrimSpace(expression) == "" {
		return nil, errors.New("is empty: call at least one member")
	}
	if len(expression) > MaxSize {
		return nil, fmt.Errorf("has %d bytes: write at most %d", len(expression), MaxSize)
	}
	celParser, err := newParser()
	if err != nil {
		return nil, fmt.Errorf("making the parser: %w", err)
	}
	tree, problems := celParser.Parse(common.NewTextSource(expression))
	if errs := problems.GetErrors(); len(errs) > 0 {
		// The first error is usually the cause of the others.
		return nil, explain(errs[0])
	}
	t := translation{info: tree.SourceInfo(), members: members, program: &Program{}}
	t.program.root = t.translate(tree.Expr())
	if len(t.problems) > 0 {
		return nil, errors.New(strings.Join(t.problems, "; "))
	}
	return t.program, nil
}

// explain shortens an error from the parser.
func explain(problem *common.Error) error {
	if strings.Contains(problem.Message, "recursion") {
		return fmt.Errorf(
			"operators or parentheses are nested more than %d deep: write a flatter expression",
			maxDepth)
	}
	// The parser lists every token of CEL as expected, and groups know few of them.
	message, _, _ := strings.Cut(problem.Message, " expecting ")
	return errors.New(position(problem.Location) + strings.Join(strings.Fields(message), " "))
}

// translation turns a parsed CEL expression into a program. It rejects what the language of groups
// does not have.
type translation struct {
	info     *ast.SourceInfo
	members  []string
	program  *Program
	problems []string
}

// translate returns the node of an expression, or nil after a problem. The parser has bounded the
// depth of the recursion.
func (t *translation) translate(expression ast.Expr) *node {
	switch expression.Kind() {
	case ast.LiteralKind:
		if value, ok := expression.AsLiteral().(types.Bool); ok {
			return &node{kind: literal, value: bool(value)}
		}
	case ast.CallKind:
		return t.translateCall(expression)
	case ast.IdentKind:
		if name := expression.AsIdent(); slices.Contains(t.members, name) {
			return t.refuse(expression,
				fmt.Sprintf("names %s without calling it: write %s()", name, name))
		}
		return t.refuse(expression, t.unknown(expression.AsIdent()))
	}
	return t.refuse(expression, "only members, true and false can be combined")
}

func (t *translation) translateCall(expression ast.Expr) *node {
	function := expression.AsCall()
	name, arguments := function.FunctionName(), function.Args()
	operation, isBinary := binary[name]
	switch {
	case isBinary:
		return &node{
			kind:  operation,
			left:  t.translate(arguments[0]),
			right: t.translate(arguments[1]),
		}
	case name == operators.LogicalNot:
		return &node{kind: not, left: t.translate(arguments[0])}
	case !isName(name):
		return t.refuse(expression, "only the operators ==, !=, ||, && and ! can be used")
	case function.IsMemberFunction() || !slices.Contains(t.members, name):
		return t.refuse(expression, t.unknown(name))
	case len(arguments) > 0:
		return t.refuse(expression,
			fmt.Sprintf("passes an argument to %s, which takes none: write %s()", name, name))
	}
	if !slices.Contains(t.program.members, name) {
		t.program.members = append(t.program.members, name)
	}
	return &node{kind: call, member: name}
}

func (t *translation) refuse(expression ast.Expr, problem string) *node {
	if len(t.problems) < maxProblems {
		t.problems = append(t.problems, position(t.info.GetStartLocation(expression.ID()))+problem)
	}
	return nil
}

func (t *translation) unknown(name string) string {
	const most = 64
	if len(name) > most {
		name = name[:most] + "…"
	}
	return fmt.Sprintf("%s is not a member of the group: correct its name or add it to policies",
		name)
}

// position formats a location, counted from 1 as in other messages of CEL.
func position(location common.Location) string {
	return fmt.Sprintf("line %d, column %d: ", location.Line(), location.Column()+1)
}
