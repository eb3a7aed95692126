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

package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/webhook"
)

// stalled is a body that does not end until it is told to.
type stalled struct {
	begun chan struct{}
	end   chan struct{}
	once  sync.Once
}

func (s *stalled) Read([]byte) (int, error) {
	s.once.Do(func() { close(s.begun) })
	<-s.end
	return 0, io.ErrUnexpectedEOF
}

func TestWhatIsUnderWayIsBounded(t *testing.T) {
	for name, options := range map[string]webhook.Options{
		"requests": {MaxRequests: 1},
		"bytes":    {MaxBodyBytes: 2 << 10, MaxBytes: 3 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(t, options, answering("p", `{"accepted":true}`))
			s := &stalled{begun: make(chan struct{}), end: make(chan struct{})}
			var first sync.WaitGroup
			first.Go(func() {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/validate/p", s)
				r.ContentLength = 2 << 10
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusBadRequest {
					t.Errorf("code %d: %s", w.Code, w.Body)
				}
			})
			<-s.begun
			large := body(t, request(t, "{}"))
			large += strings.Repeat(" ", 2<<10-len(large))
			w := post(t, h, "/validate/p", large)
			require.Equal(t, http.StatusTooManyRequests, w.Code, w.Body.String())
			close(s.end)
			first.Wait()
			w = post(t, h, "/validate/p", large)
			require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		})
	}
}
