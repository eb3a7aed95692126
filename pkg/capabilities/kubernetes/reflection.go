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
	// pageSize is the number of objects decoded at a time if the server does not stream lists.
	pageSize = 500
	// maxOutage is how long objects may be served after their watch failed.
	maxOutage = time.Minute
	// retryPause is how long a failed cache answers with its error before it is started again.
	// tooLargePause is longer, and applies to objects that do not fit, because finding that out
	// again is expensive.
	retryPause    = time.Second
	tooLargePause = time.Minute
)

// selection identifies the objects to watch, and the fields to keep of them.
type selection struct {
	resource
	// namespace is empty for all namespaces.
	namespace    string
	label, field string
	// mask is the text that [parseMask] returns for the mask.
	mask string
}

func (s *selection) String() string {
	text := "the list of " + s.resource.String()
	if s.namespace != "" {
		text += " in namespace " + s.namespace
	}
	return text
}

// reflection keeps the objects of a selection up to date with a watch, from its start until it
// ends. It is safe for concurrent use.
type reflection struct {
	occupant
	selection
	clock  clock.Clock
	logger klog.Logger
	// limit is the memory limit of all caches together.
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
	// reason and err say why the reflection ended, and at says when. They may only be read after
	// the end.
	reason stopReason
	err    error
	at     time.Time
}

// outage says since when and why the objects cannot be watched.
type outage struct {
	since time.Time
	err   error
}

// list returns the selection's objects. It waits for the first list until ctx ends.
func (r *reflection) list(ctx context.Context) (*list, error) {
	select {
	case <-r.filled:
	case <-r.ended:
	case <-ctx.Done():
		err := context.Cause(ctx)
		if o := r.outage.Load(); o != nil {
			err = o.err
		}
		return nil, &abi.ShortageError{
			Err: fmt.Errorf("%s is not loaded yet: %w", &r.selection, err),
		}
	}
	s := r.store.Load()
	if s == nil {
		<-r.ended
		return nil, r.err
	}
	if o := r.outage.Load(); o != nil && r.clock.Since(o.since) > maxOutage {
		return nil, fmt.Errorf("%s is out of date since %s: %w", &r.selection,
			o.since.UTC().Format(time.RFC3339), o.err)
	}
	return s.list(ctx)
}

// remembered notes that a list has cached choices.
func (r *reflection) remembered() {
	if s := r.store.Load(); s != nil {
		s.remembered()
	}
}

// ready reports whether the objects have been loaded, so that list does not wait.
func (r *reflection) ready() bool {
	select {
	case <-r.filled:
		return true
	default:
		return false
	}
}

// over reports whether the reflection has ended and another may replace it. After a failure, it
// reports false for a moment, during which the error is the answer.
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

// finish ends the reflection. Only the first call has an effect.
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

// evict is the occupant's end function.
func (r *reflection) evict(reason stopReason) {
	switch reason {
	case stopTooLarge:
		r.finish(reason, &tooLargeError{what: r.String(), limit: r.limit})
	default:
		r.finish(reason, &abi.ShortageError{
			Err: fmt.Errorf(
				"%s was dropped (%s): other caches use up the memory for what policies read of the cluster; raise that limit, or have policies ask for less",
				&r.selection, reason),
		})
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
			r.logger.Error(fmt.Errorf("panic: %v", p), "Watching for policies failed",
				"stack", string(debug.Stack()))
			r.fail(errors.New("internal error"))
		}
	}()
	reflector := cache.NewReflectorWithOptions(r.source(client, s), nil, s, cache.ReflectorOptions{
		Logger: &r.logger, Name: "wasm-admission", TypeDescription: r.resource.String(),
		Clock: r.clock,
	})
	reflector.WatchListPageSize = pageSize
	backoff := wait.Backoff{
		Duration: 200 * time.Millisecond,
		Factor:   2,
		Jitter:   1,
		Steps:    10,
		Cap:      30 * time.Second,
	}
	delay := backoff.DelayWithReset(r.clock, 2*time.Minute)
	_ = delay.Until(klog.NewContext(ctx, r.logger), true, true,
		func(ctx context.Context) (over bool, _ error) {
			err := reflector.ListAndWatchWithContext(ctx)
			return err != nil && ctx.Err() == nil && r.failed(err), nil
		})
}

// failed handles an error of the watch, and reports whether the error is final.
func (r *reflection) failed(err error) bool {
	switch {
	case apierrors.IsNotFound(err):
		r.gone()
		r.finish(stopFailed, missing(r.apiVersion, r.kind))
		r.remove()
	case !r.ready(), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err),
		apierrors.IsMethodNotSupported(err):
		r.fail(err)
	default:
		r.note(err)
		r.logger.Info("Watching for policies failed, trying again", "err", err)
		return false
	}
	return true
}

// note records since when the objects cannot be watched. A nil error means that the watch works.
func (r *reflection) note(err error) {
	switch {
	case err == nil:
		r.outage.Store(nil)
	case !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err):
		r.outage.CompareAndSwap(nil, &outage{since: r.clock.Now(), err: err})
	}
}

// source returns the source of a reflector's objects.
func (r *reflection) source(client dynamic.ResourceInterface, s *store) cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context,
			options metav1.ListOptions) (runtime.Object, error) {
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
				ResourceVersion: page.GetResourceVersion(), Continue: page.GetContinue(),
				RemainingItemCount: page.GetRemainingItemCount(),
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
		WatchFuncWithContext: func(ctx context.Context,
			options metav1.ListOptions) (watch.Interface, error) {
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
