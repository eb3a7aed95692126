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
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

const (
	// pace limits the share of time spent on rebuilding a list while its objects keep changing: one
	// part in pace. A list of 1 MB takes a fraction of a millisecond to rebuild, one of 20 MB
	// several milliseconds.
	pace = 50
	// maxPause bounds how long a change waits until it is in the list.
	maxPause = 500 * time.Millisecond
	// changeOverhead is the approximate size of a change without its object and identity.
	changeOverhead = 96
	// minCompaction is the minimum size of changes, in bytes, that may be held beside a list.
	minCompaction = 64 << 10
)

// store holds the objects of a selection. A reflector delivers changes, and readers get a list. The
// store limits how often it merges changes into the list. It implements [cache.ReflectorStore] and
// is safe for concurrent use.
type store struct {
	*encoder
	clock clock.PassiveClock
	// resize receives the size of the store in bytes. fail receives the reason why no further list
	// can be built.
	resize func(bytes int64)
	fail   func(error)
	// fits reports whether the store can have this size without any eviction.
	fits func(bytes int64) bool
	// filled is called after the store received a complete list.
	filled func()

	mu   sync.Mutex
	base *list
	// changes holds the changes that are neither in the list nor being merged.
	changes     map[identity][]byte
	changeBytes int64
	// since is the time of the oldest change that is not in the list. next is the time of the
	// oldest change that is not being merged either.
	since, next time.Time
	// building is closed when the running merge is done. It is nil if none is running.
	building chan struct{}
	cost     time.Duration
	// loading is the size of the objects received so far of a complete new list.
	loading int64
}

var _ cache.TransformingStore = &store{}

// encodedObject is an encoded object. It is a [runtime.Object], because a reflector accepts only
// lists of these.
type encodedObject struct{ json []byte }

// GetObjectKind implements [runtime.Object].
func (*encodedObject) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements [runtime.Object].
func (e *encodedObject) DeepCopyObject() runtime.Object { return e }

// held returns the size of the store in bytes.
func (s *store) held() int64 { return s.base.size() + s.changeBytes + s.loading }

// recount reports the size of the store. Cached choices must not evict other occupants, and least
// of all their own list, so they are dropped if there is no room. The caller holds the lock.
func (s *store) recount() {
	if s.base.choices.size() > 0 && !s.fits(s.held()) {
		s.base.choices.forget()
	}
	s.resize(s.held())
}

// remembered notes that choices have been cached.
func (s *store) remembered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recount()
}

// beginLoading notes the start of a complete new list.
func (s *store) beginLoading() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading = 0
	s.recount()
}

// load encodes one object of a complete new list.
func (s *store) load(object any) (*encodedObject, error) {
	e, err := s.encodeObject(object)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading += int64(len(e.json))
	s.recount()
	return e, nil
}

// encodeObject encodes an object in the form that clients decode. A panic here would end the
// reflector.
func (s *store) encodeObject(object any) (e *encodedObject, err error) {
	switch object := object.(type) {
	case *encodedObject:
		return object, nil
	case *unstructured.Unstructured:
		json, err := s.encode(object)
		return &encodedObject{json}, err
	default:
		return nil, fmt.Errorf("unexpected object of type %T", object)
	}
}

// Transformer implements [cache.TransformingStore]. It encodes streamed objects one by one, so that
// at most one of them exists as a tree.
func (s *store) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return s.load(object) }
}

// Add implements [cache.ReflectorStore].
func (s *store) Add(object any) error { return s.Update(object) }

// Update implements [cache.ReflectorStore].
func (s *store) Update(object any) error {
	e, err := s.encodeObject(object)
	if err != nil {
		return err
	}
	s.change(s.identify(e.json), e.json)
	return nil
}

// Delete implements [cache.ReflectorStore].
func (s *store) Delete(object any) error {
	named, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("unexpected object of type %T", object)
	}
	s.change(identity{inner(named.GetNamespace()), inner(named.GetName())}, nil)
	return nil
}

// Resync implements [cache.ReflectorStore].
func (s *store) Resync() error { return nil }

// Replace implements [cache.ReflectorStore].
func (s *store) Replace(objects []any, _ string) error {
	all := make(map[identity][]byte, len(objects))
	for _, object := range objects {
		e, err := s.encodeObject(object)
		if err != nil {
			return err
		}
		all[s.identify(e.json)] = e.json
	}
	begin := s.clock.Now()
	base, err := newList(s.encoder).with(all)
	if err != nil {
		s.fail(err)
		return err
	}
	s.mu.Lock()
	s.base, s.cost = base, s.clock.Since(begin)
	s.changes, s.changeBytes, s.loading = map[identity][]byte{}, 0, 0
	s.since, s.next = time.Time{}, time.Time{}
	s.recount()
	s.mu.Unlock()
	s.filled()
	return nil
}

func (s *store) identify(object []byte) identity {
	namespace, name := s.identity(object)
	return identity{string(namespace), string(name)}
}

// inner returns the content of a string's JSON without the quotes.
func inner(text string) string {
	quoted := quote(text)
	return string(quoted[1 : len(quoted)-1])
}

func (s *store) change(i identity, object []byte) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.changes[i]; known {
		s.changeBytes -= changeSize(i, before)
	}
	s.changes[i] = object
	s.changeBytes += changeSize(i, object)
	if s.since.IsZero() {
		s.since = now
	}
	if s.next.IsZero() {
		s.next = now
	}
	if s.changeBytes > s.base.size()/8+minCompaction {
		s.rebuild()
	}
	s.recount()
}

func changeSize(i identity, object []byte) int64 {
	return int64(len(i.namespace)+len(i.name)+len(object)) + changeOverhead
}

// list returns the current objects, or those of a short time ago.
func (s *store) list(ctx context.Context) (*list, error) {
	s.mu.Lock()
	if s.since.IsZero() {
		defer s.mu.Unlock()
		return s.base, nil
	}
	age, pause := s.clock.Since(s.since), min(s.cost*pace, maxPause)
	if age >= pause {
		s.rebuild()
	}
	base, building := s.base, s.building
	s.mu.Unlock()
	if building == nil || age < 2*pause {
		return base, nil
	}
	select {
	case <-building:
	case <-ctx.Done():
		return nil, &abi.ShortageError{
			Err: fmt.Errorf("waiting for a list to be rebuilt: %w", context.Cause(ctx)),
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base, nil
}

// rebuild starts to merge the changes into the list, unless a merge is running.
func (s *store) rebuild() {
	if s.building != nil {
		return
	}
	s.building = make(chan struct{})
	changes, bytes := s.changes, s.changeBytes
	s.changes = map[identity][]byte{}
	s.next = time.Time{}
	go s.build(s.base, changes, bytes)
}

func (s *store) build(base *list, changes map[identity][]byte, bytes int64) {
	defer func() {
		if r := recover(); r != nil {
			s.fail(fmt.Errorf("panic while a list was rebuilt: %v", r))
		}
	}()
	begin := s.clock.Now()
	built, err := base.with(changes)
	cost := s.clock.Since(begin)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		close(s.building)
		s.building = nil
	}()
	switch {
	case err != nil:
		s.fail(err)
	case s.base == base: // otherwise a new list has replaced all objects
		s.base, s.cost, s.since = built, cost, s.next
		s.changeBytes -= bytes
		s.recount()
	}
}
