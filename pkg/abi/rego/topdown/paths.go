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

import "github.com/open-policy-agent/opa/v1/ast"

// maxPathNodes is how many nodes the paths of a graph may have together: one of twenty
// nodes can have more paths than there is memory. As nodes are compared, their names must
// not be long, so that there is a bound on all of them.
const (
	maxPathNodes  = 200_000
	maxGraphBytes = 256 << 10
)

// pricePaths walks the paths that graph.reachable_paths will make, and makes none.
func pricePaths(c *priced) price {
	if err := exceeds("bytes of a graph", int64(len(c.texts[0])), maxGraphBytes); err != nil {
		return refused(err)
	}
	graph, ok := c.operands[0].Value.(ast.Object)
	if !ok {
		return linear(1, 1)(c)
	}
	w := pathWalk{graph: graph, left: maxPathNodes}
	eachElement(c.operands[1], func(start *ast.Term) bool { return w.visit(start, nil) })
	if w.left < 0 {
		return refused(exceeds("nodes of paths", maxPathNodes+1, maxPathNodes))
	}
	nodes := int64(maxPathNodes - w.left)
	// Paths by the same nodes in another order have the same hash, and are compared.
	return price{work: 2000*nodes + 100*c.bytes + times(w.ends, w.ends, 500), memory: 64*nodes + termBytes*c.elements}
}

type pathWalk struct {
	graph ast.Object
	left  int
	// ends is how many paths may have ended.
	ends int64
}

// visit walks all paths that go on from a path by a node, until there were too many. It
// calls itself as deeply as the path is long, and as each step costs that, not deeply.
func (w *pathWalk) visit(node *ast.Term, path []*ast.Term) (goOn bool) {
	path = append(path, node)
	w.left -= len(path)
	if w.left < 0 {
		return false
	}
	edges := w.graph.Get(node)
	if edges == nil || members(edges) == 0 {
		w.ends++
		return true
	}
	return eachElement(edges, func(next *ast.Term) bool {
		for _, passed := range path {
			if passed.Equal(next) {
				w.ends++
				w.left -= len(path)
				return w.left >= 0
			}
		}
		return w.visit(next, path)
	})
}

// eachElement calls a function for the elements of an array or a set, while it returns
// true. It returns whether all did.
func eachElement(collection *ast.Term, do func(*ast.Term) bool) bool {
	stop := func(t *ast.Term) bool { return !do(t) }
	switch c := collection.Value.(type) {
	case *ast.Array:
		return !c.Until(stop)
	case ast.Set:
		return !c.Until(stop)
	}
	return true
}
