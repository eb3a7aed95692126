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

package kubernetes

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// opaDocument builds the inventory in the layout of data.kubernetes for OPA policies. Its keys are
// the resource's plural name, the namespace if the resource is namespaced, and the object's name.
func opaDocument(parts []part) ([]byte, error) {
	plurals := map[string][]part{}
	for _, p := range parts {
		others := plurals[p.Resource]
		if len(others) > 0 && others[0].namespaced != p.namespaced {
			return nil, fmt.Errorf(
				"%s and %s cannot be read by one policy: both are called %s, but one is namespaced and the other is not",
				&others[0].resource, &p.resource, p.Resource)
		}
		plurals[p.Resource] = append(others, p)
	}
	w := newWriter(parts)
	for _, plural := range slices.Sorted(maps.Keys(plurals)) {
		w.open(quote(plural))
		if same := plurals[plural]; same[0].namespaced {
			for _, namespace := range namespaces(same) {
				w.open(jsonString(namespace))
				w.objects(same, namespace)
				w.close()
			}
		} else {
			w.objects(same, "")
		}
		w.close()
	}
	return w.end(), nil
}

// gatekeeperDocument builds the inventory in the layout of data.inventory for Gatekeeper policies.
// It has separate objects for cluster-scoped and namespaced objects, with group version, kind and
// name as keys.
func gatekeeperDocument(parts []part) ([]byte, error) {
	var cluster, namespaced []part
	for _, p := range parts {
		if p.namespaced {
			namespaced = append(namespaced, p)
		} else {
			cluster = append(cluster, p)
		}
	}
	w := newWriter(parts)
	w.open(quote("cluster"))
	w.kinds(cluster, "")
	w.close()
	w.open(quote("namespace"))
	for _, namespace := range namespaces(namespaced) {
		w.open(jsonString(namespace))
		w.kinds(namespaced, namespace)
		w.close()
	}
	w.close()
	return w.end(), nil
}

// namespaces returns all namespaces that contain objects, in JSON form without quotes.
func namespaces(parts []part) []string {
	found := map[string]bool{}
	for _, p := range parts {
		for n := 0; n < len(p.list.spans); {
			namespace, _ := p.list.identity(p.list.object(n))
			text := string(namespace)
			found[text] = true
			_, n = p.list.namespaceRange(text)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// jsonString returns a JSON string from its content without quotes.
func jsonString[T string | []byte](inner T) []byte {
	return append(append([]byte{'"'}, inner...), '"')
}

// writer writes nested JSON objects.
type writer struct{ bytes.Buffer }

// newWriter returns a writer that has begun an object.
func newWriter(parts []part) *writer {
	w, size := &writer{}, 0
	for _, p := range parts {
		// The name of an object is usually less than a tenth of its size.
		size += len(p.list.response) + len(p.list.response)/10
	}
	w.Grow(size + 64)
	w.WriteByte('{')
	return w
}

// key writes a field's name.
func (w *writer) key(name []byte) {
	if last := w.Bytes()[w.Len()-1]; last != '{' {
		w.WriteByte(',')
	}
	w.Write(name)
	w.WriteByte(':')
}

// open begins a field with an object as its value. close ends the object.
func (w *writer) open(name []byte) {
	w.key(name)
	w.WriteByte('{')
}

func (w *writer) close() { w.WriteByte('}') }

// end ends the outer object and returns it.
func (w *writer) end() []byte {
	w.close()
	return appendInPortions(make([]byte, 0, w.Len()), w.Bytes())
}

// kinds writes the objects of a namespace by group version, kind and name. An empty namespace
// selects cluster-scoped objects. The parts must be sorted in this order.
func (w *writer) kinds(parts []part, namespace string) {
	for from := 0; from < len(parts); {
		to := from
		for to < len(parts) && parts[to].apiVersion == parts[from].apiVersion {
			to++
		}
		opened := false
		for _, p := range parts[from:to] {
			if first, last := p.list.namespaceRange(namespace); first == last {
				continue
			}
			if !opened {
				w.open(quote(p.apiVersion))
				opened = true
			}
			w.open(quote(p.kind))
			w.objects([]part{p}, namespace)
			w.close()
		}
		if opened {
			w.close()
		}
		from = to
	}
}

// objects writes the objects of a namespace by name. If two objects have the same name, the later
// part counts.
func (w *writer) objects(parts []part, namespace string) {
	for n, p := range parts {
		from, to := p.list.namespaceRange(namespace)
		for at := from; at < to; at++ {
			_, name := p.list.identity(p.list.object(at))
			if hidden(parts[n+1:], identity{namespace, string(name)}) {
				continue
			}
			w.key(jsonString(name))
			w.Write(p.list.object(at))
		}
	}
}

// hidden reports whether one of the parts contains the object.
func hidden(parts []part, i identity) bool {
	return slices.ContainsFunc(parts, func(p part) bool {
		_, found := p.list.find(i)
		return found
	})
}
