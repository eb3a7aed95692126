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

package wasm

import (
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/crypto"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/net"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// newCapabilities returns what all policies share. It is called before the apiserver
// serves, starts its informers or knows its authorizer well: what it makes must ask
// nothing of them until a policy asks. Namespace kubernetes, with its inventories, has
// its place here.
func newCapabilities(config *wasmadmission.WasmAdmissionConfiguration) policyset.Capabilities {
	dns := &config.Capabilities.DNS
	return policyset.Capabilities{ByNamespace: map[string]capabilities.Capability{
		"net":    net.New(net.Options{CacheEntries: int(dns.CacheEntries), CacheTTL: dns.CacheTTL.Duration}),
		"crypto": crypto.New(nil),
		"oci":    oci.New(nil),
	}}
}
