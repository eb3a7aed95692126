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

// Package examples loads each example as a server does, and sends it one request that it allows and
// one that it denies.
package examples

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Directories that the examples use on a server.
const (
	configDirectory = "/etc/kubernetes/wasm-admission"
	stateDirectory  = "/var/lib/kubernetes/wasm-admission"
)

func TestMain(m *testing.M) {
	engine.ServeCompilations()
	os.Exit(m.Run())
}

func TestExamples(t *testing.T) {
	denials := map[string]string{
		"image-policies": "Privileged container is not allowed",
		"group":          "images come from registry.example.com, or are listed as exceptions",
		"manifests":      `must not add capability "NET_RAW"`,
		"control-plane":  "ask the platform team for an exception",
	}
	found, err := filepath.Glob("*/config.yaml")
	require.NoError(t, err)
	require.Len(t, found, len(denials), "denials must have an entry for every example")
	for _, config := range found {
		example := filepath.Dir(config)
		t.Run(example, func(t *testing.T) {
			dispatcher := serve(t, install(t, example))
			require.NoError(t, admit(t, dispatcher, filepath.Join(example, "allowed.json")))
			require.ErrorContains(t, admit(t, dispatcher, filepath.Join(example, "denied.json")),
				denials[example])
		})
	}
}

var module = regexp.MustCompile("file://" + configDirectory + `/([a-z-]+)\.wasm`)

// install copies an example and its modules to a temporary directory, and returns the configuration
// with paths to that directory.
func install(t *testing.T, example string) []byte {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700)) //nolint:gosec // a directory
	var config []byte
	for _, pattern := range []string{"config.yaml", "policies.d/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(example, pattern))
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range module.FindAllSubmatch(text, -1) {
				wasm, err := os.ReadFile(filepath.Join("..", "test", "policies", string(match[1]),
					"policy.wasm"))
				require.NoError(t, err)
				require.NoError(t,
					os.WriteFile(filepath.Join(directory, string(match[1])+".wasm"), wasm, 0o600))
			}
			moved := strings.NewReplacer(configDirectory, directory, stateDirectory,
				filepath.Join(directory, "state")).Replace(string(text))
			if pattern == "config.yaml" {
				config = []byte(moved)
				continue
			}
			require.NoError(t, os.MkdirAll(filepath.Join(directory, "policies.d"), 0o700))
			require.NoError(t,
				os.WriteFile(filepath.Join(directory, "policies.d", filepath.Base(file)),
					[]byte(moved), 0o600))
		}
	}
	return config
}

// serve loads a configuration as the plugin does. The cluster has one namespace.
func serve(t *testing.T, config []byte) *dispatch.Dispatcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	factory := informers.NewSharedInformerFactory(client, 0)
	dispatcher, err := serving.NewServer(serving.Options{}).Dispatcher(ctx, config, serving.Cluster{
		Client: client, Dynamic: dynamicfake.NewSimpleDynamicClient(scheme.Scheme),
		Informers:  factory,
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
		Excluded:   []schema.GroupResource{},
	})
	require.NoError(t, err)
	t.Cleanup(dispatcher.Close)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return dispatcher
}

// admit sends the request in a file through both phases of admission.
func admit(t *testing.T, dispatcher *dispatch.Dispatcher, file string) error {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var request admissionv1.AdmissionRequest
	require.NoError(t, json.Unmarshal(text, &request))
	object, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), request.Object.Raw)
	require.NoError(t, err)
	attributes := admission.NewAttributesRecord(object, nil, schema.GroupVersionKind(request.Kind),
		request.Namespace, request.Name, schema.GroupVersionResource(request.Resource),
		request.SubResource, admission.Operation(request.Operation), &metav1.CreateOptions{}, false,
		&user.DefaultInfo{Name: request.UserInfo.Username, Groups: request.UserInfo.Groups})
	interfaces := admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	if err := dispatcher.Admit(t.Context(), attributes, interfaces); err != nil {
		return err
	}
	return dispatcher.Validate(t.Context(), attributes, interfaces)
}
