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

// Package policy is for admission policies in plain Go that run in the WasmAdmission plugin of
// kube-apiserver and on Kubewarden's policy-server.
//
// A policy is a function that an init function registers:
//
//	package main
//
//	import "github.com/wasm-admission/wasm-admission/sdk/go/policy"
//
//	func init() { policy.Register(validate) }
//
//	func main() {}
//
//	func validate(r *policy.Request, _ policy.NoSettings) (policy.Response, error) {
//		if r.Operation == policy.Delete {
//			return policy.Rejectf("%s %s must stay", r.Kind.Kind, r.Name), nil
//		}
//		return policy.Accept(), nil
//	}
//
// Build it with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o policy.wasm .
//
// and add its metadata with `wasmctl annotate`. main is never called, but the linker needs it.
//
// Each request is evaluated in an instance of the module that has not seen earlier requests, so
// variables do not keep their values from one request to the next. An instance evaluates one
// request at a time.
//
// An error or a panic is a failed evaluation, never an acceptance: the host rejects the request
// with the message, unless the cluster's administrator configured something else. A panic in a
// goroutine that the policy started ends the module, and its message is only in the host's log.
package policy
