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

package kubewarden_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
)

// readDirectory reads the manifests in a directory and decodes them.
func readDirectory(path string,
	config *wasmadmission.WasmAdmissionConfiguration) (*kubewarden.Manifests, error) {
	files, warnings, err := kubewarden.ReadFiles(path)
	if err != nil {
		return nil, err
	}
	manifests, err := files.Decode(config)
	if err != nil {
		return nil, err
	}
	manifests.Warnings = slices.Concat(warnings, manifests.Warnings)
	return manifests, nil
}

// configuration returns a configuration for decoding manifests.
func configuration(t *testing.T, fields string) *wasmadmission.WasmAdmissionConfiguration {
	t.Helper()
	config, err :=
		load.LoadFromData(
			[]byte(
				"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n" +
					"stateDirectory: /var/lib/wasm\n" + fields))
	require.NoError(t, err)
	return config
}

// directory returns a directory with the files of testdata, whose modes are safe under any umask.
func directory(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	to := t.TempDir()
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			content, err := os.ReadFile(filepath.Join("testdata", entry.Name()))
			require.NoError(t, err)
			write(t, filepath.Join(to, entry.Name()), string(content))
		}
	}
	return to
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	require.NoError(t, os.Chmod(path, 0o644))
}

func names(manifests *kubewarden.Manifests) (policies, groups []string) {
	for _, policy := range manifests.Policies {
		policies = append(policies, policy.Name)
	}
	for _, group := range manifests.PolicyGroups {
		groups = append(groups, group.Name)
	}
	return policies, groups
}

// The manifests look like those that people write for Kubewarden.
func TestReadDirectory(t *testing.T) {
	path := directory(t)
	manifests, err := readDirectory(path, configuration(t, ""))
	require.NoError(t, err)
	policies, groups := names(manifests)
	require.Equal(t, []string{
		"clusterwide-no-host-network", "clusterwide-psp-user-group",
		"clusterwide-no-privileged-pods",
		"clusterwide-drop-capabilities", "namespaced-team-a-labels",
	}, policies)
	require.Equal(t, []string{"clusterwide-group-trusted-images", "namespaced-group-team-a-labels"},
		groups)

	origins := map[string]string{}
	for name, origin := range manifests.Origins {
		origins[name] = strings.TrimPrefix(origin.String(), path+"/")
	}
	require.Equal(t, map[string]string{
		"clusterwide-no-host-network":      `exported.json[1].items[1] ClusterAdmissionPolicy "no-host-network"`,
		"clusterwide-psp-user-group":       `legacy.yaml[1] ClusterAdmissionPolicy "psp-user-group"`,
		"clusterwide-no-privileged-pods":   `pods.yaml[1] ClusterAdmissionPolicy "no-privileged-pods"`,
		"clusterwide-drop-capabilities":    `pods.yaml[2] ClusterAdmissionPolicy "drop-capabilities"`,
		"namespaced-team-a-labels":         `team.yml[1] AdmissionPolicy "team-a/labels"`,
		"clusterwide-group-trusted-images": `images.yaml[1] ClusterAdmissionPolicyGroup "trusted-images"`,
		"namespaced-group-team-a-labels":   `team.yml[2] AdmissionPolicyGroup "team-a/labels"`,
	}, origins)

	var warnings []string
	for _, warning := range manifests.Warnings {
		warnings = append(warnings, strings.TrimPrefix(warning, path+"/"))
	}
	require.Equal(t, []string{
		`exported.json[1].items[1] ClusterAdmissionPolicy "no-host-network": spec: has no effect in process: policyServer, sideEffects, timeoutSeconds, backgroundAudit, allowInsideAdmissionControllerNamespace`,
		`images.yaml[1] ClusterAdmissionPolicyGroup "trusted-images": spec: has no effect in process: sideEffects, timeoutSeconds, allowInsideAdmissionControllerNamespace`,
		`legacy.yaml[1] ClusterAdmissionPolicy "psp-user-group": spec: has no effect in process: policyServer`,
		`pods.yaml[1] ClusterAdmissionPolicy "no-privileged-pods": spec: has no effect in process: policyServer, backgroundAudit`,
		`server.yaml[1] PolicyServer "reserved": has no effect in process: there is no policy server`,
	}, warnings)
}

