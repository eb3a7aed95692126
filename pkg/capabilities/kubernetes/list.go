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
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
)

// list holds all objects of a selection at one moment, as the response for guests. It is immutable
// except for its cached choices. The response is the only copy of the objects, which it sorts by
// namespace and name. A list therefore takes little more memory than its response.
type list struct {
	*encoder
	response []byte
	spans    []span
	choices  choices
}

// span locates an object in the response. labels is the offset of the object's labels, or zero if
// it has none.
type span struct{ offset, length, labels uint32 }

// spanBytes is the size of a span.
const spanBytes = 12

// identity is the key that finds and sorts objects: namespace and name, in the JSON form of
// [encoder.encode].
type identity struct{ namespace, name string }

func (i identity) compare(other identity) int {
	return cmp.Or(cmp.Compare(i.namespace, other.namespace), cmp.Compare(i.name, other.name))
}

func newList(e *encoder) *list {
	return &list{encoder: e, response: slices.Concat(e.header, e.footer)}
}

// size returns the size of the list in bytes.
func (l *list) size() int64 {
	return int64(cap(l.response)) + int64(cap(l.spans))*spanBytes + l.choices.size()
}

// object returns the JSON of the n-th object.
func (l *list) object(n int) []byte {
	s := l.spans[n]
	return l.response[s.offset : s.offset+s.length]
}

// objects returns the JSON of the objects in [from, to), separated by commas. The range must not be
// empty.
func (l *list) objects(from, to int) []byte {
	last := l.spans[to-1]
	return l.response[l.spans[from].offset : last.offset+last.length]
}

// find returns the index of an object, or the index at which to insert it.
func (l *list) find(i identity) (int, bool) {
	return sort.Find(len(l.spans), func(n int) int {
		namespace, name := l.identity(l.object(n))
		return cmp.Or(bytes.Compare([]byte(i.namespace), namespace),
			bytes.Compare([]byte(i.name), name))
	})
}

// namespaceRange returns the range of objects in a namespace.
func (l *list) namespaceRange(namespace string) (from, to int) {
	after := func(least int) func(int) bool {
		return func(n int) bool {
			at, _ := l.identity(l.object(n))
			return bytes.Compare(at, []byte(namespace)) >= least
		}
	}
	return sort.Search(len(l.spans), after(0)), sort.Search(len(l.spans), after(1))
}

// inNamespace returns the response with the objects of one namespace.
func (l *list) inNamespace(namespace string) []byte {
	quoted := quote(namespace)
	from, to := l.namespaceRange(string(quoted[1 : len(quoted)-1]))
	if from == to {
		return slices.Concat(l.header, l.footer)
	}
	objects := l.objects(from, to)
	response := append(make([]byte, 0, len(l.header)+len(objects)+len(l.footer)), l.header...)
	return append(appendInPortions(response, objects), l.footer...)
}

// with returns the list with changes applied. A change holds the JSON of a new or modified object,
// or nil for a deleted one.
func (l *list) with(changes map[identity][]byte) (*list, error) {
	identities := slices.SortedFunc(maps.Keys(changes), identity.compare)
	places := make([]place, len(identities))
	count, size := len(l.spans), len(l.response)-len(l.header)-len(l.footer)-max(0, len(l.spans)-1)
	for n, i := range identities {
		at, found := l.find(i)
		places[n] = place{at: at, found: found, object: changes[i]}
		if found {
			count, size = count-1, size-int(l.spans[at].length)
		}
		if object := changes[i]; object != nil {
			count, size = count+1, size+len(object)
		}
	}
	size += len(l.header) + len(l.footer) + max(0, count-1)
	if size > math.MaxUint32 {
		return nil, fmt.Errorf("a list of %d bytes is too large", size)
	}
	b := builder{
		list: &list{
			encoder:  l.encoder,
			response: make([]byte, 0, size),
			spans:    make([]span, 0, count),
		},
	}
	b.response = append(b.response, l.header...)
	from := 0
	for _, p := range places {
		b.copy(l, from, p.at)
		from = p.at
		if p.found {
			from++
		}
		if p.object != nil {
			b.add(p.object)
		}
	}
	b.copy(l, from, len(l.spans))
	b.response = append(b.response, l.footer...)
	return b.list, nil
}

// place is the position of a change in a list.
type place struct {
	at     int
	found  bool
	object []byte
}

// builder is a list under construction.
type builder struct{ *list }

func (b *builder) comma() {
	if len(b.spans) > 0 {
		b.response = append(b.response, ',')
	}
}

func (b *builder) add(object []byte) {
	b.comma()
	b.spans = append(b.spans, span{uint32(len(b.response)), uint32(len(object)), b.labels(object)})
	b.response = appendInPortions(b.response, object)
}

// copy appends a range of objects from another list.
func (b *builder) copy(l *list, from, to int) {
	if from == to {
		return
	}
	b.comma()
	objects := l.objects(from, to)
	// The difference may wrap around, and the addition below wraps it back.
	shift := uint32(len(b.response)) - l.spans[from].offset
	for _, s := range l.spans[from:to] {
		b.spans = append(b.spans, span{s.offset + shift, s.length, s.labels})
	}
	b.response = appendInPortions(b.response, objects)
}

// portion is the number of bytes copied at a time.
const portion = 256 << 10

// appendInPortions appends many bytes in portions. Go's garbage collector cannot stop a goroutine
// in the middle of a copy. The whole process would wait for a copy of tens of megabytes.
func appendInPortions(to, from []byte) []byte {
	for ; len(from) > portion; from = from[portion:] {
		to = append(to, from[:portion]...)
	}
	return append(to, from...)
}
