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

package policies_test

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const watDir = "../wat"

// watCase is the expected behavior of a guest in test/wat. At most one of the want fields is set.
// The default of settings is valid.
type watCase struct {
	wantStartErr, wantErr, wantResponse string
	settings                            string
	hostCall                            hostCallFunc
	deadline                            time.Duration // of validate; 0 means none
}

const accepted = `{"accepted":true}`

var watCases = map[string]watCase{
	"accept":            {wantResponse: accepted},
	"answer":            {wantResponse: `{}`},
	"contains":          {wantResponse: accepted}, // every request contains the empty text
	"deny":              {wantResponse: `{"accepted":false,"message":"denied by deny.wat","code":451}`},
	"code-out-of-range": {wantResponse: `{"accepted":false,"code":200}`},
	"bad-json":          {wantResponse: `{"accepted":tru`},
	"settings-refused": {
		wantResponse: accepted,
		settings:     `{"valid":false,"message":"settings-refused.wat takes no settings"}`,
	},
	"proc-exit-zero-start": {wantResponse: accepted},
	"proc-exit-one-start":  {wantStartErr: "_start: module closed with exit_code(1)"},
	"unknown-import":       {wantStartErr: "module[env] not instantiated"},
	"guest-error":          {wantErr: "guest error: guest-error.wat fails on purpose"},
	"no-response":          {wantErr: "neither a response nor an error"},
	"trap":                 {wantErr: "unreachable"},
	"memory-hog":           {wantErr: "unreachable"},
	"stack-overflow":       {wantErr: "stack overflow"},
	"explode":              {wantResponse: accepted}, // the payload is short
	"obedient":             {wantResponse: accepted}, // the request contains no command
	"huge-response-length": {wantErr: "range of 2147483647 bytes at 65530 is out of bounds"},
	"spin": {
		wantErr: context.DeadlineExceeded.Error(), deadline: 50 * time.Millisecond,
	},
	"host-call": {
		wantResponse: `{"accepted":false,"message":"host calls are not offered"}`,
		hostCall:     noHostCalls,
	},
	"list-resources": {wantErr: "guest error: host calls are not offered", hostCall: noHostCalls},
	"list-requested": {wantErr: "out of bounds memory access"}, // the request has no data
}

func TestWAT(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(watDir, "*.wasm"))
	require.NoError(t, err)
	require.Len(t, files, len(watCases))

	for name, tc := range watCases {
		t.Run(name, func(t *testing.T) {
			wasm, err := os.ReadFile(filepath.Join(watDir, name+".wasm"))
			require.NoError(t, err)
			requireMetadata(t, wasm, filepath.Join(watDir, "metadata.yml"))

			guest, err := startGuest(t.Context(), t, wasm, tc.hostCall)
			if tc.wantStartErr != "" {
				require.ErrorContains(t, err, tc.wantStartErr)
				return
			}
			require.NoError(t, err)
			tc.checkFixedAnswers(t, guest)
			tc.checkValidate(t, guest)
		})
	}
}

func (tc watCase) checkFixedAnswers(t *testing.T, guest *host) {
	version, err := guest.call(t.Context(), "protocol_version", nil)
	require.NoError(t, err)
	require.Equal(t, `"v1"`, string(version))

	want := tc.settings
	if want == "" {
		want = `{"valid":true}`
	}
	settings, err := guest.call(t.Context(), "validate_settings", []byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, want, string(settings))
}

func (tc watCase) checkValidate(t *testing.T, guest *host) {
	ctx := t.Context()
	if tc.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, tc.deadline)
		defer cancel()
	}
	response, err := guest.call(ctx, "validate", []byte(`{"request":{},"settings":{}}`))
	if tc.wantErr != "" {
		require.ErrorContains(t, err, tc.wantErr)
		return
	}
	require.NoError(t, err)
	require.Equal(t, tc.wantResponse, string(response))
}

