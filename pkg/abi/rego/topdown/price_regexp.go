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
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Bounds of regular expressions.
const (
	maxPatternBytes = 2 << 10
	maxInstructions = 2_000
	// maxCompiledBytes is the maximum size of a compiled expression. The Open Policy Agent caches
	// 100 expressions for the whole process.
	maxCompiledBytes = 1 << 20
	// maxTables limits how often an expression may name a Unicode class. Even the parser copies the
	// table of the class each time.
	maxTables = 16
	// maxFolded limits the characters in the ranges of an expression that ignores case, because the
	// parser visits each of them. foldWork is the fuel for each of these characters. An expression
	// is parsed twice.
	maxFolded = 500_000
	foldWork  = 400
	// lastFolded is greater than any character that has a case.
	lastFolded = 0x1e944

	// stepWork is the fuel for one instruction and one byte of text. compileWork is the fuel to
	// compile an instruction.
	stepWork    = 30
	compileWork = 10_000

	// unbounded stands for a length without a bound.
	unbounded = 1 << 40
)

// pattern holds the properties of a regular expression that determine its cost.
type pattern struct {
	instructions, captures int64
	// ends counts the ends of the ranges in all classes. branches counts the places where a match
	// may continue in more than one way. An expression that is anchored at the beginning of the
	// text is compiled with the ends of everything that may follow a branch.
	ends, branches int64
	anchored       bool
	// folded counts the characters for which the parser looks up other cases.
	folded int64
	// ahead is the number of bytes that may be read past the end of a match, in search of a match
	// that is preferred to it. It is unbounded for most expressions with repetitions.
	ahead int64
	err   error
}

// priceOf parses a regular expression and returns its properties. An invalid one costs nothing.
func priceOf(text string) pattern {
	err := exceeds("bytes of a regular expression", int64(len(text)), maxPatternBytes)
	if err != nil {
		return pattern{err: err}
	}
	// These bounds are checked before the expression is parsed.
	tables, folded := int64(strings.Count(text, `\p`)+strings.Count(text, `\P`)), folded(text)
	if err := exceeds("classes of Unicode in a regular expression", tables, maxTables); err != nil {
		return pattern{err: err}
	}
	if err := exceeds("characters in ranges of a regular expression that ignores case", folded,
		maxFolded); err != nil {
		return pattern{err: err}
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return pattern{folded: folded} // the function itself reports the error
	}
	p := pattern{captures: int64(re.MaxCap()), ahead: ahead(re), folded: folded}
	p.count(re, 1)
	p.err = exceeds("instructions of a regular expression", p.instructions, maxInstructions)
	if p.err == nil {
		p.err = exceeds("bytes of a regular expression when it is compiled", p.memory(),
			maxCompiledBytes)
	}
	return p
}

// folded returns the maximum number of characters in the ranges of an expression that may ignore
// case. An escape may stand for any character.
func folded(text string) (count int64) {
	ignores := false
	for _, rest := range strings.Split(text, "(?")[1:] {
		flags := rest[:len(rest)-len(strings.TrimLeft(rest, "imsU-"))]
		ignores = ignores || strings.Contains(flags, "i")
	}
	if !ignores {
		return 0
	}
	for _, rest := range strings.Split(text, "-")[1:] {
		last, _ := utf8.DecodeRuneInString(rest)
		if last == '\\' {
			last = lastFolded
		}
		count += min(int64(last)+1, lastFolded)
	}
	return count
}

// count adds the instructions of an expression that is repeated the given number of times.
func (p *pattern) count(re *syntax.Regexp, repeated int64) {
	own := int64(2)
	switch re.Op {
	case syntax.OpLiteral:
		own = max(own, int64(len(re.Rune)))
	case syntax.OpCharClass:
		p.ends += int64(len(re.Rune))
	case syntax.OpBeginText, syntax.OpBeginLine:
		p.anchored = true
	case syntax.OpRepeat:
		repeated = times(repeated, int64(max(re.Min+1, re.Max, 1)))
		p.branches += repeated
	case syntax.OpAlternate:
		p.branches += times(repeated, int64(len(re.Sub)))
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		p.branches += repeated
	}
	p.instructions = min(p.instructions+times(own, repeated), unbounded)
	for _, sub := range re.Sub {
		p.count(sub, repeated)
	}
}

// ahead returns how far past a match an expression reads. If an expression ends with a repeated
// single character, reading on only makes the match longer.
func ahead(re *syntax.Regexp) int64 {
	re = uncaptured(re)
	switch {
	case repeatsCharacter(re):
		return 4
	case re.Op == syntax.OpConcat && len(re.Sub) > 0 &&
		repeatsCharacter(uncaptured(re.Sub[len(re.Sub)-1])):
		total := int64(4)
		for _, sub := range re.Sub[:len(re.Sub)-1] {
			total = min(total+longest(sub), unbounded)
		}
		return total
	}
	return longest(re)
}

