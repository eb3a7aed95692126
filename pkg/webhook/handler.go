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

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
)

// Defaults of [Options].
const (
	// DefaultMaxBodyBytes has room for an object and its old version, each of the largest size
	// that the apiserver accepts.
	DefaultMaxBodyBytes = 8 << 20
	// DefaultMaxBytes bounds the bodies of all requests in progress.
	DefaultMaxBytes = 64 << 20
	// DefaultMaxRequests bounds the number of requests in progress.
	DefaultMaxRequests = 500
)

const (
	// maxTimeout is the longest that the apiserver waits for a webhook.
	maxTimeout = 30 * time.Second
	// maxErrorBytes bounds an error in answers and in the log: some errors quote the request.
	maxErrorBytes = 1 << 10
	// maxParts bounds the values in all reviews in progress. The smallest value takes dozens of
	// bytes once it is decoded, so a body can grow twentyfold.
	maxParts = 4 << 20
)

// Options configure a handler. Dispatcher is required.
type Options struct {
	// Dispatcher has the policies.
	Dispatcher *dispatch.Dispatcher
	// MaxBodyBytes bounds the body of one request, and MaxBytes the bodies of all requests in
	// progress. Defaults: [DefaultMaxBodyBytes] and [DefaultMaxBytes].
	MaxBodyBytes, MaxBytes int64
	// MaxRequests bounds the number of requests in progress. Default: [DefaultMaxRequests].
	MaxRequests int64
}

// Handler serves admission reviews at /validate/POLICY and /mutate/POLICY. It is safe for
// concurrent use.
type Handler struct {
	options  Options
	mux      *http.ServeMux
	bytes    *semaphore.Weighted
	requests *semaphore.Weighted
	parts    *semaphore.Weighted
}

// NewHandler returns a handler.
func NewHandler(o Options) *Handler {
	positive := func(value *int64, otherwise int64) {
		if *value <= 0 {
			*value = otherwise
		}
	}
	positive(&o.MaxBodyBytes, DefaultMaxBodyBytes)
	positive(&o.MaxBytes, DefaultMaxBytes)
	positive(&o.MaxRequests, DefaultMaxRequests)
	h := &Handler{
		options:  o,
		mux:      http.NewServeMux(),
		bytes:    semaphore.NewWeighted(max(o.MaxBytes, o.MaxBodyBytes)),
		requests: semaphore.NewWeighted(o.MaxRequests),
		parts:    semaphore.NewWeighted(maxParts),
	}
	for _, phase := range []string{Validating, Mutating} {
		h.mux.HandleFunc("POST /"+phase+"/{policy}", func(w http.ResponseWriter, r *http.Request) {
			h.serve(w, r, phase)
		})
	}
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// failure is an answer without a verdict. The apiserver then applies the failure policy.
type failure struct {
	code int
	err  error
}

// Error implements the error interface.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the wrapped error.
func (f *failure) Unwrap() error { return f.err }

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, phase string) {
	policy := r.PathValue("policy")
	answer, uid, err := h.answer(w, r, phase, policy)
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // the client is gone
		return
	}
	code := http.StatusInternalServerError
	if f := (*failure)(nil); errors.As(err, &f) {
		code = f.code
	}
	if text := err.Error(); len(text) > maxErrorBytes {
		err = errors.New(strings.ToValidUTF8(text[:maxErrorBytes], "") + "…")
	}
	klog.FromContext(r.Context()).Error(err, "Admission review was not answered", "phase", phase,
		"policy", cutName(policy), "code", code, "requestUID", uid)
	http.Error(w, err.Error(), code)
}

// cutName cuts a name to the longest that a policy can have, because anyone can choose the path
// that contains it.
func cutName(name string) string { return name[:min(len(name), 253)] }

