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
	"github.com/open-policy-agent/opa/v1/topdown"
)

// lent holds all functions that guests may call, with the bound of a call. A function is listed if
// the Open Policy Agent's compiler does not put it into modules, and if the cost of a call can be
// computed in advance.
var lent = map[string]pricing{
	"base64url.encode_no_pad":               linear(20, 4),
	"crypto.md5":                            linear(50, 4),
	"crypto.sha1":                           linear(50, 4),
	"crypto.sha256":                         linear(50, 4),
	"crypto.x509.parse_certificate_request": priceCertificates,
	"crypto.x509.parse_certificates":        priceCertificates,
	"glob.quote_meta":                       linear(100, 6),
	"graph.reachable_paths":                 pricePaths,
	"hex.decode":                            linear(20, 4),
	"hex.encode":                            linear(20, 4),
	"indexof_n":                             priceIndexes,
	"internal.print":                        pricePrint,
	"io.jwt.decode":                         priceToken,
	"json.is_valid":                         linear(100, 1), // newer compilers put it into modules

	"json.marshal_with_options": priceIndented,
	"json.patch":                pricePatch,
	"net.cidr_contains_matches": priceNetworkPairs,
	"net.cidr_expand":           priceExpansion,
	"net.cidr_is_valid":         linear(200, 4),
	"net.cidr_merge":            priceMerge,
	"numbers.range_step":        priceRange,
	"object.subset":             priceSubset,
	"rand.intn":                 priceRemembered,
	"regex.find_n":              priceFind,
	"regex.globs_match":         priceGlobs,
	"regex.replace":             priceReplacement,
	"regex.split":               priceSplit,
	"regex.template_match":      priceTemplateMatch,
	"semver.compare":            linear(1000, 20),
	"semver.is_valid":           linear(1000, 20),
	"sprintf":                   priceFormat,
	"strings.any_prefix_match":  linear(500, 8),
	"strings.any_suffix_match":  linear(500, 8),
	"strings.count":             linear(50, 2),
	"strings.render_template":   priceTemplate,
	"strings.split_n":           pricePieces,
	"time.add_date":             priceTime,
	"time.clock":                priceTime,
	"time.date":                 priceTime,
	"time.diff":                 priceTime,
	"time.format":               priceTime,
	"time.now_ns":               linear(0, 0),
	"time.parse_duration_ns":    priceTime,
	"time.parse_ns":             priceTime,
	"time.parse_rfc3339_ns":     priceTime,
	"time.weekday":              priceTime,
	"trace":                     linear(20, 2),
	"units.parse":               priceUnits,
	"units.parse_bytes":         priceUnits,
	"uri.is_valid":              linear(200, 10),
	"uri.parse":                 linear(500, 20),
	"urlquery.decode":           linear(100, 4),
	"urlquery.decode_object":    priceQuery,
	"urlquery.encode":           linear(100, 8),
	"urlquery.encode_object":    priceQueryObject,
	"uuid.parse":                linear(200, 10),
	"uuid.rfc4122":              priceRemembered,
	"yaml.is_valid":             priceYAML,
	"yaml.marshal":              priceYAMLOf,
	"yaml.unmarshal":            priceYAML,
}

// aliases are functions that Kubewarden names without the part before the dot.
var aliases = map[string]string{
	"date":             "time.date",
	"parse_rfc3339_ns": "time.parse_rfc3339_ns",
}

// strict are the functions that Kubewarden's host has. There, a failure ends the evaluation.
var strict = []string{
	"base64url.encode_no_pad", "date", "glob.quote_meta", "hex.decode", "hex.encode",
	"json.is_valid", "json.patch",
	"parse_rfc3339_ns", "regex.find_n", "regex.split", "regex.template_match", "semver.compare",
	"semver.is_valid",
	"sprintf", "time.now_ns", "trace", "urlquery.decode", "urlquery.decode_object",
	"urlquery.encode",
	"urlquery.encode_object", "yaml.is_valid", "yaml.marshal", "yaml.unmarshal",
}

