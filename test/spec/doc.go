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
// The suite is the one that wazero carries in its module, as JSON scripts of wast2json with a
// binary for each module. Each script runs in two stores side by side: one with the modules as they
// are, one with the modules rewritten. An assertion passes if the rewritten store does what the
// specification says, and where the specification leaves room (or wazero departs from it) what the
// plain store does.
package spec
