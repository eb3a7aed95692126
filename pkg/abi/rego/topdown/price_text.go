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
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// termBytes is the approximate memory of a string or a number in a result, without its text.
const termBytes = 120

// priceFormat prices sprintf. Each verb prints its argument at up to ten times its length, as %q
// does with unprintable characters, or at the width that it specifies. Explicit indexes can reuse
// arguments. The standard library accepts widths of up to a million.
func priceFormat(c *priced) price {
	const most, verb = 1_000_000, 64
	format := c.text(0)
	total := int64(len(format)) + 10*int64(len(c.texts[1]))*int64(1+strings.Count(format, "[")) +
		verb*c.size(1)
	number := int64(0)
	for _, b := range []byte(format) {
		switch {
		case b >= '0' && b <= '9':
			number = min(10*number+int64(b-'0'), most)
			continue
		case b == '*':
			total += most
		case b == '%':
			total += verb
		}
		total, number = total+number, 0
	}
	total += number
	return price{work: 20 * total, memory: 3 * total}
}

// priceIndexes prices indexof_n, which compares at each occurrence of the first byte.
func priceIndexes(c *priced) price {
	text, search := c.text(0), c.text(1)
	if search == "" {
		return linear(1, 1)(c)
	}
	found := int64(strings.Count(text, search[:1]))
	return price{
		work:   100*int64(len(text)) + times(found, 10*int64(len(search))+500),
		memory: 8*c.bytes + found*termBytes,
	}
}

// pricePieces prices strings.split_n.
func pricePieces(c *priced) price {
	text, delimiter := c.text(0), c.text(1)
	pieces := int64(strings.Count(text, delimiter)) + 1
	return price{work: 50*c.bytes + 1000*pieces, memory: c.bytes + pieces*termBytes}
}

// pricePrint prices internal.print. Sets multiply the printed lines.
func pricePrint(c *priced) price {
	lines, array := int64(1), (*ast.Array)(nil)
	array, _ = c.operands[0].Value.(*ast.Array)
	if array != nil {
		array.Foreach(func(t *ast.Term) {
			if set, ok := t.Value.(ast.Set); ok {
				lines = times(lines, int64(max(1, set.Len())))
			}
		})
	}
	// A line is at most as long as all arguments.
	return price{work: times(lines, 20_000+20*c.bytes), memory: 4 * c.bytes}
}

// priceTime prices functions of time. Time zones come from files or from the program.
func priceTime(c *priced) price {
	const most, zone = 1 << 10, 3_000_000
	if err := exceeds("bytes of times and layouts", c.bytes, most); err != nil {
		return refused(err)
	}
	work := int64(5000)
	if len(c.operands) > 0 && c.elements > int64(len(c.operands)) {
		work = zone
	}
	return price{work: work + 2000*c.bytes, memory: 100 * c.bytes}
}

// priceUnits prices units.parse and units.parse_bytes, which expand all digits. The functions drop
// quotes, and then refuse exponents of more than six digits.
func priceUnits(c *priced) price {
	const most, digits, own = 256, 3, 6
	text := c.text(0)
	if err := exceeds("bytes of a quantity", int64(len(text)), most); err != nil {
		return refused(err)
	}
	text = strings.ReplaceAll(text, `"`, "")
	for n, b := range []byte(text) {
		if b != 'e' && b != 'E' {
			continue
		}
		exponent := strings.TrimLeft(text[n+1:], "+-")
		written := len(exponent) - len(strings.TrimLeft(exponent, "0123456789"))
		if err := exceeds("digits of an exponent", int64(written), digits); err != nil &&
			written <= own {
			return refused(err)
		}
	}
	return price{work: 1_000_000, memory: 64 << 10}
}

// priceRemembered prices functions whose results are cached until the evaluation ends.
func priceRemembered(c *priced) price {
	const most, keys = 256, 10_000
	if err := exceeds("bytes of a key", c.bytes, most); err != nil {
		return refused(err)
	}
	if err := exceeds("keys of one evaluation", int64(len(c.shared.Cache)), keys); err != nil {
		return refused(err)
	}
	return price{work: 20_000, memory: 2 * most}
}

// priceQuery prices urlquery.decode_object.
func priceQuery(c *priced) price {
	pairs := int64(strings.Count(c.text(0), "&")) + 1
	return price{work: 100*c.bytes + 10_000*pairs, memory: 4*c.bytes + 6*pairs*termBytes}
}

// priceQueryObject prices urlquery.encode_object. It repeats a key for each of its values, and
// writes three bytes for each byte.
func priceQueryObject(c *priced) price {
	total := 3 * c.bytes
	if object, ok := c.operands[0].Value.(ast.Object); ok {
		object.Foreach(func(key, value *ast.Term) {
			name, _ := key.Value.(ast.String)
			total += times(3*int64(len(name))+2, elements(value.Value))
		})
	}
	return price{work: 50*total + 1000*c.elements, memory: 3*total + 4*c.elements*termBytes}
}

// priceToken prices functions that parse a token.
func priceToken(c *priced) price {
	const most = 64 << 10
	if err := exceeds("bytes of a token", c.bytes, most); err != nil {
		return refused(err)
	}
	return price{work: 100_000 + 500*c.bytes, memory: 100 * c.bytes}
}

// priceCertificates prices functions that print certificates.
func priceCertificates(c *priced) price {
	const most = 64 << 10
	if err := exceeds("bytes of certificates", c.bytes, most); err != nil {
		return refused(err)
	}
	return price{work: 100_000 + 10_000*c.bytes, memory: 200 * c.bytes}
}
