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

// Package network makes network queries through the host.
package network

import "github.com/wasm-admission/wasm-admission/sdk/go/internal/capability"

// LookupHost returns the addresses of a host name from the host's resolver. A failure is a
// policy.HostError.
func LookupHost(host string) (addresses []string, err error) {
	answer, err := capability.Call[struct {
		IPs []string `json:"ips"`
	}]("net", "v1/dns_lookup_host", host)
	return answer.IPs, err
}
