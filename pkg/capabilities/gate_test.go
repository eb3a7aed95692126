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

package capabilities_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/tracing"
)

func TestGate(t *testing.T) {
	gate := capabilities.NewGate("p", tracing.NewLog("p", 100, 100))
	for _, test := range []struct {
		name    string
		call    abi.HostCall
		err     string
		reports bool
	}{
		{name: "tracing needs no grant", call: abi.HostCall{Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte(`{"level":"info"}`)}},
		{name: "tracing knows one operation", call: abi.HostCall{Binding: "kubewarden", Namespace: "tracing", Operation: "read"}, err: "unknown operation: read"},
		{name: "binding comes first", call: abi.HostCall{Binding: "tracing", Namespace: "tracing", Operation: "log"}, err: "unknown binding: tracing"},
		{name: "no binding", call: abi.HostCall{Namespace: "tracing", Operation: "log"}, err: "unknown binding: "},
		{name: "kubernetes", call: abi.HostCall{Binding: "kubewarden", Namespace: "kubernetes", Operation: "get_resource", Payload: []byte("not JSON")},
			err: "Policy has not been granted access to the 'kubernetes/get_resource' host capability. The violation has been reported.", reports: true},
		{name: "oci", call: abi.HostCall{Binding: "kubewarden", Namespace: "oci", Operation: "v2/verify"},
			err: "Policy has not been granted access to the 'oci/v2/verify' host capability. The violation has been reported.", reports: true},
		{name: "unknown", call: abi.HostCall{Binding: "kubewarden", Namespace: "tracing/log", Operation: "log"},
			err: "Policy has not been granted access to the 'tracing/log/log' host capability. The violation has been reported.", reports: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
			_, err := gate.Call(klog.NewContext(t.Context(), logger), test.call)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, test.err)
			}
			logged := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
			if test.reports {
				require.Contains(t, logged, `policy="p" hostCapability="`+test.call.Namespace+"/"+test.call.Operation+`"`)
			} else {
				require.NotContains(t, logged, "hostCapability")
			}
		})
	}
}