// answer returns the review that answers a request. It also returns the UID of the request as soon
// as it is known, even with an error.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, phase,
	policy string) (answer []byte, uid types.UID, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, fmt.Errorf("panic while an admission review was answered: %v", p)
			klog.FromContext(r.Context()).Error(err, "Panic", "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel, err := withTimeout(r)
	if err != nil {
		return nil, "", err
	}
	defer cancel()
	body, done, err := h.read(ctx, w, r)
	if err != nil {
		return nil, "", err
	}
	defer done()
	// Reviews wait here instead of failing, because a large one should not make others fail. Their
	// bodies are in memory already.
	parts := min(int64(jsonparts.UpperBound(body)), maxParts)
	if err := h.parts.Acquire(ctx, parts); err != nil {
		return nil, "", &failure{
			http.StatusGatewayTimeout,
			fmt.Errorf("the admission reviews in progress have %d values, and left none in time: %w",
				maxParts, err),
		}
	}
	defer h.parts.Release(parts)
	request, err := Decode(body)
	if err != nil {
		return nil, "", &failure{http.StatusBadRequest, err}
	}
	uid = request.UID
	response, err := review(ctx, h.options.Dispatcher, phase, policy, request)
	switch {
	case errors.Is(err, dispatch.ErrNoSuchPolicy):
		return nil, uid, &failure{
			http.StatusNotFound,
			fmt.Errorf("no policy of this name is served here at /%s: %.253q", phase, policy),
		}
	case ctx.Err() != nil:
		return nil, uid, &failure{
			http.StatusGatewayTimeout,
			fmt.Errorf("the request was not evaluated in time: %w", context.Cause(ctx)),
		}
	case err != nil:
		return nil, uid, err
	}
	answer, err = json.Marshal(&admissionv1.AdmissionReview{TypeMeta: typeMeta, Response: response})
	return answer, uid, err
}

// read reads the body of a request if there is room for it. Done frees the room and the memory
// of the body.
func (h *Handler) read(ctx context.Context, w http.ResponseWriter,
	r *http.Request) (data []byte, done func(), err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/json" {
		return nil, nil, &failure{
			http.StatusUnsupportedMediaType,
			errors.New("the content type has to be application/json"),
		}
	}
	if r.ContentLength > h.options.MaxBodyBytes {
		return nil, nil, h.tooLarge()
	}
	// Without room, a request does not wait: a request that waits takes room too.
	if !h.requests.TryAcquire(1) {
		return nil, nil, &failure{
			http.StatusTooManyRequests,
			fmt.Errorf(
				"%d admission reviews are in progress: run more replicas, or allow more with --max-requests",
				h.options.MaxRequests),
		}
	}
	buffer, _ := buffers.Get().(*[]byte)
	b := &body{
		from:  r.Body,
		into:  *buffer,
		size:  r.ContentLength,
		limit: h.options.MaxBodyBytes,
		room:  h.bytes,
	}
	done = func() {
		if cap(b.into) <= maxKeptBytes {
			*buffer = b.into
		}
		buffers.Put(buffer)
		b.release()
		h.requests.Release(1)
	}
	data, err = b.readBy(ctx, http.NewResponseController(w))
	switch {
	case errors.Is(err, errNoRoom):
		err = &failure{
			http.StatusTooManyRequests,
			fmt.Errorf(
				"the admission reviews in progress have %d bytes: run more replicas, or allow more with --max-bytes",
				h.options.MaxBytes),
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &failure{
			http.StatusRequestTimeout,
			fmt.Errorf("the admission review did not arrive in time: %w", err),
		}
	case err != nil:
		err = &failure{http.StatusBadRequest, fmt.Errorf("reading the admission review: %w", err)}
	case int64(len(data)) > h.options.MaxBodyBytes:
		err = h.tooLarge()
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return data, done, nil
}

func (h *Handler) tooLarge() error {
	return &failure{
		http.StatusRequestEntityTooLarge,
		fmt.Errorf("the admission review has more than %d bytes: allow more with --max-body-bytes",
			h.options.MaxBodyBytes),
	}
}

// buffers keeps the buffers of answered requests for the next bodies, except those that are larger
// than most bodies.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxKeptBytes = 64 << 10

// withTimeout bounds a request by the time that the apiserver says it waits. That time is in whole
// seconds, rounded up, so an answer at its very end may come too late. An answer by the policy's
// own failure policy is better than none, so a tenth of the time is kept in reserve.
func withTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	timeout := maxTimeout
	if text := r.URL.Query().Get("timeout"); text != "" {
		asked, err := time.ParseDuration(text)
		if err != nil || asked <= 0 {
			return nil, nil, &failure{
				http.StatusBadRequest,
				fmt.Errorf("timeout in the URL: %.40q is not a positive duration, such as 10s", text),
			}
		}
		timeout = min(asked, maxTimeout)
	}
	timeout -= timeout / 10
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}
