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

package contextaware

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// bind lets a user read a resource in a namespace.
func bind(t *testing.T, namespace, user string, resources, names []string) {
	t.Helper()
	client := server.Clientset().RbacV1()
	_, err := client.Roles(namespace).
		Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user},
			Rules: []rbacv1.PolicyRule{{
				APIGroups: []string{""}, Resources: resources, ResourceNames: names,
				Verbs: []string{"get", "list", "watch"},
			}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RoleBindings(namespace).
		Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}}},
			metav1.CreateOptions{})
	require.NoError(t, err)
}

// Lookups use the permissions of the configured user, even if the client may do everything.
func TestLookupsUseTheConfiguredUser(t *testing.T) {
	o := options()
	o.User = &user.DefaultInfo{Name: "blind"}
	l := newLooker(t, o, configMaps, namespaces)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "c", nil)
	const remedy = "; bind the user to a role with verbs get, list and watch on configmaps, or configure another user"
	for payload, want := range map[[2]string]string{
		{"list_resources_all",
			`{"api_version": "v1", "kind": "ConfigMap"}`}: `user "blind", as whom policies read the cluster, cannot list resource "configmaps" in API group "" in all namespaces` +
			remedy,
		{"list_resources_by_namespace",
			`{"api_version": "v1", "kind": "ConfigMap", "namespace": "` + ns +
				`"}`}: `user "blind", as whom policies read the cluster, cannot list resource "configmaps" in API group "" in the namespace "` +
			ns + `"` + remedy,
		{"get_resource", `{"api_version": "v1", "kind": "ConfigMap", "name": "c", "namespace": "` +
			ns +
			`"}`}: `user "blind", as whom policies read the cluster, cannot get resource "configmaps" in API group "" in the namespace "` +
			ns + `"` + remedy,
		{"get_resource", `{"api_version": "v1", "kind": "ConfigMap", "name": "c", "namespace": "` +
			ns +
			`", "disable_cache": true}`}: `user "blind", as whom policies read the cluster, cannot get resource "configmaps" in API group "" in the namespace "` +
			ns + `"` + remedy,
	} {
		_, err := l.call(t, payload[0], payload[1])
		require.EqualError(t, err, "Callback evaluation failure: "+want, payload)
	}
	for _, mode := range []abi.ExecutionMode{abi.ExecutionModeOPA, abi.ExecutionModeGatekeeper} {
		_, _, err := l.Inventory(&l.caller).Inventory(t.Context(), mode)
		require.ErrorContains(t, err,
			`user "blind", as whom policies read the cluster, cannot list resource`)
	}
}

// A user with permissions for some namespaces or objects sees only these.
func TestUsersSeeOnlyWhatTheyMay(t *testing.T) {
	ns, other := newNamespace(t, nil), newNamespace(t, nil)
	for _, namespace := range []string{ns, other} {
		newConfigMap(t, namespace, "c", nil)
		newConfigMap(t, namespace, "d", nil)
	}
	bind(t, ns, "one-namespace", []string{"configmaps"}, nil)
	bind(t, other, "one-object", []string{"configmaps"}, []string{"c"})

	o := options()
	o.User = &user.DefaultInfo{Name: "one-namespace"}
	l := newLooker(t, o, configMaps)
	list := `{"api_version": "v1", "kind": "ConfigMap", "namespace": %q}`
	eventually(t, func() bool {
		_, err := l.call(t, "list_resources_by_namespace", fmt.Sprintf(list, ns))
		return err == nil
	}, "the role must take effect")
	require.Equal(t, []string{ns + "/c", ns + "/d"},
		l.names(t, "list_resources_by_namespace", fmt.Sprintf(list, ns)))
	_, err := l.call(t, "list_resources_by_namespace", fmt.Sprintf(list, other))
	require.ErrorContains(t, err, "cannot list")
	_, err = l.call(t, "list_resources_all", `{"api_version": "v1", "kind": "ConfigMap"}`)
	require.ErrorContains(t, err, "cannot list")

	o.User = &user.DefaultInfo{Name: "one-object"}
	l = newLooker(t, o, configMaps)
	get := `{"api_version": "v1", "kind": "ConfigMap", "namespace": "` + other + `", "name": %q}`
	eventually(t, func() bool {
		_, err := l.call(t, "get_resource", fmt.Sprintf(get, "c"))
		return err == nil
	}, "the role must take effect")
	_, err = l.call(t, "get_resource", fmt.Sprintf(get, "d"))
	require.ErrorContains(t, err, "cannot get")
	_, err = l.call(t, "list_resources_by_namespace", fmt.Sprintf(list, other))
	require.ErrorContains(t, err, "cannot list")
}

// Without an authorizer, the client's own permissions apply.
func TestServerAuthorizesItsClient(t *testing.T) {
	config := server.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{UserName: "plain-client"}
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "c", nil)
	bind(t, ns, "plain-client", []string{"configmaps"}, nil)
	o := options()
	o.Client, o.Authorizer, o.User = client, nil, nil
	l := newLooker(t, o, configMaps)
	list := fmt.Sprintf(`{"api_version": "v1", "kind": "ConfigMap", "namespace": %q}`, ns)
	eventually(t, func() bool {
		_, err := l.call(t, "list_resources_by_namespace", list)
		return err == nil
	}, "the role must take effect")
	require.Equal(t, []string{ns + "/c"}, l.names(t, "list_resources_by_namespace", list))
	_, err = l.call(t, "list_resources_all", `{"api_version": "v1", "kind": "ConfigMap"}`)
	require.ErrorContains(t, err, `User "plain-client" cannot list resource "configmaps"`)
}

// Secrets need a separate grant, whichever host call reads them.
func TestSecretsNeedTheirGrant(t *testing.T) {
	ns := newNamespace(t, nil)
	_, err := server.Clientset().CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		StringData: map[string]string{"password": "hunter2"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	calls := map[string]string{
		"get_resource": `{"api_version": "v1", "kind": "Secret", "name": "s", "namespace": "` +
			ns + `"}`,
		"list_resources_by_namespace": `{"api_version": "v1", "kind": "Secret", "namespace": "` +
			ns + `"}`,
		"list_resources_all": `{"api_version": "v1", "kind": "Secret", "field_masks": ["data"]}`,
	}
	const refused = "Policy has not been granted access to Kubernetes v1/Secret resources. The violation has been reported."
	granted := newLooker(t, options(), secrets)
	granted.caller.Secrets = true
	without := newLooker(t, options(), secrets)
	unnamed := newLooker(t, options(), configMaps)
	unnamed.caller.Secrets = true
	for operation, payload := range calls {
		answer, err := granted.call(t, operation, payload)
		require.NoError(t, err)
		require.Contains(t, string(answer), "aHVudGVyMg==")
		for _, l := range []*looker{without, unnamed} {
			_, err = l.call(t, operation, payload)
			require.EqualError(t, err, refused)
		}
		// A policy does not get cached answers for another policy.
		_, err = granted.Call(t.Context(), &without.caller, operation, []byte(payload))
		require.EqualError(t, err, refused)
	}
	for _, mode := range []abi.ExecutionMode{abi.ExecutionModeOPA, abi.ExecutionModeGatekeeper} {
		document, _, err := granted.Inventory(&granted.caller).Inventory(t.Context(), mode)
		require.NoError(t, err)
		require.Contains(t, string(document), "aHVudGVyMg==")
		_, _, err = granted.Inventory(&without.caller).Inventory(t.Context(), mode)
		require.EqualError(t, err, refused)
	}
}