// TestWATHostCall checks the host call of host-call.wat, and that it accepts with an answer.
func TestWATHostCall(t *testing.T) {
	wasm, err := os.ReadFile(filepath.Join(watDir, "host-call.wasm"))
	require.NoError(t, err)
	guest, err := startGuest(t.Context(), t, wasm,
		func(binding, namespace, operation string, payload []byte) ([]byte, error) {
			require.Equal(t, "kubewarden kubernetes get_resource",
				binding+" "+namespace+" "+operation)
			require.JSONEq(t,
				`{"api_version":"v1","kind":"Namespace","name":"default","disable_cache":false}`,
				string(payload))
			return []byte(`{}`), nil
		})
	require.NoError(t, err)
	response, err := guest.call(t.Context(), "validate", []byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, accepted, string(response))
}

// TestWATListResources checks the host call of list-resources.wat, and whether it reads the answer.
func TestWATListResources(t *testing.T) {
	wasm, err := os.ReadFile(filepath.Join(watDir, "list-resources.wasm"))
	require.NoError(t, err)
	for _, settings := range []string{
		`{"api_version":"v1","kind":"Pod"}`, `{"api_version":"v1","kind":"Pod","then":"read"}`,
	} {
		guest, err := startGuest(t.Context(), t, wasm,
			func(binding, namespace, operation string, payload []byte) ([]byte, error) {
				require.Equal(t, "kubewarden kubernetes list_resources_all",
					binding+" "+namespace+" "+operation)
				require.Equal(t, settings, string(payload))
				return make([]byte, 1<<20), nil
			})
		require.NoError(t, err)
		response, err := guest.call(t.Context(), "validate",
			[]byte(`{"request":{"settings":1},"settings":`+settings+`}`))
		require.NoError(t, err)
		require.Equal(t, accepted, string(response))
	}
}

// TestWATListRequested checks the host call of list-requested.wat, and its verdict.
func TestWATListRequested(t *testing.T) {
	wasm, err := os.ReadFile(filepath.Join(watDir, "list-requested.wasm"))
	require.NoError(t, err)
	const data = `{"api_version":"v1","kind":"Pod","label_selector":"a=b"}`
	for size, want := range map[int]string{
		127: `{"accepted":false,"message":"nothing was found"}`,
		128: accepted,
	} {
		guest, err := startGuest(t.Context(), t, wasm,
			func(binding, namespace, operation string, payload []byte) ([]byte, error) {
				require.Equal(t, "kubewarden kubernetes list_resources_all",
					binding+" "+namespace+" "+operation)
				require.JSONEq(t, data, string(payload))
				return make([]byte, size), nil
			})
		require.NoError(t, err)
		response, err := guest.call(t.Context(), "validate",
			[]byte(`{"request":{"object":{"data":`+data+`}},"settings":{"data":{}}}`))
		require.NoError(t, err)
		require.Equal(t, want, string(response))
	}
}

// TestWATObedient checks the commands of obedient.wat.
func TestWATObedient(t *testing.T) {
	wasm, err := os.ReadFile(filepath.Join(watDir, "obedient.wasm"))
	require.NoError(t, err)
	for text, tc := range map[string]watCase{
		`{"request":{"a":1},"settings":{"tell":"do:d"}}`:               {wantResponse: `{"accepted":false,"message":"told to refuse"}`},
		`{"request":{"tell":"do:m"},"settings":{"tell":"do:t"}}`:       {wantResponse: `{"accepted":true,"mutated_object":{"kind":"Mutated"}}`},
		`{"request":{"tell":"do:w"},"settings":{}}`:                    {wantResponse: `{"accepted":true,"warnings":["told to warn"],"audit_annotations":{"told":"to annotate"}}`},
		`{"request":{"tell":"do:nothing"},"settings":{"tell":"do:t"}}`: {wantResponse: accepted},
		`{"request":{"tell":"do:e"},"settings":{}}`:                    {wantErr: "guest error: told to fail"},
		`{"request":{"tell":"do:t"},"settings":{}}`:                    {wantErr: "unreachable"},
		`{"request":{"tell":"do:s"},"settings":{}}`: {
			wantErr: context.DeadlineExceeded.Error(), deadline: 50 * time.Millisecond,
		},
	} {
		guest, err := startGuest(t.Context(), t, wasm, nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(tc.deadline, time.Minute))
		defer cancel()
		response, err := guest.call(ctx, "validate", []byte(text))
		require.Equal(t, []string{"evaluated"}, guest.console)
		if tc.wantErr != "" {
			require.ErrorContains(t, err, tc.wantErr, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, tc.wantResponse, string(response))
	}
}
