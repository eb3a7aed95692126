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

// Package kubeconfig reads the kubeconfig with which a command accesses a cluster.
package kubeconfig

import (
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Load reads the current context of a kubeconfig. With an empty path, the file is that of
// KUBECONFIG, or ~/.kube/config.
func Load(path string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{}).ClientConfig()
}

// Client returns a client with the credentials of a configuration, and the server's URL. [URL] adds
// a path to that.
func Client(config *rest.Config) (client *http.Client, server string, err error) {
	if client, err = rest.HTTPClientFor(config); err != nil {
		return nil, "", err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, "", err
	}
	return client, base.String(), nil
}

// URL returns the URL of a path on a server. The path begins with a slash.
func URL(server, path string) string { return strings.TrimSuffix(server, "/") + path }