func uncaptured(re *syntax.Regexp) *syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	return re
}

// repeatsCharacter reports whether an expression is a single character with unlimited repetition.
func repeatsCharacter(re *syntax.Regexp) bool {
	if re.Op != syntax.OpStar && re.Op != syntax.OpPlus || re.Flags&syntax.NonGreedy != 0 {
		return false
	}
	sub := uncaptured(re.Sub[0])
	switch sub.Op {
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpLiteral:
		return len(sub.Rune) == 1
	}
	return false
}

// longest returns the maximum number of bytes that an expression can match.
func longest(re *syntax.Regexp) (length int64) {
	switch re.Op {
	case syntax.OpLiteral:
		return 4 * int64(len(re.Rune))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 4
	case syntax.OpStar, syntax.OpPlus:
		return unbounded
	case syntax.OpRepeat:
		if re.Max < 0 {
			return unbounded
		}
		return min(times(longest(re.Sub[0]), int64(re.Max)), unbounded)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			length = max(length, longest(sub))
		}
		return length
	}
	for _, sub := range re.Sub {
		length = min(length+longest(sub), unbounded)
	}
	return length
}

// all returns the price of finding all matches in a text. The search restarts after each match.
func (p pattern) all(text int64, memory int64) price {
	text++
	return price{
		work: times(p.instructions, compileWork+times(text, min(text, p.ahead+1), stepWork)) +
			1000*text + p.parseWork(),
		memory: p.memory() + memory,
		err:    p.err,
	}
}

func (p pattern) memory() int64 {
	copies := int64(1)
	if p.anchored {
		copies += min(p.branches, maxInstructions)
	}
	return maxPatternBytes*64 + 400*p.instructions + times(8, p.ends, copies)
}

// parseWork returns the fuel to parse the classes.
func (p pattern) parseWork() int64 { return foldWork * (p.folded + p.ends) }

func priceSplit(c *priced) price { return priceMatches(c.text(0), c.text(1), unbounded) }

func priceFind(c *priced) price {
	most := int64(unbounded)
	if n, ok := c.operands[2].Value.(ast.Number); ok {
		if found, ok := n.Int64(); ok && found >= 0 {
			most = found
		}
	}
	return priceMatches(c.text(0), c.text(1), most)
}

func priceMatches(expression, text string, most int64) price {
	length := int64(len(text))
	return priceOf(expression).all(length, times(min(length+1, most), termBytes))
}

// priceReplacement prices regex.replace. A match at each byte inserts a replacement, and each two
// bytes of a replacement may refer to the match.
func priceReplacement(c *priced) price {
	text, replacement := int64(len(c.text(0))), int64(len(c.text(2)))
	p := priceOf(c.text(1))
	result := text + times(text+1, replacement) + times(text, replacement/2)
	return p.all(text, 3*result+times(text+1, 16*(p.captures+1)+48))
}

// priceTemplateMatch prices regex.template_match, which combines the expressions between the
// delimiters into one.
func priceTemplateMatch(c *priced) price {
	template, text, start, end := c.text(0), int64(len(c.text(1))), c.text(2), c.text(3)
	if err := exceeds("bytes of a regular expression", int64(len(template)),
		maxPatternBytes); err != nil {
		return refused(err)
	}
	if len(start) != 1 || len(end) != 1 {
		return linear(1, 1)(c)
	}
	expression, ok := templateExpression(template, start[0], end[0])
	if !ok {
		return linear(1, 1)(c)
	}
	// Quoting can double the length of the other parts.
	p := priceOf(expression[:min(len(expression), maxPatternBytes)])
	if len(expression) > maxPatternBytes {
		return refused(exceeds("bytes of a regular expression", int64(len(expression)),
			maxPatternBytes))
	}
	return price{
		work:   times(p.instructions, 2*compileWork+times(text+1, stepWork)) + 2*p.parseWork(),
		memory: 2 * p.memory(),
		err:    p.err,
	}
}

// templateExpression returns the expression that the Open Policy Agent builds from a template, and
// false if it builds none.
func templateExpression(template string, start, end byte) (string, bool) {
	var expression strings.Builder
	expression.WriteByte('^')
	level, from, after := 0, 0, 0
	for n := range len(template) {
		switch template[n] {
		case start:
			if level++; level == 1 {
				from = n
			}
		case end:
			if level--; level < 0 {
				return "", false
			}
			if level == 0 {
				expression.WriteString(regexp.QuoteMeta(template[after:from]) + "(" +
					template[from+1:n] + ")")
				after = n + 1
			}
		}
	}
	expression.WriteString(regexp.QuoteMeta(template[after:]) + "$")
	return expression.String(), level == 0
}
