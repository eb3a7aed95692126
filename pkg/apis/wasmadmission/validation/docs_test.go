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
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
)

// The examples in docs/config.md are valid as they are.
func TestDocumentedExamples(t *testing.T) {
	var configs []*wasmadmission.WasmAdmissionConfiguration
	for _, example := range examples(t, "config.md") {
		configs = append(configs, requireUsable(t, example))
	}
	require.Len(t, configs, 5)
	require.Equal(t, parse(t, head), configs[2], "the example of limits states the defaults")
}

// The configurations in the other documents are valid. Their other examples are at least YAML.
func TestExamplesOfGuides(t *testing.T) {
	for guide, configs := range map[string]int{
		"operations.md":   2,
		"migration.md":    1,
		"supply-chain.md": 2,
	} {
		for _, example := range examples(t, guide) {
			var object metav1.TypeMeta
			require.NoError(t, yaml.Unmarshal([]byte(example), &object), example)
			if object.Kind == "WasmAdmissionConfiguration" {
				requireUsable(t, example)
				configs--
			}
		}
		require.Zero(t, configs, guide)
	}
}

// The guide shows the same files as deploy/kubeadm.
func TestGuideShowsShippedFiles(t *testing.T) {
	shown := make(map[string]map[string]any)
	for _, example := range examples(t, "operations.md") {
		var object map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(example), &object), example)
		if kind, ok := object["kind"].(string); ok && shown[kind] == nil {
			shown[kind] = object
		}
	}
	for file, kind := range map[string]string{
		"cluster.yaml":                  "ClusterConfiguration",
		"upgrade.yaml":                  "UpgradeConfiguration",
		"wasm-admission/admission.yaml": "AdmissionConfiguration",
		"wasm-admission/config.yaml":    "WasmAdmissionConfiguration",
	} {
		text := read(t, filepath.Join("..", "deploy", "kubeadm", file))
		first, _, _ := strings.Cut(text, "\n---\n")
		var shipped map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(first), &shipped), file)
		delete(shipped, "kubernetesVersion")
		require.Equal(t, shown[kind], shipped, file)
	}
}

// The guide to kind gives kubeadm the same configuration.
func TestKindGuideMatchesKubeadm(t *testing.T) {
	var cluster struct{ KubeadmConfigPatches []string }
	require.NoError(t, yaml.Unmarshal([]byte(examples(t, "kind.md")[0]), &cluster))
	require.Len(t, cluster.KubeadmConfigPatches, 3)
	shipped := strings.Split(read(t, filepath.Join("..", "deploy", "kubeadm", "cluster.yaml")),
		"\n---\n")
	require.Len(t, shipped, 2)
	parsed := func(text string) (object map[string]any) {
		require.NoError(t, yaml.Unmarshal([]byte(text), &object), text)
		delete(object, "apiVersion")
		delete(object, "kubernetesVersion")
		return object
	}
	for n, text := range shipped {
		require.Equal(t, parsed(text), parsed(cluster.KubeadmConfigPatches[n]))
	}
	// Nodes that join have their own patches.
	joining := parsed(cluster.KubeadmConfigPatches[2])
	require.Equal(t, "JoinConfiguration", joining["kind"])
	require.Equal(t, parsed(shipped[1])["patches"], joining["patches"])
}

// In the dev cluster, where newcomers try the sample, every user is in system:masters.
func TestTheSampleExemptsNoAdministrators(t *testing.T) {
	for _, example := range examples(t, "operations.md") {
		require.NotContains(t, example, "system:masters")
	}
}

// An alert that only compares a metric stays silent where the metric is not served.
func TestTheShippedAlertFiresWithoutTheMetric(t *testing.T) {
	rules := read(t, filepath.Join("..", "deploy", "monitoring", "rules.yaml"))
	require.Contains(t, rules,
		"apiserver_wasm_admission_policies == 0\n      or\n      absent(apiserver_wasm_admission_policies)\n")
}

// examples returns the blocks of YAML in a document.
func examples(t *testing.T, document string) (all []string) {
	t.Helper()
	for _, block := range strings.Split(read(t, document), "```yaml\n")[1:] {
		example, _, ended := strings.Cut(block, "```")
		require.True(t, ended)
		all = append(all, example)
	}
	return all
}

func requireUsable(t *testing.T, example string) *wasmadmission.WasmAdmissionConfiguration {
	t.Helper()
	config := parse(t, example)
	require.Empty(t, lines(ValidateConfiguration(config)), example)
	require.Empty(t, Warnings(config), example)
	return config
}

// The reference has a row for every field.
func TestEveryFieldIsDocumented(t *testing.T) {
	text := read(t, "config.md")
	for _, object := range []any{
		v1alpha1.WasmAdmissionConfiguration{}, v1alpha1.Policy{}, v1alpha1.PolicyGroup{},
		v1alpha1.PolicyGroupMember{},
		v1alpha1.Sources{}, v1alpha1.SourceAuthority{}, v1alpha1.Mirror{}, v1alpha1.Verification{},
		v1alpha1.TrustRoot{}, v1alpha1.PolicyVerification{}, v1alpha1.Reload{},
		v1alpha1.CircuitBreaker{},
		v1alpha1.Compilation{}, v1alpha1.Mutation{}, v1alpha1.Review{},
		v1alpha1.Limits{}, v1alpha1.Exemptions{},
		v1alpha1.Capabilities{}, v1alpha1.KubernetesCapability{}, v1alpha1.AnswerCache{},
		v1alpha1.DNSCapability{}, v1alpha1.OCICapability{},
	} {
		goType := reflect.TypeOf(object)
		for i := range goType.NumField() {
			name, _, _ := strings.Cut(goType.Field(i).Tag.Get("json"), ",")
			if name != "" {
				documented := strings.Contains(text, fmt.Sprintf("\n| `%s` | ", name))
				require.True(t, documented, "%s.%s has no row", goType.Name(), name)
			}
		}
	}
}

func read(t *testing.T, document string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", document))
	require.NoError(t, err)
	return string(text)
}
