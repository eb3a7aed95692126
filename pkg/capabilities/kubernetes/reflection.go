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
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

const (
	// pageSize is how many objects are decoded at a time if the server does not stream.
	pageSize = 500
	// maxOutage is how long objects are served that can no longer be watched.
	maxOutage = time.Minute
	// retryPause is how long an error is the answer before a cache is started again, and
	// tooLargePause if it is that the objects do not fit: finding that out again is costly.
	retryPause    = time.Second
	tooLargePause = time.Minute
)

// selection is which objects are kept up to date, and what of them.
type selection struct {
	resource
	// namespace is "" for all.
	namespace    string
	label, field string
	// mask is the text of the mask, which [parseMask] makes.
	mask string
}

func (s *selection) String() string {
	text := "the list of " + s.resource.String()
	if s.namespace != "" {
		text += " in namespace " + s.namespace
	}
	return text
}

// reflection keeps the objects of a selection up to date by watching them, from its
// start until it ends. It is safe for concurrent use.
type reflection struct {
	occupant
	selection
	clock  clock.Clock
	logger klog.Logger
	// limit is that of the memory for all caches.
	limit int64
	// gone is called when the server does not know the resource.
	gone func()
	// recorder and remove are called at the end.
	recorder Recorder
	remove   func()

	// store is nil after the end.
	store  atomic.Pointer[store]
	outage atomic.Pointer[outage]
	cancel context.CancelFunc

	filled chan struct{}
	ending sync.Once
	ended  chan struct{}
	// reason and err are why it ended, and at is when; to be read after that only.
	reason stopReason
	err    error
	at     time.Time
}

// outage is when and why the objects can no longer be watched.
type outage struct {
	since time.Time
	err   error
}

// list returns the selection's objects. It waits for the first of them within ctx.
func (r *reflection) list(ctx context.Context) (*list, error) {
	select {
	case <-r.filled:
	case <-r.ended:
	case <-ctx.Done():
		err := context.Cause(ctx)
		if o := r.outage.Load(); o != nil {
			err = o.err
		}
		return nil, &abi.ShortageError{Err: fmt.Errorf("%s is not there yet: %w", &r.selection, err)}
	}
	s := r.store.Load()
	if s == nil {
		<-r.ended
		return nil, r.err
	}
	if o := r.outage.Load(); o != nil && r.clock.Since(o.since) > maxOutage {
		return nil, fmt.Errorf("%s is out of date since %s: %w", &r.selection, o.since.UTC().Format(time.RFC3339), o.err)
	}
	return s.list(ctx)
}

// remembered says that choices are remembered of a list.
func (r *reflection) remembered() {
	if s := r.store.Load(); s != nil {
		s.remembered()
	}
}

// ready tells whether the objects are there, so that list does not wait for them.
func (r *reflection) ready() bool {
	select {
	case <-r.filled:
		return true
	default:
		return false
	}
}

// over tells whether the reflection ended and another may take its place. After a failure
// that takes a moment, in which the error is the answer.
func (r *reflection) over(now time.Time) bool {
	select {
	case <-r.ended:
	default:
		return false
	}
	switch r.reason {
	case stopIdle, stopEvicted:
		return true
	case stopTooLarge:
		return now.Sub(r.at) > tooLargePause
	default:
		return now.Sub(r.at) > retryPause
	}
}

// finish ends the reflection; only the first time counts.
func (r *reflection) finish(reason stopReason, err error) {
	r.ending.Do(func() {
		r.reason, r.err, r.at = reason, err, r.clock.Now()
		r.store.Store(nil)
		close(r.ended)
		r.cancel()
		r.recorder.CountCacheStop(string(reason))
		r.logger.V(2).Info("Stopped watching for policies", "reason", reason, "err", err)
	})
}

// evict implements the end of the occupant.
func (r *reflection) evict(reason stopReason) {
	switch reason {
	case stopTooLarge:
		r.finish(reason, &tooLargeError{what: r.String(), limit: r.limit})
	default:
		r.finish(reason, &abi.ShortageError{Err: fmt.Errorf("%s was dropped (%s): the memory for what policies read of the cluster is used up by others; raise that limit, or have policies ask for less", &r.selection, reason)})
	}
}

// fail ends the reflection because it cannot go on.
func (r *reflection) fail(err error) {
	r.finish(stopFailed, fmt.Errorf("%s: %w", &r.selection, err))
	r.remove()
}

// run watches until ctx ends or there is nothing to watch.
func (r *reflection) run(ctx context.Context, client dynamic.ResourceInterface, s *store) {
	defer func() {
		if p := recover(); p != nil {
			r.logger.Error(fmt.Errorf("panic: %v", p), "Watching for policies failed", "stack", string(debug.Stack()))
			r.fail(errors.New("internal error"))
		}
	}()
	reflector := cache.NewReflectorWithOptions(r.source(client, s), nil, s, cache.ReflectorOptions{
		Logger: &r.logger, Name: "wasm-admission", TypeDescription: r.resource.String(), Clock: r.clock,
	})
	reflector.WatchListPageSize = pageSize
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 10, Cap: 30 * time.Second}
	delay := backoff.DelayWithReset(r.clock, 2*time.Minute)
	_ = delay.Until(klog.NewContext(ctx, r.logger), true, true, func(ctx context.Context) (over bool, _ error) {
		err := reflector.ListAndWatchWithContext(ctx)
		return err != nil && ctx.Err() == nil && r.failed(err), nil
	})
}

// failed says that watching ended with an error, and tells whether that is the end.
func (r *reflection) failed(err error) bool {
	switch {
	case apierrors.IsNotFound(err):
		r.gone()
		r.finish(stopFailed, missing(r.apiVersion, r.kind))
		r.remove()
	case !r.ready(), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsMethodNotSupported(err):
		r.fail(err)
	default:
		r.note(err)
		r.logger.Info("Watching for policies failed, trying again", "err", err)
		return false
	}
	return true
}

// note remembers since when the objects cannot be watched; nil is that they can.
func (r *reflection) note(err error) {
	switch {
	case err == nil:
		r.outage.Store(nil)
	case !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err):
		r.outage.CompareAndSwap(nil, &outage{since: r.clock.Now(), err: err})
	}
}

// source is where a reflector gets the objects from.
func (r *reflection) source(client dynamic.ResourceInterface, s *store) cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			if options.Continue == "" {
				s.beginLoading()
			}
			options.LabelSelector, options.FieldSelector = r.label, r.field
			page, err := client.List(ctx, options)
			r.note(err)
			if err != nil {
				return nil, err
			}
			objects := &internalversion.List{ListMeta: metav1.ListMeta{
				ResourceVersion: page.GetResourceVersion(), Continue: page.GetContinue(), RemainingItemCount: page.GetRemainingItemCount(),
			}}
			for n := range page.Items {
				e, err := s.load(&page.Items[n])
				if err != nil {
					return nil, err
				}
				objects.Items = append(objects.Items, e)
			}
			return objects, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			if options.SendInitialEvents != nil {
				s.beginLoading()
			}
			options.LabelSelector, options.FieldSelector = r.label, r.field
			w, err := client.Watch(ctx, options)
			r.note(err)
			return w, err
		},
	}
}
