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

// Package spec runs the assertions of the WebAssembly specification's test suite on rewritten
// modules.
//
// The suite comes with wazero's module, as wast2json scripts in JSON and a binary for each module.
// Each script runs in two stores: one with the original modules, and one with the rewritten
// modules. An assertion passes if the rewritten store does what the specification says. Where the
// specification leaves a choice, or wazero deviates from it, the rewritten store must do the same
// as the plain store.
package spec
