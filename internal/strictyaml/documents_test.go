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

package strictyaml_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

func TestDocuments(t *testing.T) {
	for stream, want := range map[string][]strictyaml.Document{
		"":                            nil,
		"# nothing\n---\n# here\n...": nil,
		"a: 1":                        {{Content: []byte("a: 1")}},
		"---\na: 1\n---\nb: 2\n": {{Content: []byte("\na: 1\n")},
			{Content: []byte("\nb: 2\n"), Line: 2}},
		"--- a\n--- b": {{Content: []byte(" a\n")},
			{Content: []byte(" b"), Line: 1}},
		"a: 1\n... # end\nb: 2\n": {{Content: []byte("a: 1\n")},
			{Content: []byte(" # end\nb: 2\n"), Line: 1}},
		"%YAML 1.1\n---\na: 1\n":  {{Content: []byte("\na: 1\n"), Line: 1}},
		"a: >\n  x\n  ---\n  y\n": {{Content: []byte("a: >\n  x\n  ---\n  y\n")}},
		"a: 1\n---\u2028b: 2\n": {{Content: []byte("a: 1\n")},
			{Content: []byte("\u2028b: 2\n"), Line: 1}},
		"---a: 1\n": {{Content: []byte("---a: 1\n")}},
	} {
		var got []strictyaml.Document
		for d := range strictyaml.Documents([]byte(stream)) {
			got = append(got, d)
		}
		require.Equal(t, want, got, "%q", stream)
		require.Equal(t, min(len(want), 1), strictyaml.Count([]byte(stream), 1), "%q", stream)
		require.Equal(t, len(want), strictyaml.Count([]byte(stream), 9), "%q", stream)

		// The parser must see the same number of documents, or refuse the stream. It must not skip
		// one silently.
		if parsed, err := parse(stream); err == nil {
			require.Equal(t, len(want), parsed, "%q", stream)
		}
	}
}

// parse counts the non-empty documents of a stream.
func parse(stream string) (count int, err error) {
	decoder := yamlv3.NewDecoder(bytes.NewReader([]byte(stream)))
	for {
		var node yamlv3.Node
		err := decoder.Decode(&node)
		switch {
		case errors.Is(err, io.EOF):
			return count, nil
		case err != nil:
			return 0, err
		case node.Kind != 0 && node.Content[0].Tag != "!!null":
			count++
		}
	}
}
