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

package policyset

import (
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
)

// ModuleRequest returns the request that fetches a policy's module: its URI, the digest that it
// must have, and the demands on its signatures.
func ModuleRequest(uri, digest string, v *wasmadmission.PolicyVerification) module.Request {
	request := module.Request{URI: uri, Digest: digest}
	if v != nil {
		request.Demands = modules.Demands{
			Required: v.Required != nil && *v.Required,
			Config:   v.Config.Raw,
		}.Text()
	}
	return request
}
