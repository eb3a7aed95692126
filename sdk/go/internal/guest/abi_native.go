//go:build !wasip1

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

package guest

// Host takes the place of a policy's host in native code.
type Host func(binding, namespace, operation string, payload []byte) ([]byte, error)

// host answers host calls. nil fails them.
var host Host

// WithHost runs a function with a host that answers host calls. It is not safe for concurrent use.
func WithHost(h Host, run func()) {
	host = h
	defer func() { host = nil }()
	run()
}

func hostCall(binding, namespace, operation string, payload []byte) ([]byte, error) {
	if host == nil {
		return nil, HostError(
			"host calls need a host: run the policy in WebAssembly, or in a test with policytest")
	}
	answer, err := host(binding, namespace, operation, payload)
	if err != nil {
		return nil, HostError(err.Error())
	}
	return answer, nil
}

func consoleLog(string) {}
