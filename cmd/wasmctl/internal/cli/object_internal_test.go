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

package cli

import (
	"cmp"
	"encoding/json"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
)

// The request holds the object in the same field as a request of the apiserver.
func TestRequestOfAnObject(t *testing.T) {
	const object = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"}}`
	for operation, want := range map[string][2]string{
		"CREATE": {object, "null"},
		"UPDATE": {object, object},
		"DELETE": {"null", object},
	} {
		var f objectFlags
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		f.add(flags)
		require.NoError(t,
			flags.Parse([]string{"--operation", operation, "--user", "ann", "--group", "devs"}))
		of, err := f.object()
		require.NoError(t, err)
		parsed, err := review.ParseFile([]byte(object), of)
		require.NoError(t, err)
		require.Equal(t, string(of.UID), parsed.UID)
		data := parsed.JSON
		var request map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &request))
		require.JSONEq(t, want[0], cmp.Or(string(request["object"]), "null"), operation)
		require.JSONEq(t, want[1], cmp.Or(string(request["oldObject"]), "null"), operation)
		require.JSONEq(t, `{"username":"ann","groups":["devs"]}`, string(request["userInfo"]))
		require.JSONEq(t, `{"group":"","version":"v1","resource":"pods"}`,
			string(request["resource"]))
	}
}
