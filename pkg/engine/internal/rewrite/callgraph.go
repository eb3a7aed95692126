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

package rewrite

import (
	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// callGraph is the call graph of the functions that the module defines. Its nodes are these
// functions, numbered from zero, followed by the signatures. An indirect call is an edge to its
// signature, and a signature has an edge to every function of that signature to which a reference
// exists. Calls of imports are not edges: the host accounts for its own time, and a callback enters
// at a function that is metered anyway.
type callGraph struct {
	imported      uint32
	functionTypes []uint32
	functions     int
	// signature maps a type index to the number of its signature. Calls compare types by structure.
	signature []uint32
	// edges holds the callees of all functions; those of function f are from first[f] to
	// first[f+1].
	edges []uint32
	first []uint32
	// members are the functions that an indirect call of a signature may reach.
	members [][]uint32
	// seen holds, for each node, the last function found to call it, plus one.
	seen    []uint32
	current uint32
}

func (g *callGraph) init(m *wasm.Module, imported uint32, functionTypes []uint32) {
	g.imported, g.functionTypes, g.functions = imported, functionTypes, len(m.Bodies)
	bySignature := make(map[string]uint32)
	g.signature = make([]uint32, len(m.Types))
	for i := range m.Types {
		key := signatureKey(&m.Types[i])
		number, known := bySignature[key]
		if !known {
			number = uint32(len(bySignature))
			bySignature[key] = number
		}
		g.signature[i] = number
	}
	g.members = make([][]uint32, len(bySignature))
	g.seen = make([]uint32, g.functions+len(bySignature))
	g.first, g.edges = make([]uint32, 0, g.functions+1), g.edges[:0]
}

// signatureKey returns the same key for structurally equal types. References to concrete types all
// count as equal, so unequal types may share a key. That adds edges, but never loses any.
func signatureKey(t *wasm.FuncType) string {
	key := make([]byte, 0, len(t.Params)+len(t.Results)+1)
	for _, vt := range t.Params {
		key = append(key, vt.Code)
	}
	key = append(key, 0)
	for _, vt := range t.Results {
		key = append(key, vt.Code)
	}
	return string(key)
}

// begin starts the list of callees of a function.
func (g *callGraph) begin(function uint32) {
	g.first = append(g.first, uint32(len(g.edges)))
	g.current = function + 1
}

func (g *callGraph) call(index uint32) {
	if index >= g.imported {
		g.edge(index - g.imported)
	}
}

func (g *callGraph) indirectCall(typeIndex uint32) {
	g.edge(g.signatureNode(typeIndex))
}

// signatureNode returns the node of a type's signature.
func (g *callGraph) signatureNode(typeIndex uint32) uint32 {
	return uint32(g.functions) + g.signature[typeIndex]
}

func (g *callGraph) edge(node uint32) {
	if g.seen[node] != g.current {
		g.seen[node] = g.current
		g.edges = append(g.edges, node)
	}
}

// finish ends the last list and fills in the members of the signatures.
func (g *callGraph) finish(addressTaken []bool) {
	g.first = append(g.first, uint32(len(g.edges)))
	for index, taken := range addressTaken {
		if taken && uint32(index) >= g.imported {
			signature := g.signature[g.functionTypes[index]]
			g.members[signature] = append(g.members[signature], uint32(index)-g.imported)
		}
	}
}

// successors returns the nodes to which a node has edges.
func (g *callGraph) successors(node uint32) []uint32 {
	if int(node) >= g.functions {
		return g.members[int(node)-g.functions]
	}
	return g.edges[g.first[node]:g.first[node+1]]
}

// order walks the graph depth first. It returns the nodes with callees before their callers. It
// adds to metered the functions at which cycles close, so that every cycle of calls passes through
// a metered function. To find cycles, it does not follow edges to functions that are already
// metered.
func (g *callGraph) order(metered []bool) []uint32 {
	const (
		unvisited = iota
		open
		done
	)
	state := make([]uint8, len(g.seen))
	order := make([]uint32, 0, len(g.seen))
	type frame struct{ node, next uint32 }
	var stack []frame
	for root := range g.seen {
		if state[root] != unvisited {
			continue
		}
		state[root] = open
		stack = append(stack[:0], frame{node: uint32(root)})
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			successors := g.successors(top.node)
			if int(top.next) == len(successors) {
				state[top.node] = done
				order = append(order, top.node)
				stack = stack[:len(stack)-1]
				continue
			}
			next := successors[top.next]
			top.next++
			switch {
			case int(next) < g.functions && metered[next] || state[next] == done:
			case state[next] == open:
				g.meter(next, metered)
			default:
				state[next] = open
				stack = append(stack, frame{node: next})
			}
		}
	}
	return order
}

// meter marks a function, or all functions that a signature may reach.
func (g *callGraph) meter(node uint32, metered []bool) {
	if int(node) < g.functions {
		metered[node] = true
		return
	}
	for _, member := range g.members[int(node)-g.functions] {
		metered[member] = true
	}
}

// isMetered reports whether a function pays for itself, or whether a signature's functions do. A
// signature queried before it was ordered closes a cycle, so all its functions are metered.
func (g *callGraph) isMetered(node uint32, metered []bool) bool {
	if int(node) < g.functions {
		return metered[node]
	}
	members := g.members[int(node)-g.functions]
	return len(members) > 0 && metered[members[0]]
}