func TestConversion(t *testing.T) {
	manifests, err := readDirectory(directory(t), configuration(t, ""))
	require.NoError(t, err)
	policy := func(name string) wasmadmission.Policy {
		return manifests.Policies[slices.IndexFunc(manifests.Policies,
			func(p wasmadmission.Policy) bool { return p.Name == name })]
	}
	rule := func(group, resource string, scope *admissionregistrationv1.ScopeType,
		operations ...admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
		return admissionregistrationv1.RuleWithOperations{Operations: operations,
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{group}, APIVersions: []string{"v1"},
				Resources: strings.Fields(resource), Scope: scope,
			}}
	}
	const create, update = admissionregistrationv1.Create, admissionregistrationv1.Update

	// This policy has defaults and a module without a scheme.
	require.Equal(t, wasmadmission.Policy{
		Name:     "clusterwide-no-privileged-pods",
		Module:   "registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3",
		Settings: runtime.RawExtension{Raw: []byte(`{}`)},
		Rules: []admissionregistrationv1.RuleWithOperations{
			rule("", "pods", nil, create, update),
			rule("apps", "deployments replicasets statefulsets daemonsets", nil, create, update),
		},
		FailurePolicy: admissionregistrationv1.Fail,
		MatchPolicy:   admissionregistrationv1.Equivalent,
		NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{
				Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn,
				Values: []string{"kube-system"},
			},
		}},
		Mode:               wasmadmission.ModeMonitor,
		ReinvocationPolicy: admissionregistrationv1.IfNeededReinvocationPolicy,
		HostCapabilities:   []string{"*"},
		PolicyServer:       new("default"),
		BackgroundAudit:    new(true),
	}, policy("clusterwide-no-privileged-pods"))

	require.Equal(t, wasmadmission.Policy{
		Name:          "clusterwide-drop-capabilities",
		Module:        "registry://ghcr.io/kubewarden/policies/capabilities-psp:v1.0.4",
		Settings:      runtime.RawExtension{Raw: []byte(`{"required_drop_capabilities":["ALL"]}`)},
		Rules:         []admissionregistrationv1.RuleWithOperations{rule("", "pods", nil, create)},
		FailurePolicy: admissionregistrationv1.Ignore,
		MatchPolicy:   admissionregistrationv1.Exact,
		MatchConditions: []admissionregistrationv1.MatchCondition{
			{Name: "not-a-node", Expression: `!("system:nodes" in request.userInfo.groups)`},
		},
		TimeoutEvalSeconds: new(int32(5)),
		Message:            "containers have to drop all capabilities",
		Mode:               wasmadmission.ModeProtect,
		Mutating:           true,
		ReinvocationPolicy: admissionregistrationv1.IfNeededReinvocationPolicy,
		HostCapabilities:   []string{"*"},
	}, policy("clusterwide-drop-capabilities"))

	// A namespaced policy only sees its own namespace, whatever its rules say.
	namespaced := new(admissionregistrationv1.NamespacedScope)
	team := policy("namespaced-team-a-labels")
	require.Equal(t, "team-a", team.Namespace)
	require.Equal(t, []string{"crypto/*", "net/*", "oci/*"}, team.HostCapabilities)
	require.Equal(t, []admissionregistrationv1.RuleWithOperations{
		rule("apps", "deployments deployments/scale", namespaced, create, update),
	}, team.Rules)

	require.Equal(t, wasmadmission.PolicyGroup{
		Name:       "namespaced-group-team-a-labels",
		Namespace:  "team-a",
		Expression: "labelled() || annotated()",
		Message:    "a service has an owner",
		Policies: []wasmadmission.PolicyGroupMember{
			{
				Name:     "annotated",
				Module:   "registry://ghcr.io/kubewarden/policies/safe-annotations:v1.0.0",
				Settings: runtime.RawExtension{Raw: []byte(`{"mandatory_annotations":["owner"]}`)},

				HostCapabilities: []string{"crypto/*", "net/*", "oci/*"},
			}, {
				Name:     "labelled",
				Module:   "registry://ghcr.io/kubewarden/policies/safe-labels:v1.0.1",
				Settings: runtime.RawExtension{Raw: []byte(`{"mandatory_labels":["owner"]}`)},

				HostCapabilities: []string{"crypto/*", "net/*", "oci/*"},
			},
		},
		Rules: []admissionregistrationv1.RuleWithOperations{
			rule("", "services", namespaced, create),
		},
		FailurePolicy: admissionregistrationv1.Fail,
		MatchPolicy:   admissionregistrationv1.Equivalent,
		Mode:          wasmadmission.ModeProtect,
	}, manifests.PolicyGroups[1])

	group := manifests.PolicyGroups[0]
	require.Empty(t, group.Namespace)
	require.Equal(t, new(true), group.AllowInsideAdmissionControllerNamespace)
	require.Equal(t, new(int32(10)), group.TimeoutSeconds)
	require.Equal(t, []string{"*"}, group.Policies[0].HostCapabilities)
	require.Equal(t, new(int32(6)), group.Policies[1].TimeoutEvalSeconds)

	// JSON stays unchanged, including escapes that YAML does not know.
	require.JSONEq(t, `{"allow_host_network": false, "note": "😀"}`,
		string(policy("clusterwide-no-host-network").Settings.Raw))
}
