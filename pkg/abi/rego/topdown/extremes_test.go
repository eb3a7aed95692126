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
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"math/bits"
	"strings"
)

// series returns the arguments of a call, which grow with size.
type series func(size int) []string

// extremes are calls of each provided function with the arguments that cost the most. All of them
// are harmless within the bounds. The tests measure the largest calls that are not refused.
var extremes = map[string][]series{
	"base64url.encode_no_pad":               {one(`a`), one(`\u0001`)},
	"crypto.md5":                            {one(`a`)},
	"crypto.sha1":                           {one(`a`)},
	"crypto.sha256":                         {one(`a`)},
	"crypto.x509.parse_certificate_request": {one(`AAAA`), one(`MIIB`)},
	"crypto.x509.parse_certificates":        {one(`AAAA`), certificates},
	"glob.quote_meta":                       {one(`*`)},
	"graph.reachable_paths": {
		func(n int) []string { return []string{completeGraph(min(n, 200)), `["n0"]`} },
		func(n int) []string { return []string{chain(min(n, 20_000)), `["n0"]`} },
	},
	"hex.decode": {one(`61`)},
	"hex.encode": {one(`a`), one(`\u00e9`)},
	"indexof_n": {
		with(`a`, `"a"`), with(`\u00e9`, `"\u00e9"`),
		func(n int) []string { return []string{quoted(`a`, n), quoted(`a`, n/2+1)} },
	},
	"internal.print": {
		func(n int) []string { return []string{`[` + strings.Repeat(`{1,2,3},`, n) + `"a"]`} },
		func(n int) []string { return []string{`[` + quoted(`a`, n) + `]`} },
	},
	"io.jwt.decode": {token},
	"json.is_valid": {one(`[`), one(`a`)},
	"json.marshal_with_options": {
		func(n int) []string { return []string{array(`1`, n), `{}`} },
		func(n int) []string {
			return []string{array(`[[[1]]]`, 1000), `{"indent":` + quoted(` `, n) + `}`}
		},
		func(n int) []string { return []string{quoted(`<`, n), `{}`} },
	},
	"json.patch": {
		func(n int) []string {
			return []string{`{"a":[]}`, array(`{"op":"add","path":"/a/0","value":1}`, n)}
		},
		func(n int) []string {
			return []string{
				`{"a":` + array(`1`, n) + `}`,
				array(`{"op":"remove","path":"/a/0"}`, min(n, 100)),
			}
		},
		func(n int) []string {
			return []string{
				`{"a":` + array(`1`, n) + `}`,
				array(`{"op":"copy","from":"/a","path":"/a/0"}`, 4),
			}
		},
		func(n int) []string {
			return []string{`{"a":1}`, array(`{"op":"copy","from":"","path":"/b"}`, min(n, 100))}
		},
	},
	"net.cidr_contains_matches": {func(n int) []string {
		return []string{
			"{" + numbers(`"10.0.0.%d/32"`, min(n, 200)) + "}",
			"{" + numbers(`"10.%d.0.0/1"`, min(n, 200)) + "}",
		}
	}},
	"net.cidr_expand": {func(n int) []string {
		return []string{fmt.Sprintf(`"2001:db8::/%d"`, 129-bits.Len(uint(n)))}
	}},
	"net.cidr_is_valid": {one(`1`)},
	"net.cidr_merge": {
		func(n int) []string {
			return []string{`[` + numbers(`"10.1.%[1]d.0/24"`, min(n, 250)) + `]`}
		},
		func(n int) []string { return []string{array(`"10.0.0.0/24"`, n)} },
		func(n int) []string {
			return []string{`[` + numbers(`"2001:db8::%x:0:0/112"`, min(n, 60_000)) + `]`}
		},
	},
	"numbers.range_step": {
		func(n int) []string {
			return []string{`100000000000000`, fmt.Sprintf("10000000%07d", n), `1`}
		},
		func(n int) []string { return []string{`0`, fmt.Sprint(n), `1`} },
	},
	"object.subset": {
		func(n int) []string { return []string{array(`1`, n), array(`1`, n/2)} },
		func(n int) []string { return []string{object(`1`, n), object(`1`, n)} },
		func(n int) []string {
			return []string{array(array(`1`, 30), n), array(array(`1`, 30), n/2)}
		},
	},
	"rand.intn": {with(`a`, `10`)},
	"regex.find_n": {
		func(n int) []string { return []string{`"a"`, quoted(`a`, n), `-1`} },
		func(n int) []string { return []string{`"(a.*b)|a"`, quoted(`a`, n), `-1`} },
		func(n int) []string { return []string{`"a{900}b{90}"`, quoted(`a`, n), `-1`} },
		func(n int) []string { return []string{`"(a|aa|aaa|aaaa)*"`, quoted(`a`, n), `-1`} },
	},
	"regex.globs_match": {
		with(`a`, `"a*"`),
		func(n int) []string { return []string{quoted(`a*`, n), `"aaaa"`} },
		func(n int) []string { return []string{`"[a-\uffff]"`, quoted(`a`, n)} },
		func(n int) []string { return []string{`"[a-\u4fff]"`, quoted(`a`, n)} },
	},
	"regex.replace": {
		with(`a`, `"a"`, `"bb"`), with(`a`, `"(a)"`, `"$1$1"`), with(`a`, `"(a.*b)|a"`, `"$1"`),
		func(n int) []string { return []string{quoted(`a`, 100), `"a"`, quoted(`b`, n)} },
	},
	"regex.split": {after(`","`, `,`), after(`"(,.*;)|,"`, `,`)},
	"regex.template_match": {
		func(n int) []string { return []string{`"x<a{300}>"`, quoted(`a`, n), `"<"`, `">"`} },
		func(n int) []string {
			return []string{`"<(a|aa|aaa|aaaa)*>b"`, quoted(`a`, n), `"<"`, `">"`}
		},
		func(n int) []string { return []string{quoted(`<a>`, n), `"a"`, `"<"`, `">"`} },
	},
	"semver.compare": {with(`1`, `"1.0.0"`), with(`1.`, `"1.0.0"`)},
	"semver.is_valid": {one(`1`), func(n int) []string {
		return []string{`"1.0.0-` + strings.Repeat(`a.`, n) + `a"`}
	}},
	"sprintf": {
		func(n int) []string { return []string{fmt.Sprintf(`"%%%dd"`, n), `[1]`} },
		func(n int) []string { return []string{`"%v"`, `[` + array(`1`, n) + `]`} },
		func(n int) []string { return []string{quoted(`%[1]v`, n), `["a"]`} },
		func(n int) []string {
			return []string{
				`"%q %x %v"`, `[` + strings.Repeat(quoted(`\u0001`, n)+`,`, 2) + quoted(`a`, n) +
					`]`,
			}
		},
		func(n int) []string { return []string{`""`, array(`1`, n)} },
	},
	"strings.any_prefix_match": {func(n int) []string {
		return []string{array(`"aaaa"`, n), array(`"ab"`, n)}
	}},
	"strings.any_suffix_match": {func(n int) []string {
		return []string{array(`"aaaa"`, n), array(`"ba"`, n)}
	}},
	"strings.count": {with(`a`, `"a"`)},
	"strings.render_template": {
		func(n int) []string {
			return []string{`"{{range .l}}{{.}}{{end}}"`, `{"l":` + array(`1`, n) + `}`}
		},
		func(n int) []string { return []string{`"{{.l}}{{.l}}"`, `{"l":` + quoted(`a`, n) + `}`} },
	},
	"strings.split_n": {with(`,`, `","`, `-1`), with(`a`, `""`, `-1`)},
	"time.add_date": {fixed(`9223372036854775807`, `9223372036854775807`,
		`9223372036854775807`, `9223372036854775807`), fixed(`0`, `1e1000`, `1`, `1`),
		fixed(`0`, `1`, `1`, `1`)},
	"time.clock":             {instants},
	"time.date":              {instants},
	"time.diff":              {func(n int) []string { return append(instants(n), `1e18`) }},
	"time.format":            {instants},
	"time.now_ns":            {fixed()},
	"time.parse_duration_ns": {one(`1h`), one(`1d`)},
	"time.parse_ns": {func(n int) []string {
		return []string{quoted(`2006`, n), quoted(`2006`, n)}
	}},
	"time.parse_rfc3339_ns": {one(`1`)},
	"time.weekday":          {instants},
	"trace":                 {one(`a`)},
	"units.parse":           {one(`1`), fixed(`"1e999"`), fixed(`"1e-999"`)},
	"units.parse_bytes":     {one(`1`), fixed(`"1e999"`), fixed(`"1e-999"`)},
	"uri.is_valid":          {one(`%61`), one(`a/`)},
	"uri.parse":             {one(`%61`), one(`a/`)},
	"urlquery.decode":       {one(`%61`)},
	"urlquery.decode_object": {one(`a=b&`), func(n int) []string {
		return []string{`"` + strings.ReplaceAll(numbers(`k%d=`, n), ",", "&") + `"`}
	}},
	"urlquery.encode": {one(`%`)},
	"urlquery.encode_object": {
		func(n int) []string { return []string{object(`"%"`, n)} },
		func(n int) []string {
			return []string{`{"` + strings.Repeat("k", 100) + `":` + array(`""`, n) + `}`}
		},
	},
	"uuid.parse":    {one(`0`), fixed(`"00000000-0000-1000-8000-000000000000"`)},
	"uuid.rfc4122":  {one(`a`)},
	"yaml.is_valid": yamls,
	"yaml.marshal": {
		func(n int) []string { return []string{array(`1`, n)} },
		func(n int) []string { return []string{object(`1`, n)} },
		one(`a\n`), one(`a`),
		func(n int) []string {
			return []string{strings.Repeat(`[`, min(n, 900)) + strings.Repeat(`]`, min(n, 900))}
		},
	},
	"yaml.unmarshal": yamls,
}

