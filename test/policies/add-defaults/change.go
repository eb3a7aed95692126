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
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// change applies the settings to an object, and reports whether the object changed.
func change(object map[string]any, s settings) (changed bool, err error) {
	for name, values := range map[string]map[string]string{
		"labels":      s.Labels,
		"annotations": s.Annotations,
	} {
		added, err := add(object, name, values)
		if err != nil {
			return false, err
		}
		changed = changed || added
	}
	if s.Sidecar != nil && addSidecar(object, s.Sidecar) {
		changed = true
	}
	for _, path := range s.Remove {
		if parent, name := find(object, path); parent != nil {
			delete(parent, name)
			changed = true
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.Maximums)) {
		if parent, name := find(object, path); parent != nil &&
			exceeds(parent[name], s.Maximums[path]) {
			parent[name] = json.Number(strconv.FormatInt(s.Maximums[path], 10))
			changed = true
		}
	}
	return changed, nil
}

// add adds the values that are missing from a map in metadata.
func add(object map[string]any, name string, values map[string]string) (changed bool, err error) {
	if len(values) == 0 {
		return false, nil
	}
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return false, fmt.Errorf("metadata is %T and no object", object["metadata"])
	}
	present, ok := metadata[name].(map[string]any)
	if !ok {
		present = map[string]any{}
	}
	for key, value := range values {
		if _, found := present[key]; !found {
			present[key] = value
			changed = true
		}
	}
	if changed {
		metadata[name] = present
	}
	return changed, nil
}

// podSpecs are the paths of the Pod specification, by kind.
var podSpecs = map[string]string{
	"Pod":         "spec",
	"CronJob":     "spec.jobTemplate.spec.template.spec",
	"Job":         "spec.template.spec",
	"Deployment":  "spec.template.spec",
	"ReplicaSet":  "spec.template.spec",
	"StatefulSet": "spec.template.spec",
	"DaemonSet":   "spec.template.spec",
}

// addSidecar adds a container to a Pod or a workload.
func addSidecar(object, sidecar map[string]any) bool {
	kind, _ := object["kind"].(string)
	parent, name := find(object, podSpecs[kind])
	spec, ok := parent[name].(map[string]any)
	if !ok {
		return false
	}
	containers, _ := spec["containers"].([]any)
	for _, c := range containers {
		if container, ok := c.(map[string]any); ok && container["name"] == sidecar["name"] {
			return false
		}
	}
	spec["containers"] = append(containers, sidecar)
	return true
}

// find returns the object that contains the field at a path, and
// the field's name. The object is nil if the field does not exist.
func find(object map[string]any, path string) (parent map[string]any, name string) {
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		object, _ = object[name].(map[string]any)
	}
	name = names[len(names)-1]
	if _, found := object[name]; !found {
		return nil, name
	}
	return object, name
}

func exceeds(value any, maximum int64) bool {
	number, ok := value.(json.Number)
	if !ok {
		return false
	}
	n, err := number.Int64()
	return err == nil && n > maximum
}
