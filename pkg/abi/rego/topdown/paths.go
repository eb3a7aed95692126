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

// maxPathNodes limits the total number of nodes in the paths of a graph. A graph of twenty nodes
// can have more paths than memory can hold. maxGraphBytes bounds the graph's text, because nodes
// are compared and long names make that slow.
const (
	maxPathNodes  = 200_000
	maxGraphBytes = 256 << 10
)

// pricePaths walks the paths that graph.reachable_paths would produce, without keeping them.
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
	// Paths through the same nodes in another order have the same hash, so they must be compared.
	return price{
		work:   2000*nodes + 100*c.bytes + times(w.ends, w.ends, 500),
		memory: 64*nodes + termBytes*c.elements,
	}
}

type pathWalk struct {
	graph ast.Object
	left  int
	// ends is the maximum number of paths that end.
	ends int64
}

// visit walks all paths that continue with the node, until there are too many nodes. The recursion
// is as deep as the path is long. It stays shallow, because each step costs the length of the path.
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

// eachElement calls do for the elements of an array or a set until it returns false. It returns
// whether all calls returned true.
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
