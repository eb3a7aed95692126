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

// Package hammer makes writes that policies forbid, many at a time, for tests in which
// things go wrong around a real kube-apiserver, and finds what of them was stored.
//
// It takes for granted that two policies are served, whatever else goes wrong: one named
// no-privileged-pods… that refuses privileged containers in everything that makes Pods, and
// one named team-label… by which each ConfigMap in Namespace has a label "team" of lower-case
// letters. Those from manifests have "clusterwide-" before their names.
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

// Namespace is where everything is written.
const Namespace = "chaos"

// Object is an object with the resource by which it is written.
type Object struct {
	*unstructured.Unstructured
	resource schema.GroupVersionResource
}

// configMaps is the resource that the policy on labels is for.
var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// ConfigMap returns a ConfigMap; the server names it if name is empty. Labels are names and
// values in turn.
func ConfigMap(name string, labels ...string) Object {
	return newObject(configMaps, "ConfigMap", name, map[string]any{}, labels...)
}

// Pod returns a Pod; the server names it if name is empty.
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

// workload is a kind of object that makes Pods, or is one.
type workload struct {
	kind     string
	resource schema.GroupVersionResource
	// spec has what the API demands beside the Pods' specification, which is at podSpec.
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

// clone copies deeply: the objects of two writers share nothing.
func clone(fields map[string]any) map[string]any {
	if fields == nil {
		return map[string]any{}
	}
	return (&unstructured.Unstructured{Object: fields}).DeepCopy().Object
}

// must is for what is wrong in this package, and not in what it tests.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Complying returns an object of each kind that the policies look at and let pass.
func Complying() []Object {
	objects := []Object{ConfigMap("", "team", "red")}
	for n := range workloads {
		objects = append(objects, workloads[n].object("", false))
	}
	return objects
}

// Create stores an object and returns the name that it has.
func Create(ctx context.Context, client dynamic.Interface, o Object) (name string, err error) {
	created, err := client.Resource(o.resource).Namespace(Namespace).Create(ctx, o.Unstructured,
		metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return created.GetName(), nil
}

// DryRun has a server judge an object as if it were to be stored.
func DryRun(ctx context.Context, client dynamic.Interface, o Object) error {
	_, err := client.Resource(o.resource).Namespace(Namespace).Create(ctx, o.Unstructured,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// Comply stores an object and removes it again.
func Comply(ctx context.Context, client dynamic.Interface, o Object) error {
	name, err := Create(ctx, client, o)
	if err != nil {
		return fmt.Errorf("%s: %w", o.GetKind(), err)
	}
	return client.Resource(o.resource).Namespace(Namespace).Delete(ctx, name, atOnce())
}

// atOnce has an object go without waiting for a kubelet, or for a controller that would see
// to what it owns: there are none.
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
