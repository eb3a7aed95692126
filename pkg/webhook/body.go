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
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxBodyTime is how long reading a body may take. An apiserver sends it at once. A slower
	// client would keep others from being answered.
	maxBodyTime = 5 * time.Second
	// firstBytes is how much room a body takes before any of it has arrived.
	firstBytes = 64 << 10
)

// errNoRoom means that other bodies take up all the room.
var errNoRoom = errors.New("no room for the body")

// body is the body of a request. It takes room for twice what has arrived, whatever size the
// request announces, so a client that announces much and sends little holds little.
type body struct {
	from io.Reader
	// into is a buffer to read into, and afterward the buffer that was used.
	into []byte
	// size is the announced size, or -1 if there is none.
	size  int64
	limit int64
	room  *semaphore.Weighted
	// held is how much room the body holds.
	held int64
}

// readBy reads the body in the time that the request has. It reads at most one byte more than the
// limit.
func (b *body) readBy(ctx context.Context, controller *http.ResponseController) ([]byte, error) {
	deadline := time.Now().Add(maxBodyTime)
	if ends, bounded := ctx.Deadline(); bounded && ends.Before(deadline) {
		deadline = ends
	}
	// Only test writers have no deadlines.
	_ = controller.SetReadDeadline(deadline)
	data, err := b.read()
	if err == nil {
		// From now on the server only waits for the connection to end. After an error the
		// deadline stays, because the server reads the rest of the body.
		_ = controller.SetReadDeadline(time.Time{})
	}
	return data, err
}

func (b *body) read() ([]byte, error) {
	most := b.size
	if most < 0 {
		most = b.limit + 1
	}
	data := b.into[:0:min(int64(cap(b.into)), most)]
	if !b.take(min(int64(cap(data)), b.limit)) {
		return nil, errNoRoom
	}
	for int64(len(data)) < most {
		if len(data) == cap(data) {
			next := min(most, max(firstBytes, 2*int64(cap(data))))
			if !b.take(min(next, b.limit)) {
				return nil, errNoRoom
			}
			data = append(make([]byte, 0, next), data...)
			b.into = data
		}
		n, err := b.from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF) && b.size >= 0 && int64(len(data)) < b.size:
			return nil, io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		}
	}
	return data, nil
}

// take takes more room until the body holds this much. It returns false if there is none.
func (b *body) take(all int64) bool {
	if !b.room.TryAcquire(all - b.held) {
		return false
	}
	b.held = all
	return true
}

// release frees the room.
func (b *body) release() {
	b.room.Release(b.held)
	b.held = 0
}
