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

package validation

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

// The examples of docs/config.md can be used as they are.
func TestDocumentedExamples(t *testing.T) {
	var examples []*wasmadmission.WasmAdmissionConfiguration
	for _, block := range strings.Split(reference(t), "```yaml\n")[1:] {
		example, _, ended := strings.Cut(block, "```")
		require.True(t, ended)
		config := parse(t, example)
		require.Empty(t, lines(ValidateConfiguration(config)), example)
		require.Empty(t, Warnings(config), example)
		examples = append(examples, config)
	}
	require.Len(t, examples, 3)
	require.Equal(t, parse(t, head), examples[1], "the example of limits states the defaults")
}

// The reference has a row for every field.
func TestEveryFieldIsDocumented(t *testing.T) {
	text := reference(t)
	for _, object := range []any{
		v1alpha1.WasmAdmissionConfiguration{}, v1alpha1.Policy{}, v1alpha1.PolicyGroup{}, v1alpha1.PolicyGroupMember{},
		v1alpha1.Sources{}, v1alpha1.SourceAuthority{}, v1alpha1.Mirror{}, v1alpha1.Reload{}, v1alpha1.CircuitBreaker{},
		v1alpha1.Limits{}, v1alpha1.Exemptions{},
	} {
		goType := reflect.TypeOf(object)
		for i := range goType.NumField() {
			name, _, _ := strings.Cut(goType.Field(i).Tag.Get("json"), ",")
			if name != "" {
				require.Contains(t, text, fmt.Sprintf("\n| `%s` | ", name))
			}
		}
	}
}

func reference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/config.md")
	require.NoError(t, err)
	return string(text)
}
