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

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var chart = filepath.Join("..", "..", "deploy", "webhook", "chart")

// everything sets every value that the templates use.
const everything = `
policies: {a.yaml: "kind: ClusterAdmissionPolicy\n"}
tls: {clientCAConfigMap: client-ca}
args: ["--max-bytes=134217728", "-v=2"]
imagePullSecrets: [{name: pull}]
nodeSelector: {a: b}
tolerations: [{operator: Exists}]
contextAware: {rules: [{apiGroups: [""], resources: [pods], verbs: [get, list, watch]}]}
networkPolicy: {from: [{ipBlock: {cidr: 10.0.0.1/32}}], metricsFrom: [{podSelector: {}}]}
`

const nothing = `
networkPolicy: {enabled: false}
podDisruptionBudget: {enabled: false}
`

// objects renders the chart and strictly decodes the objects.
func objects(t *testing.T, values string) []runtime.Object {
	t.Helper()
	set := map[string]any{}
	require.NoError(t, yaml.Unmarshal([]byte(values), &set))
	documents, err := render(chart, set)
	require.NoError(t, err)
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).
		UniversalDeserializer()
	var decoded []runtime.Object
	for _, document := range documents {
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		require.NoError(t, err, document)
		decoded = append(decoded, object)
	}
	return decoded
}

func find[T runtime.Object](t *testing.T, objects []runtime.Object) (found []T) {
	t.Helper()
	for _, object := range objects {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	return found
}

func TestLint(t *testing.T) {
	for name, values := range map[string]string{
		"defaults":   "",
		"everything": everything,
		"nothing":    nothing,
	} {
		set := map[string]any{}
		require.NoError(t, yaml.Unmarshal([]byte(values), &set))
		for _, message := range lint.RunAll(chart, set, namespace).Messages {
			require.Less(t, message.Severity, support.WarningSev, "%s: %s", name, message)
		}
	}
}

func TestThePodIsRestricted(t *testing.T) {
	for _, values := range []string{"", everything, nothing} {
		deployments := find[*appsv1.Deployment](t, objects(t, values))
		require.Len(t, deployments, 1)
		d := deployments[0]
		pod, container := &d.Spec.Template.Spec, &d.Spec.Template.Spec.Containers[0]
		require.Equal(t, int32(2), *d.Spec.Replicas)
		require.True(t, *pod.SecurityContext.RunAsNonRoot)
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault,
			pod.SecurityContext.SeccompProfile.Type)
		require.Nil(t, pod.SecurityContext.FSGroup, "fsGroup would make the mounted files group-writable")
		require.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
		require.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
		require.Equal(t, []corev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop)
		for key, value := range d.Spec.Selector.MatchLabels {
			require.Equal(t, value, d.Spec.Template.Labels[key])
		}
		mounted := map[string]bool{}
		for _, volume := range pod.Volumes {
			mounted[volume.Name] = true
		}
		require.Len(t, container.VolumeMounts, len(pod.Volumes))
		for _, mount := range container.VolumeMounts {
			require.True(t, mounted[mount.Name], mount.Name)
		}
	}
}

func TestTheParts(t *testing.T) {
	all := objects(t, everything)
	services := find[*corev1.Service](t, all)
	require.Len(t, services, 1)
	require.Contains(t, find[*appsv1.Deployment](t, all)[0].Spec.Template.Spec.Containers[0].Args,
		"--service="+namespace+"/"+services[0].Name)
	require.Len(t, find[*policyv1.PodDisruptionBudget](t, all), 1)
	require.Len(t, find[*networkingv1.NetworkPolicy](t, all), 1)
	require.Len(t, find[*rbacv1.ClusterRoleBinding](t, all), 2)
	for _, role := range find[*rbacv1.ClusterRole](t, all) {
		for _, rule := range role.Rules {
			require.NotContains(t, rule.Verbs, "*")
			require.NotContains(t, rule.Verbs, "delete")
			require.NotContains(t, rule.Resources, "*")
		}
	}
	few := objects(t, nothing)
	require.Empty(t, find[*policyv1.PodDisruptionBudget](t, few))
	require.Empty(t, find[*networkingv1.NetworkPolicy](t, few))
	require.Len(t, find[*rbacv1.ClusterRoleBinding](t, few), 1)

	config := map[string]any{}
	for _, c := range find[*corev1.ConfigMap](t, all) {
		if text, ok := c.Data["config.yaml"]; ok {
			require.NoError(t, yaml.UnmarshalStrict([]byte(text), &config))
		}
	}
	require.Equal(t, "WasmAdmissionConfiguration", config["kind"])
	require.Equal(t, "/etc/wasm-admission/policies/..data", config["policyDirectory"])
}

// If this test fails, run make generate, which writes the manifests.
func TestTheManifestsAreThoseOfTheChart(t *testing.T) {
	var text strings.Builder
	require.NoError(t, printManifests(&text, chart))
	written, err := os.ReadFile(filepath.Join("..", "..", "deploy", "webhook", "manifests.yaml"))
	require.NoError(t, err)
	require.Equal(t, string(written), text.String())
}
