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

package images

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// Bounds of one lookup.
const (
	// maxRequests bounds the number of requests, including redirects and token requests. Signatures
	// take up to several hundred.
	maxRequests = 512
	// maxBytes bounds the total size of the responses.
	maxBytes = 64 << 20
)

// fence lets requests pass only to listed hosts, and only as many as a lookup may make. It
// implements http.RoundTripper.
type fence struct {
	named hostPatterns
	next  http.RoundTripper
}

// budget is the remainder of a lookup's bounds.
type budget struct{ requests, bytes atomic.Int64 }

type budgetKey struct{}

// withBudget gives a lookup its budget.
func withBudget(ctx context.Context, requests, bytes int64) context.Context {
	b := &budget{}
	b.requests.Store(requests)
	b.bytes.Store(bytes)
	return context.WithValue(ctx, budgetKey{}, b)
}

// RoundTrip implements http.RoundTripper.
func (f *fence) RoundTrip(request *http.Request) (*http.Response, error) {
	b, _ := request.Context().Value(budgetKey{}).(*budget)
	if err := f.check(request, b); err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	response, err := f.next.RoundTrip(request)
	if err == nil {
		response.Body = &boundedBody{response.Body, b}
	}
	return response, err
}

func (f *fence) check(request *http.Request, b *budget) error {
	switch {
	case !f.named.match(request.URL.Scheme, request.URL.Host):
		return forbid(
			"the registry leads to host %.200q, for content or for a token, and that host is not listed: "+
				"to allow it, add it to capabilities.oci.redirects", request.URL.Host)
	case b == nil || b.requests.Add(-1) < 0:
		return fmt.Errorf("the lookup takes more than %d requests", maxRequests)
	}
	return nil
}

// boundedBody counts the bytes read from a response.
type boundedBody struct {
	io.ReadCloser
	budget *budget
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.budget.bytes.Add(-int64(n)) < 0 {
		return 0, fmt.Errorf("the lookup takes more than %d bytes", maxBytes)
	}
	return n, err
}