// withheld maps the functions that are not provided to the reasons.
var withheld = map[string]string{
	"http.send":          network,
	"net.lookup_ip_addr": network,
	"opa.runtime":        "it reveals the host's environment",

	"json.match_schema":  schemas,
	"json.verify_schema": schemas,

	"graphql.is_valid":         queries,
	"graphql.parse":            queries,
	"graphql.parse_and_verify": queries,
	"graphql.parse_query":      languages,
	"graphql.parse_schema":     languages,
	"graphql.schema_is_valid":  languages,
	"rego.parse_module":        languages,

	"cast_array":           casts,
	"cast_boolean":         casts,
	"cast_null":            casts,
	"cast_object":          casts,
	"cast_set":             casts,
	"cast_string":          casts,
	"crypto.hmac.equal":    tokens,
	"crypto.hmac.md5":      tokens,
	"crypto.hmac.sha1":     tokens,
	"crypto.hmac.sha256":   tokens,
	"crypto.hmac.sha512":   tokens,
	"io.jwt.decode_verify": tokens,
	"io.jwt.verify_eddsa":  tokens,
	"io.jwt.verify_es256":  tokens,
	"io.jwt.verify_es384":  tokens,
	"io.jwt.verify_es512":  tokens,
	"io.jwt.verify_hs256":  tokens,
	"io.jwt.verify_hs384":  tokens,
	"io.jwt.verify_hs512":  tokens,
	"io.jwt.verify_ps256":  tokens,
	"io.jwt.verify_ps384":  tokens,
	"io.jwt.verify_ps512":  tokens,
	"io.jwt.verify_rs256":  tokens,
	"io.jwt.verify_rs384":  tokens,
	"io.jwt.verify_rs512":  tokens,

	"crypto.parse_private_keys":         secrets,
	"crypto.x509.parse_keypair":         secrets,
	"crypto.x509.parse_rsa_private_key": secrets,
	"io.jwt.encode_sign":                secrets,
	"io.jwt.encode_sign_raw":            secrets,
	"providers.aws.sign_req":            secrets,

	"crypto.x509.parse_and_verify_certificates":              chains,
	"crypto.x509.parse_and_verify_certificates_with_options": chains,

	"internal.test_case":  compiled,
	"print":               compiled,
	"rego.metadata.chain": compiled,
	"rego.metadata.rule":  compiled,
}

const (
	network   = "it reaches out to the network"
	schemas   = "a schema may refer to files of the host, or to itself without end, and an overflow of Go's stack ends the process"
	queries   = "it compares the fields of a query with each other, including those of nested fragments, and cannot be interrupted"
	languages = "it parses a complete language, without a known bound on time and stack"
	secrets   = "it works with private keys, which policies do not need, at a cost that grows with the cube of their length"
	tokens    = "it verifies tokens and messages with keys, which admission requests do not carry, and the author of a key decides how long a check takes"
	casts     = "it is deprecated: use is_array and the like, or a comprehension"
	chains    = "it checks up to a hundred signatures by keys of any length to find a chain"
	compiled  = "the compiler of the Open Policy Agent replaces it"
)

// native are the functions that the Open Policy Agent's compiler puts into modules. No module needs
// the host for them, and the Go implementations of these names are unbounded.
var native = []string{
	"abs", "all", "and", "any", "array.concat", "array.flatten", "array.reverse", "array.slice",
	"assign",
	"base64.decode", "base64.encode", "base64.is_valid", "base64url.decode", "base64url.encode",
	"bits.and",
	"bits.lsh", "bits.negate", "bits.or", "bits.rsh", "bits.xor", "ceil", "concat", "contains",
	"count", "div",
	"endswith", "eq", "equal", "floor", "format_int", "glob.match", "graph.reachable", "gt", "gte",
	"indexof",
	"internal.member_2", "internal.member_3", "internal.template_string", "intersection",
	"is_array",
	"is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "json.filter",
	"json.marshal",
	"json.remove", "json.unmarshal", "lower", "lt", "lte", "max", "min", "minus", "mul", "neq",
	"net.cidr_contains", "net.cidr_intersects", "net.cidr_overlap", "numbers.range",
	"object.filter",
	"object.get", "object.keys", "object.remove", "object.union", "object.union_n", "or", "plus",
	"product",
	"re_match", "regex.find_all_string_submatch_n", "regex.is_valid", "regex.match", "rem",
	"replace", "round",
	"set_diff", "sort", "split", "startswith", "strings.replace_n", "strings.reverse", "substring",
	"sum",
	"to_number", "trim", "trim_left", "trim_prefix", "trim_right", "trim_space", "trim_suffix",
	"type_name",
	"union", "upper", "walk",
}

// own are functions that do not come from the Open Policy Agent.
var own = map[string]topdown.BuiltinFunc{"trace": trace}
