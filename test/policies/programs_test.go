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
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// runProgram runs a policy that is a program in a minimal host: a new instance whose standard input
// is a queue.
func runProgram(ctx context.Context, t *testing.T, name, operation string, payload []byte,
	hostCall hostCallFunc) (answer []byte, err error) {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(builtDir, name+".wasm"))
	require.NoError(t, err)
	runtime := wazero.NewRuntimeWithConfig(ctx,
		wazero.NewRuntimeConfig().WithCompilationCache(compiled).
			WithMemoryLimitPages(memoryLimitPages))
	t.Cleanup(func() { require.NoError(t, runtime.Close(context.Background())) })
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)

	input := bytes.NewBuffer(payload)
	read := func(m api.Module, at, length uint32) []byte {
		p, ok := m.Memory().Read(at, length)
		require.True(t, ok)
		return bytes.Clone(p)
	}
	_, err = runtime.NewHostModuleBuilder("host").NewFunctionBuilder().WithFunc(
		func(_ context.Context, m api.Module, bd, bdLen, ns, nsLen, op, opLen, p,
			pLen uint32) uint32 {
			require.Zero(t, input.Len(), "the policy did not read all of its input")
			answer, err := hostCall(string(read(m, bd, bdLen)), string(read(m, ns, nsLen)),
				string(read(m, op, opLen)), read(m, p, pLen))
			if err != nil {
				input.WriteString(err.Error())
				return 1
			}
			input.Write(answer)
			return 0
		}).Export("call").Instantiate(ctx)
	require.NoError(t, err)

	var stdout, stderr bytes.Buffer
	_, err = runtime.InstantiateWithConfig(ctx, wasm,
		wazero.NewModuleConfig().WithArgs("policy.wasm", operation).
			WithStdin(input).WithStdout(&stdout).WithStderr(&stderr).WithSysWalltime().
			WithSysNanotime())
	if exit := (*sys.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 0 {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s(%w)", stderr.String(), err)
	}
	return stdout.Bytes(), nil
}

// lookUp answers the policies' host calls from namespaces.
func lookUp(t *testing.T, logged *int) hostCallFunc {
	return func(binding, namespace, operation string, payload []byte) ([]byte, error) {
		require.Equal(t, "kubewarden", binding)
		switch namespace + "/" + operation {
		case "tracing/log":
			require.True(t, json.Valid(payload))
			*logged++
			return nil, nil
		case "kubernetes/get_resource":
		default:
			return nil, errNoHostCalls
		}
		var request struct {
			APIVersion string `json:"api_version"`
			Kind, Name string
		}
		require.NoError(t, json.Unmarshal(payload, &request))
		require.Equal(t, "v1 Namespace", request.APIVersion+" "+request.Kind)
		object, found := namespaces[request.Name]
		if !found {
			return nil, errors.New("no namespace " + request.Name)
		}
		return []byte(object), nil
	}
}

func TestProgramsValidate(t *testing.T) {
	for policy, cases := range programCases {
		used := map[string]bool{}
		for _, tc := range cases {
			file := filepath.Join(policy, "testdata", tc.request+".json")
			used[file] = true
			t.Run(policy+"/"+tc.request, func(t *testing.T) {
				settings := tc.settings
				if settings == "" {
					settings = programSettings[policy][0].settings
				}
				request, err := os.ReadFile(file)
				require.NoError(t, err)
				logged := 0
				answer, err := runProgram(t.Context(), t, policy, "validate",
					fmt.Appendf(nil, `{"request":%s,"settings":%s}`, request, settings),
					lookUp(t, &logged))
				if tc.wantErr != "" {
					require.ErrorContains(t, err, tc.wantErr)
					return
				}
				require.NoError(t, err)
				var got verdict
				require.NoError(t, json.Unmarshal(answer, &got), "%s", answer)
				require.Equal(t, tc.refused, got.Message)
				require.Equal(t, tc.refused == "", got.Accepted)
				require.Equal(t, tc.code, got.Code)
				require.Equal(t, got.MutatedObject != nil, logged == 1)
				requireMutated(t, got, policy, policyCase{Request: tc.request + ".json"})
			})
		}
		files, err := filepath.Glob(filepath.Join(policy, "testdata", "*.json"))
		require.NoError(t, err)
		for _, file := range files {
			require.True(t, used[file], file)
		}
	}
}

func TestProgramsValidateSettings(t *testing.T) {
	for policy, cases := range programSettings {
		for _, tc := range cases {
			t.Run(policy+"/"+tc.settings, func(t *testing.T) {
				answer, err := runProgram(t.Context(), t, policy, "validate-settings",
					[]byte(tc.settings), noHostCalls)
				require.NoError(t, err)
				var got struct {
					Valid   bool
					Message string
				}
				require.NoError(t, json.Unmarshal(answer, &got), "%s", answer)
				require.Equal(t, tc.refused == "", got.Valid)
				require.Equal(t, tc.refused, got.Message)
			})
		}
	}
}

func TestProgramsHaveMetadata(t *testing.T) {
	for policy := range programCases {
		wasm, err := os.ReadFile(filepath.Join(builtDir, policy+".wasm"))
		require.NoError(t, err)
		requireMetadata(t, wasm, filepath.Join(policy, "metadata.yml"))
		_, err = runProgram(t.Context(), t, policy, "protocol_version", nil, noHostCalls)
		require.ErrorContains(t, err, "unknown operation protocol_version")
	}
}
