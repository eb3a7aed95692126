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

// Package wapc is the guest side of the waPC protocol (https://wapc.io) for
// policies compiled by the Go toolchain itself:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared
//
// A module built so is a WASI reactor. The host calls _initialize once, which
// runs package initialisation but never main, so operations are registered
// from an init function. After that the host calls __guest_call once per
// request; the module serves one call at a time.
//
// On other platforms the package compiles, so that editors, vet and the rest
// of the module's tests see it, but every exchange with the host fails.
package wapc
