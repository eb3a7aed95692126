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

// +k8s:deepcopy-gen=package
// +k8s:conversion-gen=github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission
// +k8s:defaulter-gen=TypeMeta
// +groupName=wasm.admission.config.k8s.io

// Package v1alpha1 is the first version of the configuration file of the WasmAdmission plugin. The
// comments on its types are the reference of the file format. docs/config.md presents the same with
// examples.
package v1alpha1