var yamls = []series{
	one(`- a\n`), one(`{a: `), one(`- `), one(`a`),
	func(n int) []string { return []string{`"[` + strings.Repeat(`1,`, n) + `1]"`} },
	func(n int) []string { return []string{`"` + bomb(min(n, 40)) + `"`} },
	func(n int) []string { return []string{`"{` + numbers(`k%d: 1`, n) + `}"`} },
	func(n int) []string { return []string{`"{` + numbers(`k%d: {}`, n) + `}"`} },
}

// quoted returns a string of repeated parts.
func quoted(part string, times int) string { return `"` + strings.Repeat(part, times) + `"` }

// array returns an array with elements+1 elements.
func array(element string, elements int) string {
	return `[` + strings.Repeat(element+`,`, elements) + element + `]`
}

// object returns an object with members+1 members.
func object(value string, members int) string {
	var b strings.Builder
	b.WriteString(`{"k":` + value)
	for n := range members {
		fmt.Fprintf(&b, `,"k%d":%s`, n, value)
	}
	return b.String() + `}`
}

// numbers returns texts with a number in each, separated by commas.
func numbers(format string, count int) string {
	var b strings.Builder
	for n := range count {
		fmt.Fprintf(&b, `,`+format, n)
	}
	return b.String()[min(1, b.Len()):]
}

