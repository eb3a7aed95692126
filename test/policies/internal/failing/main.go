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

// Command failing is a policy that fails in the way that its settings name.
package main

import (
	"errors"
	"os"
	"runtime"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
)

type settings struct {
	How string `json:"how"`
}

func init() { policy.Register(validate) }

// main is never called in a reactor, but the linker needs it.
func main() {}

func validate(_ *policy.Request, s settings) (policy.Response, error) {
	switch s.How {
	case "panic":
		panic("what a mess")
	case "error":
		return policy.Accept(), errors.New("cannot tell")
	case "exit":
		os.Exit(0)
	case "deadlock":
		<-make(chan struct{})
	case "aside":
		go func() { panic("in a goroutine") }()
		runtime.Gosched()
	}
	return policy.Accept(), nil
}
