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

// Package hammer sends many concurrent writes that policies forbid, for tests that inject faults
// around a real kube-apiserver. It then finds the violating objects that were stored.
//
// It expects that two policies are always served. One is named no-privileged-pods…, and denies
// privileged containers in Pods and workloads. The other one is named team-label…, and requires a
// label "team" with lower-case letters on each ConfigMap in Namespace. Policies from manifests have
// the prefix "clusterwide-".
package hammer

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Namespace is the namespace for all objects.
const Namespace = "chaos"

// Object is an object with its resource.
type Object struct {
	*unstructured.Unstructured
	resource schema.GroupVersionResource
}

// configMaps is the resource that the policy for labels matches.
var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// ConfigMap returns a ConfigMap. If name is empty, the server generates the name. labels alternates
// between names and values.
func ConfigMap(name string, labels ...string) Object {
	return newObject(configMaps, "ConfigMap", name, map[string]any{}, labels...)
}

// Pod returns a Pod. If name is empty, the server generates the name.
func Pod(name string, privileged bool) Object { return workloads[0].object(name, privileged) }

func newObject(resource schema.GroupVersionResource, kind, name string, content map[string]any,
	labels ...string) Object {
	o := Object{&unstructured.Unstructured{Object: content}, resource}
	o.SetAPIVersion(resource.GroupVersion().String())
	o.SetKind(kind)
	o.SetName(name)
	if name == "" {
		o.SetGenerateName("chaos-")
	}
	set := map[string]string{}
	for n := 0; n < len(labels); n += 2 {
		set[labels[n]] = labels[n+1]
	}
	o.SetLabels(set)
	return o
}

// workload is a kind of object that creates Pods or is a Pod.
type workload struct {
	kind     string
	resource schema.GroupVersionResource
	// spec holds the fields that the API requires in addition to the Pod specification, which is at
	// podSpec.
	spec          map[string]any
	podSpec       []string
	restartPolicy string
}

var (
	selector  = map[string]any{"app": "chaos"}
	selected  = map[string]any{"selector": map[string]any{"matchLabels": selector}}
	template  = []string{"spec", "template", "spec"}
	workloads = []workload{
		{"Pod", core("pods"), nil, []string{"spec"}, "Always"},
		{"ReplicationController", core("replicationcontrollers"),
			map[string]any{"selector": selector}, template, "Always"},
		{"Deployment", apps("deployments"), selected, template, "Always"},
		{"ReplicaSet", apps("replicasets"), selected, template, "Always"},
		{"StatefulSet", apps("statefulsets"), selected, template, "Always"},
		{"DaemonSet", apps("daemonsets"), selected, template, "Always"},
		{"Job", batch("jobs"), nil, template, "Never"},
		{"CronJob", batch("cronjobs"), map[string]any{"schedule": "0 0 1 1 *"},
			[]string{"spec", "jobTemplate", "spec", "template", "spec"}, "Never"},
	}
)

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

func apps(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
}

func batch(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: resource}
}

func (w *workload) object(name string, privileged bool) Object {
	o := newObject(w.resource, w.kind, name, map[string]any{"spec": clone(w.spec)})
	if len(w.podSpec) > 1 && w.kind != "Job" && w.kind != "CronJob" {
		must(unstructured.SetNestedField(o.Object, clone(selector), "spec", "template", "metadata",
			"labels"))
	}
	must(unstructured.SetNestedField(o.Object, map[string]any{
		"restartPolicy": w.restartPolicy,
		"containers":    []any{container("c", privileged)},
	}, w.podSpec...))
	return o
}

func container(name string, privileged bool) map[string]any {
	return map[string]any{
		"name": name, "image": "example.com/image:1",
		"securityContext": map[string]any{"privileged": privileged},
	}
}

// clone returns a deep copy, so that the objects of two writers share nothing.
func clone(fields map[string]any) map[string]any {
	if fields == nil {
		return map[string]any{}
	}
	return (&unstructured.Unstructured{Object: fields}).DeepCopy().Object
}

// must panics on errors that are bugs in this package rather than in the tested server.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Complying returns an allowed object of each kind that the policies match.
func Complying() []Object {
	objects := []Object{ConfigMap("", "team", "red")}
	for n := range workloads {
		objects = append(objects, workloads[n].object("", false))
	}
	return objects
}

// Create creates an object and returns its name.
func Create(ctx context.Context, client dynamic.Interface, o Object) (name string, err error) {
	created, err := client.Resource(o.resource).Namespace(Namespace).Create(ctx, o.Unstructured,
		metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return created.GetName(), nil
}

// DryRun sends an object to a server with dry run.
func DryRun(ctx context.Context, client dynamic.Interface, o Object) error {
	_, err := client.Resource(o.resource).Namespace(Namespace).Create(ctx, o.Unstructured,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// Comply creates an object and deletes it again.
func Comply(ctx context.Context, client dynamic.Interface, o Object) error {
	name, err := Create(ctx, client, o)
	if err != nil {
		return fmt.Errorf("%s: %w", o.GetKind(), err)
	}
	return client.Resource(o.resource).Namespace(Namespace).Delete(ctx, name, atOnce())
}

// atOnce returns options that delete an object without waiting for a kubelet or a garbage
// collector, because neither runs.
func atOnce() metav1.DeleteOptions {
	return metav1.DeleteOptions{
		GracePeriodSeconds: new(int64),
		PropagationPolicy:  new(metav1.DeletePropagationBackground),
	}
}

func encode(o Object) []byte {
	encoded, err := json.Marshal(o.Object)
	must(err)
	return encoded
}