func one(part string) series { return with(part) }

func fixed(arguments ...string) series { return func(int) []string { return arguments } }

func with(part string, rest ...string) series {
	return func(n int) []string { return append([]string{quoted(part, n)}, rest...) }
}

func after(first, part string) series {
	return func(n int) []string { return []string{first, quoted(part, n)} }
}

// instants returns the arguments of a time with a zone and a layout that grows with n.
func instants(n int) []string {
	return []string{`[0,"Europe/Berlin",` + quoted(`2006`, n) + `]`}
}

// chain returns a graph of nodes in a row.
func chain(nodes int) string {
	var b strings.Builder
	for n := range nodes {
		fmt.Fprintf(&b, `"n%d":["n%d"],`, n, n+1)
	}
	return `{` + b.String() + `"end":[]}`
}

// token returns a token whose claims hold an array of numbers.
func token(size int) []string {
	encoded := func(text string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	claims := `{"l":` + array(`1`, size) + `}`
	return []string{
		`"` + encoded(`{"alg":"RS256"}`) + `.` + encoded(claims) + `.` +
			encoded(strings.Repeat(`s`, 64)) + `"`,
	}
}

// certificates returns certificates, one after another.
func certificates(count int) []string {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example.com"}}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return []string{
		`"` +
			base64.StdEncoding.EncodeToString(
				[]byte(strings.Repeat(string(der), min(count, 1000)))) + `"`,
	}
}
