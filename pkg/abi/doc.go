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

// Package abi defines what a policy and its host exchange: requests and settings, responses, and
// the metadata that a policy carries in its binary. The format is Kubewarden's policy protocol,
// version 1 (https://docs.kubewarden.io, "Policy specification").
//
// A calling convention moves the bytes between host and guest. Each convention has its own package:
// [github.com/wasm-admission/wasm-admission/pkg/abi/wapc] and
// [github.com/wasm-admission/wasm-admission/pkg/abi/wasi].
//
// All data from a guest is hostile. This package bounds the size of whatever it decodes by the
// caller's [Limits], and checks it before use.
package abi
