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
	"errors"
	"fmt"
	"text/template/parse"
)

// maxTemplateBytes bounds the text of a template, because the parser recurses for each nested
// action.
const maxTemplateBytes = 16 << 10

// templateFunctions are the functions that templates may call. The value tells whether a function
// may take number literals. The functions return no numbers, or numbers from the data, which a loop
// cannot count to. All other functions can produce texts or numbers from nothing.
var templateFunctions = map[string]bool{
	"and": false, "or": false, "not": true, "index": true,
	"eq": true, "ge": true, "gt": true, "le": true, "lt": true, "ne": true,
}

// priceTemplate prices strings.render_template. It assumes that each argument of an action prints
// or compares all of the data. It also assumes that each loop runs once for each element anywhere
// in the data. The costs of nested loops multiply.
func priceTemplate(c *priced) price {
	text := c.text(0)
	if err := exceeds("bytes of a template", int64(len(text)), maxTemplateBytes); err != nil {
		return refused(err)
	}
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	more := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", more); err != nil {
		return linear(100, 100)(c) // the function itself reports the error
	}
	t := templateCost{printed: 2*int64(len(c.texts[1])) + 16, turns: c.size(1), most: unbounded}
	total := t.list(tree.Root)
	if t.err == nil && len(more) > 1 {
		t.err = errors.New("a template must not define others")
	}
	return price{
		work:   100*total + 1000*c.bytes,
		memory: 3*total + 100*int64(len(text)) + 4*termBytes*c.elements,
		err:    t.err,
	}
}

// templateCost adds up the maximum cost of a template, in bytes.
type templateCost struct {
	printed, turns int64
	// most caps the sums well below an overflow. Larger costs make no difference.
	most int64
	err  error
}

func (t *templateCost) list(list *parse.ListNode) (total int64) {
	if list == nil {
		return 0
	}
	for _, node := range list.Nodes {
		total = min(total+t.node(node), t.most+1)
	}
	return total
}

func (t *templateCost) node(node parse.Node) int64 {
	switch n := node.(type) {
	case *parse.TextNode:
		return int64(len(n.Text))
	case *parse.ActionNode:
		return t.pipe(n.Pipe)
	case *parse.IfNode:
		return t.pipe(n.Pipe) + t.list(n.List) + t.list(n.ElseList)
	case *parse.WithNode:
		return t.pipe(n.Pipe) + t.list(n.List) + t.list(n.ElseList)
	case *parse.RangeNode:
		return t.pipe(n.Pipe) + t.turns*(1+t.list(n.List)) + t.list(n.ElseList)
	case *parse.BreakNode, *parse.ContinueNode:
		return 1
	}
	t.refuse(node)
	return 0
}

// pipe returns the cost of a pipeline's arguments. It also refuses forbidden nodes.
func (t *templateCost) pipe(pipe *parse.PipeNode) (total int64) {
	for _, command := range pipe.Cmds {
		function, _ := command.Args[0].(*parse.IdentifierNode)
		for _, argument := range command.Args {
			total += t.printed + t.argument(argument, function)
		}
	}
	return total
}

// argument checks an argument of a function, if there is one. It returns the cost of a pipeline
// inside the argument. A number is allowed only in a comparison with another, because a loop could
// count to it.
func (t *templateCost) argument(node parse.Node, function *parse.IdentifierNode) int64 {
	switch n := node.(type) {
	case *parse.PipeNode:
		return t.pipe(n)
	case *parse.ChainNode:
		return t.argument(n.Node, nil)
	case *parse.IdentifierNode:
		if _, known := templateFunctions[n.Ident]; !known {
			t.refuse(n)
		}
		return 0
	case *parse.NumberNode:
		if function == nil || !templateFunctions[function.Ident] {
			t.refuse(n)
		}
		return 0
	case *parse.FieldNode, *parse.VariableNode, *parse.DotNode, *parse.NilNode, *parse.BoolNode,
		*parse.StringNode:
		return 0
	}
	t.refuse(node)
	return 0
}

func (t *templateCost) refuse(node parse.Node) {
	if t.err == nil {
		t.err = fmt.Errorf("a template must not have %.50q", node.String())
	}
}
