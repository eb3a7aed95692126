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

// opaDocument writes the inventory as data.kubernetes of policies for OPA has it: by the
// plural of the resource, the namespace if it has them, and the name.
func opaDocument(parts []part) ([]byte, error) {
	plurals := map[string][]part{}
	for _, p := range parts {
		others := plurals[p.Resource]
		if len(others) > 0 && others[0].namespaced != p.namespaced {
			return nil, fmt.Errorf("%s and %s cannot be read by one policy: both are called %s, but one is namespaced and the other is not",
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

// gatekeeperDocument writes the inventory as data.inventory of policies for Gatekeeper has
// it: objects of the cluster and those of namespaces, by group and version, kind and name.
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

// namespaces returns all namespaces that there are objects in, as they stand in JSON.
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

// jsonString returns a string's JSON from what stands between its quotes.
func jsonString[T string | []byte](inner T) []byte {
	return append(append([]byte{'"'}, inner...), '"')
}

// writer writes objects of objects.
type writer struct{ bytes.Buffer }

// newWriter returns a writer that has begun an object.
func newWriter(parts []part) *writer {
	w, size := &writer{}, 0
	for _, p := range parts {
		// A name beside each object is less than a tenth of it, mostly.
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

// open begins a field that is an object, and close ends it.
func (w *writer) open(name []byte) {
	w.key(name)
	w.WriteByte('{')
}

func (w *writer) close() { w.WriteByte('}') }

// end ends the object and returns it.
func (w *writer) end() []byte {
	w.close()
	return appendInPortions(make([]byte, 0, w.Len()), w.Bytes())
}

// kinds writes the objects of a namespace, "" for those of the cluster, by group and
// version, kind and name. The parts are in the order of these.
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

// objects writes the objects of a namespace by name. Of two with the same name, that of
// the later part counts.
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

// hidden tells whether a part has an object.
func hidden(parts []part, i identity) bool {
	return slices.ContainsFunc(parts, func(p part) bool {
		_, found := p.list.find(i)
		return found
	})
}
