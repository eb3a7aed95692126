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
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/webhook"
)

// stalled is a body that blocks until end is closed.
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
		// the first holds room for one byte at least,
		"bytes": {MaxBodyBytes: 2 << 10, MaxBytes: 2 << 10},
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

// slowClient returns a server of a handler and a client of it, with HTTP/1.1 or HTTP/2.
func slowClient(t *testing.T, h http.Handler, http2 bool) (url string, client *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, server.Client()
}

// A slow client gets no more time than others, and holds no room for longer.
func TestSlowBodiesAreGivenUp(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, size := range []int64{-1, 1 << 10} {
			t.Run(fmt.Sprintf("HTTP/2 %t, size %d", http2, size), func(t *testing.T) {
				url, client := slowClient(t,
					newHandler(t, webhook.Options{MaxRequests: 1},
						answering("p", `{"accepted":true}`)), http2)
				never, end := io.Pipe()
				t.Cleanup(func() { require.NoError(t, end.Close()) })
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
					url+"/validate/p?timeout=50ms", never)
				require.NoError(t, err)
				r.ContentLength = size
				r.Header.Set("Content-Type", "application/json")
				response, err := client.Do(r)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, http.StatusRequestTimeout, response.StatusCode)

				r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/validate/p",
					strings.NewReader(body(t, request(t, "{}"))))
				require.NoError(t, err)
				r.Header.Set("Content-Type", "application/json")
				response, err = client.Do(r)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, http.StatusOK, response.StatusCode)
			})
		}
	}
}

// A client that only announces a large body leaves room for others.
func TestRoomIsTakenForWhatHasCome(t *testing.T) {
	h := newHandler(t, webhook.Options{MaxBodyBytes: 1 << 20, MaxBytes: 1 << 20},
		answering("p", `{"accepted":true}`))
	for _, size := range []int64{-1, 1 << 20} {
		s := &stalled{begun: make(chan struct{}), end: make(chan struct{})}
		var first sync.WaitGroup
		first.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/validate/p", s)
			r.ContentLength = size
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(httptest.NewRecorder(), r)
		})
		<-s.begun
		w := post(t, h, "/validate/p", body(t, request(t, "{}")))
		close(s.end)
		first.Wait()
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	}
	// All room is free again.
	large := body(t, request(t, "{}"))
	large += strings.Repeat(" ", 1<<20-len(large))
	require.Equal(t, http.StatusOK, post(t, h, "/validate/p", large).Code)
	require.Equal(t, http.StatusRequestEntityTooLarge, post(t, h, "/validate/p", large+" ").Code)
}

// Errors may quote the request.
func TestErrorsAreBounded(t *testing.T) {
	h := newHandler(t, webhook.Options{}, answering("p", `{"accepted":true}`, objects("b")))
	w := post(t, h, "/validate/p",
		strings.Replace(body(t, request(t, "{}")), `"n":"1"`,
			`"n":`+strings.Repeat("9", 64<<10), 1))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "decoding the admission review")
	require.Less(t, w.Body.Len(), 2<<10)
}

// The memory of a decoded review depends on the number of its values.
func TestValuesUnderWayAreBounded(t *testing.T) {
	h := newHandler(t, webhook.Options{}, answering("p", `{"accepted":true}`))
	small := body(t, request(t, "{}"))
	dense := strings.Replace(small, `"n":"1"`, `"n":[`+strings.Repeat("{},", 1000)+`{}]`, 1)
	release := h.HoldParts(1000)
	require.Equal(t, http.StatusOK, post(t, h, "/validate/p", small).Code)
	require.Equal(t, http.StatusGatewayTimeout, post(t, h, "/validate/p?timeout=50ms", dense).Code)
	release()
	require.Equal(t, http.StatusOK, post(t, h, "/validate/p", dense).Code)
	// A review with more values than the bound runs alone.
	alone := strings.Replace(small, `"n":"1"`, `"n":"`+strings.Repeat(",", 5<<20)+`"`, 1)
	require.NotEqual(t, http.StatusGatewayTimeout, post(t, h, "/validate/p", alone).Code)
	h.HoldParts(0)()
}
