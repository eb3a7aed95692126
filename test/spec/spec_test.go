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

package spec

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasm-admission/wasm-admission/pkg/engine/enginetest"
)

// TestSpec runs the whole suite on modules rewritten for this processor, and prints its figures.
func TestSpec(t *testing.T) {
	o := options
	o.ReplaceMiscompiled = runtime.GOARCH == "arm64"
	total := runSuites(t, o)
	fmt.Printf("figure spec_assertions_passed %d count\n", total.passed)
	fmt.Printf("figure spec_assertions_failed %d count\n", total.failed)
}

// TestSpecReplaced runs the suite on modules rewritten for arm64.
func TestSpecReplaced(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("TestSpec already does so on this processor")
	}
	o := options
	o.ReplaceMiscompiled = true
	runSuites(t, o)
}

func runSuites(t *testing.T, o enginetest.Options) (total figures) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").
		Output()
	require.NoError(t, err)
	root := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test",
		"spectest")
	spectest, err := os.ReadFile(filepath.Join(root, "testdata", "spectest.wasm"))
	require.NoError(t, err)
	const all = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
		experimental.CoreFeaturesExtendedConst |
		experimental.CoreFeaturesTypedFunctionReferences
	for _, suite := range []struct {
		name     string
		features api.CoreFeatures
	}{
		// The two versions differ in what a failed instantiation leaves behind.
		{"v1", api.CoreFeaturesV1},
		{"v2", all}, {"tail-call", all}, {"extended-const", all},
		{"typed-function-references", all},
	} {
		t.Run(suite.name, func(t *testing.T) {
			scripts, err := filepath.Glob(filepath.Join(root, suite.name, "testdata", "*.json"))
			require.NoError(t, err)
			require.NotEmpty(t, scripts)
			var f figures
			for _, path := range scripts {
				require.NoError(t, run(context.Background(), suite.features, path, spectest, o, &f))
			}
			total.passed += f.passed
			total.failed += f.failed
			require.NotZero(t, f.passed)
			require.Empty(t, f.failures)
		})
	}
	return total
}
