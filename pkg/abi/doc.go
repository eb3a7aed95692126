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

// Package abi is what a policy and its host say to each other: the requests and
// settings that go in, the responses that come out, and the metadata that a
// policy carries in its binary. The format is Kubewarden's policy protocol,
// version 1 (https://docs.kubewarden.io, "Policy specification").
//
// How the bytes get across is a calling convention; there is one package for
// each: [github.com/wasm-admission/wasm-admission/pkg/abi/wapc] and
// [github.com/wasm-admission/wasm-admission/pkg/abi/wasi].
//
// Everything that comes from a guest is hostile. What is decoded here is bounded
// in size by the caller's [Limits] and checked before it is believed.
package abi
