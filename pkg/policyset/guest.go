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
	"context"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// guest has the answers of one module.
type guest struct {
	module   abi.Guest
	env      *abi.Environment
	settings []byte
}

func (g *guest) evaluate(ctx context.Context, request []byte) (*abi.ValidationResponse, abi.Usage, error) {
	return g.module.Validate(ctx, g.env, request, g.settings)
}

func (g *guest) close() { g.module.Close() }
