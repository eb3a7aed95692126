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

package hammer

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// Violation is a write that a policy must deny.
type Violation struct {
	Name string
	// Policy is the prefix of the policy's name.
	Policy string
	// Write sends the write.
	Write func(context.Context, dynamic.Interface) error
}

// Prefixes of the policies' names.
const (
	podsPolicy   = "no-privileged-pods"
	labelsPolicy = "team-label"
)

// Violations are all violating writes: of each kind that the policies match, and with each way to
// write an object.
var Violations = func() []Violation {
	var all []Violation
	for n := range workloads {
		w := &workloads[n]
		all = append(all,
			Violation{"create a privileged " + w.kind, podsPolicy,
				func(ctx context.Context, client dynamic.Interface) error {
					_, err := Create(ctx, client, w.object("", true))
					return err
				}})
	}
	return append(all,
		Violation{"apply a privileged Pod", podsPolicy, applyPod},
		patch("change a Deployment to create privileged Pods", podsPolicy, keptDeployment,
			types.StrategicMergePatchType,
			`{"spec":{"template":{"spec":{"containers":[{"name":"c","securityContext":{"privileged":true}}]}}}}`),
		patch("add a privileged ephemeral container", podsPolicy, keptPod,
			types.StrategicMergePatchType,
			`{"spec":{"ephemeralContainers":[{"name":"debug","image":"example.com/image:1","securityContext":{"privileged":true}}]}}`,
			"ephemeralcontainers"),
		create("create a ConfigMap without the label", ConfigMap("")),
		create("create a ConfigMap with another label", ConfigMap("", "team", "UPPER")),
		patch("remove the label", labelsPolicy, keptConfigMap, types.MergePatchType,
			`{"metadata":{"labels":{"team":null}}}`),
		patch("replace the label", labelsPolicy, patchedConfigMap, types.JSONPatchType,
			`[{"op":"replace","path":"/metadata/labels/team","value":"UPPER"}]`),
		Violation{"update a ConfigMap to one without the label", labelsPolicy,
			func(ctx context.Context, client dynamic.Interface) error {
				_, err := client.Resource(configMaps).Namespace(Namespace).Update(ctx,
					ConfigMap(updatedConfigMap.GetName()).Unstructured, metav1.UpdateOptions{})
				return err
			}},
	)
}()

// Complying objects that always exist. The violating writes try to change them.
var (
	keptConfigMap    = ConfigMap("kept", "team", "blue")
	patchedConfigMap = ConfigMap("kept-from-patches", "team", "blue")
	updatedConfigMap = ConfigMap("kept-from-updates", "team", "blue")
	keptDeployment   = workloads[2].object("kept", false)
	keptPod          = Pod("kept", false)
	kept             = []Object{
		keptConfigMap, patchedConfigMap, updatedConfigMap, keptDeployment, keptPod,
	}
)

func create(name string, o Object) Violation {
	return Violation{name, labelsPolicy, func(ctx context.Context, client dynamic.Interface) error {
		_, err := Create(ctx, client, Object{o.DeepCopy(), o.resource})
		return err
	}}
}

func patch(name, policy string, o Object, kind types.PatchType, content string,
	subresources ...string) Violation {
	return Violation{name, policy, func(ctx context.Context, client dynamic.Interface) error {
		_, err := client.Resource(o.resource).Namespace(Namespace).Patch(ctx, o.GetName(), kind,
			[]byte(content), metav1.PatchOptions{}, subresources...)
		return err
	}}
}

func applyPod(ctx context.Context, client dynamic.Interface) error {
	o := Pod("applied", true)
	_, err := client.Resource(o.resource).Namespace(Namespace).Patch(ctx, o.GetName(),
		types.ApplyPatchType, encode(o), metav1.PatchOptions{FieldManager: "chaos"})
	return err
}

// Prove sends each violating write while nothing is enforced. It returns an error unless the server
// stores each one and Violating finds it. At the end, only complying objects are left in the
// namespace.
func Prove(ctx context.Context, client dynamic.Interface) error {
	namespace := newObject(core("namespaces"), "Namespace", Namespace, map[string]any{})
	if _, err := client.Resource(namespace.resource).Create(ctx, namespace.Unstructured,
		metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := keep(ctx, client); err != nil {
		return err
	}
	for n, v := range Violations {
		if err := v.Write(ctx, client); err != nil {
			return fmt.Errorf("%s, with nothing enforced: %w", v.Name, err)
		}
		found, err := Violating(ctx, client)
		if err == nil && found != n+1 {
			err = fmt.Errorf("%d violating objects were found, but %d were written", found, n+1)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
	}
	for _, resource := range resources() {
		if err := client.Resource(resource).Namespace(Namespace).DeleteCollection(ctx, atOnce(),
			metav1.ListOptions{}); err != nil {
			return err
		}
	}
	if err := keep(ctx, client); err != nil {
		return err
	}
	found, err := Violating(ctx, client)
	if err == nil && found != 0 {
		err = fmt.Errorf("%d violating objects are left", found)
	}
	return err
}

func keep(ctx context.Context, client dynamic.Interface) error {
	for _, o := range kept {
		if _, err := Create(ctx, client, o); err != nil {
			return err
		}
	}
	return nil
}

func resources() []schema.GroupVersionResource {
	all := []schema.GroupVersionResource{configMaps}
	for _, w := range workloads {
		all = append(all, w.resource)
	}
	return all
}

var teamLabel = regexp.MustCompile("^[a-z]+$")

// Violating returns the number of stored violating objects. It returns an error if a complying
// object is gone.
func Violating(ctx context.Context, client dynamic.Interface) (violating int, err error) {
	var missing []error
	for _, o := range kept {
		if _, err := client.Resource(o.resource).Namespace(Namespace).
			Get(ctx, o.GetName(), metav1.GetOptions{}); apierrors.IsNotFound(err) {
			missing = append(missing, err)
		} else if err != nil {
			return 0, err
		}
	}
	if missing != nil {
		return 0, fmt.Errorf("complying objects are gone: %w", errors.Join(missing...))
	}
	found, err := client.Resource(configMaps).Namespace(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	for n := range found.Items {
		if !teamLabel.MatchString(found.Items[n].GetLabels()["team"]) {
			violating++
		}
	}
	for _, w := range workloads {
		found, err := client.Resource(w.resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return 0, err
		}
		for n := range found.Items {
			if privileged(found.Items[n].Object, w.podSpec) {
				violating++
			}
		}
	}
	return violating, nil
}

func privileged(object map[string]any, podSpec []string) bool {
	spec, _, err := unstructured.NestedMap(object, podSpec...)
	must(err)
	for _, field := range []string{"containers", "initContainers", "ephemeralContainers"} {
		containers, _ := spec[field].([]any)
		for _, c := range containers {
			if is, _, err := unstructured.NestedBool(c.(map[string]any), "securityContext",
				"privileged"); err == nil && is {
				return true
			}
		}
	}
	return false
}
