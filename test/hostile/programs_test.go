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

package hostile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wasi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

func loadProgram(ctx context.Context, e *engine.Engine, wasm []byte) (abi.Guest, error) {
	return wasi.Load(ctx, e, wasm)
}

// programs are the modules of test/wat/hostile-programs, which are WASI commands.
var programs = map[string]outcome{
	"arguments-out-of-bounds": harmless(),
	"error-flood":             late(),
	"exit-nested":             everywhere(ends(engine.CauseExit, "guest exited with status 7")),
	"host-call-huge-name": ends(engine.CauseLimit,
		"4294967295 bytes of host call binding, at most 1024 are allowed"),
	"host-call-out-of-bounds": ends(engine.CauseAbort, outside),
	"host-call-storm": everywhere(ends(engine.CauseLimit,
		"1001 host calls, at most 1000 are allowed")),
	"main-reserved": refused(`module exports "wasm-admission.main"`),
	"output-flood": everywhere(ends(engine.CauseLimit,
		"bytes of response, at most 8388608 are allowed")),
	"read-deep":          everywhere(harmless()),
	"read-no-descriptor": everywhere(harmless()),
	"read-out-of-bounds": harmless(),
	"read-over-vectors":  harmless(),
	"read-then-grow":     everywhere(ends(engine.CauseLimit, "linear memory limit")),
	"read-then-recurse":  everywhere(ends(engine.CauseStack, "stack overflow")),
	"read-then-spin":     everywhere(late()),
	"read-vectors-flood": everywhere(late()),
	"spin-before-read":   always(late()),
	"wait-for-ever":      late(),
}

func TestEveryProgramHasAnOutcome(t *testing.T) {
	for _, pattern := range []string{"*.wat", "*.wasm"} {
		files, err := filepath.Glob(filepath.Join(modules, "hostile-programs", pattern))
		require.NoError(t, err)
		require.Len(t, files, len(programs))
		for _, file := range files {
			require.Contains(t, programs,
				strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
		}
	}
}

func TestPrograms(t *testing.T) {
	for _, way := range []struct {
		name    string
		options engine.Options
	}{{"compiled", engine.Options{}}, {"interpreted", engine.Options{Interpreter: true}}} {
		t.Run(way.name, func(t *testing.T) {
			hurried, patient := newHost(t, way.options, short), newHost(t, way.options, long)
			for name, attack := range programs {
				if way.options.Interpreter && !attack.everywhere {
					continue
				}
				t.Run(name, func(t *testing.T) {
					wasm, err :=
						os.ReadFile(filepath.Join(modules, "hostile-programs", name+".wasm"))
					require.NoError(t, err)
					h := patient
					if attack.cause == engine.CauseDeadline {
						h = hurried
					}
					h.attackBy(t, loadProgram, wasm, attack)
				})
			}
		})
	}
}
