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

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/stretchr/testify/require"
)

// step is a step of a path in a document: a field name or an index.
type step = any

// ways returns the paths to all values in a JSON document.
func ways(v any, way ...step) (all [][]step) {
	below := func(s step, v any) {
		next := append(way[:len(way):len(way)], s)
		all = append(append(all, next), ways(v, next...)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, field := range slices.Sorted(maps.Keys(v)) {
			below(field, v[field])
		}
	case []any:
		for n := range v {
			below(n, v[n])
		}
	}
	return all
}

// edit returns a document with the value at a path changed, or removed if change returns nil.
func (s *suite) edit(document []byte, way []step, change func(any) any) []byte {
	s.Helper()
	var v any
	require.NoError(s, json.Unmarshal(document, &v))
	return []byte(s.json(edited(v, way, change)))
}

func edited(v any, way []step, change func(any) any) any {
	if len(way) == 0 {
		return change(v)
	}
	switch v := v.(type) {
	case map[string]any:
		field := way[0].(string) //nolint:forcetypeassert // created by ways
		if v[field] = edited(v[field], way[1:], change); v[field] == nil {
			delete(v, field)
		}
		return v
	case []any:
		n := way[0].(int) //nolint:forcetypeassert // created by ways
		if v[n] = edited(v[n], way[1:], change); v[n] == nil {
			return append(v[:n], v[n+1:]...)
		}
		return v
	}
	return v
}

// at returns the value at a path.
func (s *suite) at(document []byte, way ...step) (found any) {
	s.edit(document, way, func(v any) any { found = v; return v })
	return found
}

// put returns a document with another value at a path.
func (s *suite) put(document []byte, value any, way ...step) []byte {
	return s.edit(document, way, func(any) any { return value })
}

func remove(any) any { return nil }

// bend slightly changes a leaf: it flips a bit of encoded data, increments a number, or changes a
// letter of a text.
func bend(v any) any {
	switch v := v.(type) {
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return strconv.FormatInt(n+1, 10)
		}
		if content, err := base64.StdEncoding.DecodeString(v); err == nil && len(content) > 16 {
			content[len(content)/2] ^= 1
			return base64.StdEncoding.EncodeToString(content)
		}
		return v + "x"
	case float64:
		return v + 1
	case bool:
		return !v
	}
	return v
}

// text returns a path as text.
func text(way []step) (name string) {
	for _, s := range way {
		name += fmt.Sprintf(".%v", s)
	}
	return name[1:]
}

// unsaid are parts of a bundle that verification does not use: a hint at the key, and fields of a
// log entry that the verifier computes from the signature and from the data that the log signed.
var unsaid = map[string]bool{
	"verificationMaterial.publicKey.hint":                        true,
	"verificationMaterial.tlogEntries.0.kindVersion.kind":        true,
	"verificationMaterial.tlogEntries.0.kindVersion.version":     true,
	"verificationMaterial.tlogEntries.0.canonicalizedBody":       true,
	"verificationMaterial.tlogEntries.0.inclusionProof.logIndex": true,
	"verificationMaterial.tlogEntries.0.inclusionProof.rootHash": true,
	"verificationMaterial.tlogEntries.0.inclusionProof.treeSize": true,
}

// optional are parts that may be missing, because the verifier has the signed file.
var optional = map[string]bool{"messageSignature.messageDigest.digest": true}

// everyField adds cases in which one part of a bundle is changed or missing.
func (x *table) everyField(what string, m signed) {
	for _, way := range ways(x.document(m.bundle)) {
		if unsaid[text(way)] {
			continue
		}
		changed := m
		if !optional[text(way)] {
			changed.bundle = x.edit(m.bundle, way, remove)
			x.refuse(fmt.Sprintf("%s: without %s", what, text(way)), "", changed)
		}
		switch x.at(m.bundle, way...).(type) {
		case map[string]any, []any:
		default:
			changed.bundle = x.edit(m.bundle, way, bend)
			x.refuse(fmt.Sprintf("%s: %s changed", what, text(way)), "", changed)
		}
	}
}
