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
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAuditLogger checks that the guest reports the request on each channel.
func TestAuditLogger(t *testing.T) {
	for _, tc := range []struct{ request, summary string }{
		{request: "pod-create", summary: "alice@example.com: CREATE pods shop/web"},
		{request: "namespace-delete", summary: "alice@example.com: DELETE namespaces shop/shop"},
		{request: "pod-exec-connect", summary: "alice@example.com: CONNECT pods/exec shop/web"},
	} {
		t.Run(tc.request, func(t *testing.T) {
			var calls []string
			var payload []byte
			guest := startPolicy(t, "audit-logger",
				func(binding, namespace, operation string, p []byte) ([]byte, error) {
					calls, payload = append(calls, binding+" "+namespace+" "+operation), p
					return nil, nil
				})
			got, err := validate(t, guest, "audit-logger", tc.request, `{}`)
			require.NoError(t, err)
			require.True(t, got.Accepted)
			require.Equal(t, []string{"this request is recorded: " + tc.summary}, got.Warnings)
			require.Equal(t, map[string]string{"recorded": tc.summary}, got.AuditAnnotations)
			require.Equal(t, []string{"kubewarden tracing log"}, calls)
			require.True(t, json.Valid(payload))
			require.Contains(t, string(payload), `"level":"info","message":"`+tc.summary+`"`)
			require.Equal(t, []string{"console: " + tc.summary}, guest.console)
			require.Equal(t, "stdout: "+tc.summary+"\n", guest.stdout.String())
			require.Equal(t, "stderr: "+tc.summary+"\n", guest.stderr.String())
		})
	}
}

// TestAuditLoggerWithoutTracing checks that the policy works and warns if the host refuses to log.
func TestAuditLoggerWithoutTracing(t *testing.T) {
	guest := startPolicy(t, "audit-logger", noHostCalls)
	got, err := validate(t, guest, "audit-logger", "pod-create", `{}`)
	require.NoError(t, err)
	require.True(t, got.Accepted)
	require.Len(t, got.Warnings, 2)
	require.Equal(t, "this request could not be traced: "+errNoHostCalls.Error(), got.Warnings[1])
}
