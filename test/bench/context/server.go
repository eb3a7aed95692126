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
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// The policies' modules, from the root of the repository. The settings of the one that lists are
// its query.
const (
	acceptPath = "test/wat/accept.wasm"
	listPath   = "test/wat/list-resources.wasm"
)

// configuration is a namespace with or without a policy.
type configuration struct {
	name string
	// base is the index of the configuration that this one is compared with.
	base int
	// module and settings are the policy's. Without a module, there is no policy.
	module, settings string
	// seldom is set for requests that take so long that other requests would wait for them. There
	// are only a tenth as many of them.
	seldom bool
}

// without and accepting are the indexes of the base configurations: a namespace without a policy,
// and one with a policy that accepts everything at once.
const without, accepting = 0, 1

// configurations are all configurations. The guests that read copy the list into their memory, as
// SDKs do. The guests that list only make the host call.
var configurations = []configuration{
	without:   {name: "none"},
	accepting: {"accept", without, acceptPath, "{}", false},
	{name: "none-again", base: without},
	{"list-3000-namespaces", accepting, listPath, `{"api_version": "v1", "kind": "Namespace"}`,
		false},
	{"list-10000-pods", accepting, listPath, `{"api_version": "v1", "kind": "Pod"}`, false},
	{"read-3000-namespaces", accepting, listPath,
		`{"api_version": "v1", "kind": "Namespace", "then": "read"}`, false},
	{"read-10000-masked-pods", accepting, listPath,
		`{"api_version": "v1", "kind": "Pod", "field_masks": ["spec.nodeName"], "then": "read"}`,
		false},
	{"read-10000-pods", accepting, listPath, `{"api_version": "v1", "kind": "Pod", "then": "read"}`,
		true},
}

// namespaceLabel is a label of namespaces. Its value is the configuration's name.
const namespaceLabel = "bench"

// bench is the server with all configurations.
type bench struct {
	server *harness.Server
	client kubernetes.Interface
}

// start starts the server and creates the configurations' namespaces.
func start(ctx context.Context, directory string) (*bench, error) {
	for _, path := range []string{acceptPath, listPath} {
		binary, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("run this from the root of the repository: %w", err)
		}
		err = os.WriteFile(filepath.Join(directory, filepath.Base(path)), binary, 0o600)
		if err != nil {
			return nil, err
		}
	}
	config, err := admissionConfiguration(directory)
	if err != nil {
		return nil, err
	}
	b := &bench{}
	if b.server, err = harness.New(harness.Options{
		FeatureGate:     true,
		AdmissionConfig: config,
	}); err != nil {
		return nil, err
	}
	b.client = b.server.Clientset()
	if err := b.letPoliciesSee(ctx); err != nil {
		return nil, err
	}
	for _, c := range configurations {
		namespace := &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{
				Name:   c.name,
				Labels: map[string]string{namespaceLabel: c.name},
			},
		}
		if _, err := b.client.CoreV1().Namespaces().
			Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// letPoliciesSee grants the policies' default user access to the objects that they list. No
// controller aggregates roles here.
func (b *bench) letPoliciesSee(ctx context.Context) error {
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "policies"},
		RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName,
			Kind:     "ClusterRole",
			Name:     "system:aggregate-to-view",
		},
		Subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:wasm-admission",
		}},
	}
	_, err := b.client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
	return err
}

// admissionConfiguration returns the content of a server's AdmissionConfiguration file.
func admissionConfiguration(directory string) (string, error) {
	config := &v1alpha1.WasmAdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1alpha1.SchemeGroupVersion.String(),
			Kind:       "WasmAdmissionConfiguration",
		},
		StateDirectory: directory,
	}
	size := resource.MustParse("64Mi") // a list of whole pods exceeds the default limit
	config.Limits.HostCallPayloadSize = &size
	for _, c := range configurations {
		if c.module == "" {
			continue
		}
		config.Policies = append(config.Policies, v1alpha1.Policy{
			Name: c.name, Module: "file://" + filepath.Join(directory, filepath.Base(c.module)),
			Settings: runtime.RawExtension{Raw: []byte(c.settings)},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups:   []string{""},
					APIVersions: []string{"v1"},
					Resources:   []string{"pods"},
				},
			}},
			NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{namespaceLabel: c.name},
			},
			ContextAwareResources: []v1alpha1.ContextAwareResource{{
				APIVersion: "v1", Kind: "Namespace",
			}, {APIVersion: "v1", Kind: "Pod"}},
			HostCapabilities: []string{"kubernetes/list_resources_all"},
		})
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encoding the plugin's configuration: %w", err)
	}
	whole, err := json.Marshal(&apiserverv1.AdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: apiserverv1.SchemeGroupVersion.String(),
			Kind:       "AdmissionConfiguration",
		},
		Plugins: []apiserverv1.AdmissionPluginConfiguration{{
			Name: "WasmAdmission", Configuration: &runtime.Unknown{Raw: raw},
		}},
	})
	return string(whole), err
}
