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
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// priceIndented prices json.marshal_with_options. Each value may take a line, which begins with a
// prefix and an indent for each level.
func priceIndented(c *priced) price {
	line := int64(2)
	if options, ok := c.operands[1].Value.(ast.Object); ok {
		options.Foreach(func(key, value *ast.Term) {
			text, _ := value.Value.(ast.String)
			if key.Value.Compare(ast.String("indent")) == 0 {
				line += int64(len(text)) * (c.depth + 1)
			} else {
				line += int64(len(text))
			}
		})
	}
	line += c.depth + 1 // tabs by default
	total := 6*c.bytes + times(2*c.elements, line)
	return price{work: 50*total + 2000*c.elements, memory: 3*total + 2*c.elements*termBytes}
}

// pricePatch prices json.patch. Each operation may move all elements of an array, and each copy may
// double the document.
func pricePatch(c *priced) price {
	operations, ok := c.operands[1].Value.(*ast.Array)
	if !ok {
		return linear(1, 1)(c)
	}
	doubled := int64(1)
	operations.Foreach(func(t *ast.Term) {
		operation, ok := t.Value.(ast.Object)
		if !ok {
			return
		}
		if op := operation.Get(ast.InternedTerm("op")); op != nil &&
			op.Value.Compare(ast.String("copy")) == 0 {
			doubled = times(doubled, 2)
		}
	})
	return price{
		work:   times(doubled, 20*c.bytes+times(1+int64(operations.Len()), c.elements, 500)),
		memory: times(doubled, 4*c.bytes+4*termBytes*c.elements),
	}
}

// priceSubset prices object.subset, which may compare all values with all others.
func priceSubset(c *priced) price {
	return price{
		work:   times(int64(len(c.texts[0]))+20, c.size(1), 5),
		memory: c.elements * termBytes,
	}
}

// priceNetworkPairs prices net.cidr_contains_matches, which compares each network with each other.
func priceNetworkPairs(c *priced) price {
	pairs := times(members(c.operands[0]), members(c.operands[1]))
	longest := max(int64(len(c.texts[0])), int64(len(c.texts[1])))
	return price{
		work: times(pairs, 10_000) +
			times(longest, members(c.operands[0])+members(c.operands[1])),
		memory: times(pairs, 10*termBytes),
	}
}

// members returns the number of elements of a collection, or 1 for any other value.
func members(t *ast.Term) int64 {
	if collection, ok := t.Value.(interface{ Len() int }); ok {
		return int64(collection.Len())
	}
	return 1
}

// priceExpansion prices net.cidr_expand.
func priceExpansion(c *priced) price {
	_, network, err := net.ParseCIDR(c.text(0))
	if err != nil {
		return linear(1, 1)(c) // the function itself reports the error
	}
	ones, width := network.Mask.Size()
	addresses := times(1<<min(width-ones, 60), 1)
	return price{work: times(addresses, 5000), memory: times(addresses, 4*termBytes)}
}

// priceMerge prices net.cidr_merge. It merges networks of one family into no more networks than
// before. A range that crosses from one family into the other, or lies in the part of IPv6 that
// represents IPv4, splits into two for each bit of an address.
func priceMerge(c *priced) price {
	four, six, other := false, false, false
	eachElement(c.operands[0], func(t *ast.Term) bool {
		text, _ := t.Value.(ast.String)
		address, _, _ := strings.Cut(string(text), "/")
		parsed, err := netip.ParseAddr(address)
		switch {
		case err != nil: // the function itself reports the error
		case parsed.Is4():
			four = true
		case new(big.Int).SetBytes(parsed.AsSlice()).BitLen() <= 64:
			other = true
		default:
			six = true
		}
		return true
	})
	n, made := members(c.operands[0]), int64(1)
	if other || four && six {
		made = 128
	}
	return price{
		work:   times(n, n, 2) + times(n, made, 20_000),
		memory: times(8, n, made, termBytes),
	}
}

// priceRange prices numbers.range_step.
func priceRange(c *priced) price {
	var numbers []*big.Int
	for _, operand := range c.operands {
		text, _ := operand.Value.(ast.Number)
		n, ok := new(big.Int).SetString(string(text), 10)
		if !ok {
			return refused(fmt.Errorf("%.100s is not an integer", operand.Value))
		}
		numbers = append(numbers, n)
	}
	if numbers[2].Sign() <= 0 {
		return linear(1, 1)(c)
	}
	count := new(big.Int).Sub(numbers[1], numbers[0])
	count.Quo(count.Abs(count), numbers[2])
	count.Add(count, big.NewInt(1))
	if !count.IsInt64() {
		return refused(fmt.Errorf("a range of %.100s elements is too large", count))
	}
	digits := max(int64(len(c.texts[0])), int64(len(c.texts[1])))
	return price{
		work:   times(count.Int64(), 3000+100*digits),
		memory: times(count.Int64(), 3*termBytes+2*digits),
	}
}

// nodeBytes is the memory of a value while YAML is read or written. pairWork is the fuel for each
// pair of keys of an object, because each key is compared with all others.
const (
	nodeBytes = 700
	pairWork  = 40
)

// priceYAML prices functions that read YAML. Each of the counted bytes may begin a value. An alias
// repeats a value that may itself contain aliases, so that each three aliases can at most triple
// the document.
func priceYAML(c *priced) price {
	text := c.text(0)
	nodes := int64(1)
	for _, b := range []byte(text) {
		if strings.IndexByte(",\n:-[{?!&", b) >= 0 {
			nodes++
		}
	}
	keys := int64(strings.Count(text, ":") + strings.Count(text, "?"))
	if strings.Contains(text, "{") {
		keys += int64(strings.Count(text, ","))
	}
	grown := int64(1)
	for aliases := countAliases(text); aliases > 0; aliases -= 3 {
		grown = times(grown, 3)
	}
	return price{
		work:   times(grown, 500*c.bytes+20_000*nodes+times(keys, keys, pairWork)),
		memory: times(grown, 8*c.bytes+nodeBytes*nodes),
	}
}

// countAliases returns the maximum number of aliases in a YAML text. A text without anchors has
// none.
func countAliases(text string) (count int) {
	if !strings.Contains(text, "&") {
		return 0
	}
	for n := range len(text) - 1 {
		if text[n] == '*' && !strings.ContainsRune(" \t\r\n", rune(text[n+1])) &&
			(n == 0 || strings.IndexByte(" \t\r\n,[{:-?", text[n-1]) >= 0) {
			count++
		}
	}
	return count
}

// priceYAMLOf prices yaml.marshal. A string may have many lines, each with an indent for each
// level.
func priceYAMLOf(c *priced) price {
	lines := c.elements
	for _, text := range c.texts {
		lines += int64(strings.Count(string(text), "\\n"))
	}
	total := 6*c.bytes + times(lines, 2*c.depth+4)
	return price{
		work:   300*total + 20_000*c.elements + pairWork*pairs(c.operands[0]),
		memory: 4*total + nodeBytes*c.elements,
	}
}

// pairs returns the number of pairs of keys in all objects of a value.
func pairs(value *ast.Term) (count int64) {
	ast.WalkTerms(value, func(t *ast.Term) bool {
		if object, ok := t.Value.(ast.Object); ok {
			count += times(int64(object.Len()), int64(object.Len()))
		}
		return false
	})
	return count
}
