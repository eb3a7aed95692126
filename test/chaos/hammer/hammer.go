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

package hammer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
)

const (
	// AnswerTimeout is the time that a writer waits for a response.
	AnswerTimeout = 5 * time.Second
	// backoff is the time that a writer waits if it cannot reach a server.
	backoff = 50 * time.Millisecond
)

// Hammer sends violating writes. Its methods are safe for concurrent use. Set the fields before you
// call a method.
type Hammer struct {
	// Client returns a client for the server that a writer writes to, or an error while there is no
	// server.
	Client func(writer int) (dynamic.Interface, error)
	// Pace is the time that a writer waits between two writes, to keep servers busy without
	// starving them.
	Pace time.Duration
	// AllowedEvery makes every nth write one that the policies allow. 0 means none.
	AllowedEvery int

	attempts   atomic.Int64
	denied     atomic.Int64 // by the responsible policy
	refused    atomic.Int64 // by the server, for another reason
	unanswered atomic.Int64 // no server, no connection, or no response in time
	admitted   atomic.Int64
	allowed    atomic.Int64
}

// String returns the outcomes of the writes.
func (h *Hammer) String() string {
	return fmt.Sprintf(
		"%d attempts: %d denied by policy, %d refused otherwise, %d without answer, %d admitted; %d allowed writes",
		h.attempts.Load(), h.denied.Load(), h.refused.Load(), h.unanswered.Load(),
		h.admitted.Load(), h.allowed.Load())
}

// Attempts returns the number of violating writes.
func (h *Hammer) Attempts() int64 { return h.attempts.Load() }

// Answered returns the number of violating writes that got a response.
func (h *Hammer) Answered() int64 { return h.denied.Load() + h.refused.Load() + h.admitted.Load() }

// Denied returns the number of violating writes that the responsible policy denied.
func (h *Hammer) Denied() int64 { return h.denied.Load() }

// Unanswered returns the number of violating writes without a response.
func (h *Hammer) Unanswered() int64 { return h.unanswered.Load() }

// Admitted returns the number of violating writes with a positive response.
func (h *Hammer) Admitted() int64 { return h.admitted.Load() }

// Allowed returns the number of complying writes that were admitted.
func (h *Hammer) Allowed() int64 { return h.allowed.Load() }

// Start starts writers, which write until stop is called. stop returns once all writers have ended.
func (h *Hammer) Start(writers int) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() { h.run(n, done) })
	}
	return sync.OnceFunc(func() {
		close(done)
		group.Wait()
	})
}

// WaitFor returns once count attempts were answered, or Patience is over.
func (h *Hammer) WaitFor(count int64) {
	for deadline := time.Now().Add(Patience); h.Answered() < count && time.Now().Before(deadline); {
		time.Sleep(backoff)
	}
}

// run writes until stop is closed. Each writer starts with a different violation.
func (h *Hammer) run(writer int, stop <-chan struct{}) {
	allowed := Complying()
	for n := writer; ; n++ {
		wait := h.Pace
		client, err := h.Client(writer)
		switch {
		case err != nil:
			wait = backoff
		case h.AllowedEvery != 0 && n%h.AllowedEvery == 0:
			h.allow(client, allowed[n/h.AllowedEvery%len(allowed)])
		case !h.attempt(client, &Violations[n%len(Violations)]):
			wait = backoff
		}
		select {
		case <-stop:
			return
		case <-time.After(wait):
		}
	}
}

// allow sends one write that the policies allow.
func (h *Hammer) allow(client dynamic.Interface, o Object) {
	ctx, cancel := context.WithTimeout(context.Background(), AnswerTimeout)
	defer cancel()
	if Comply(ctx, client, o) == nil {
		h.allowed.Add(1)
	}
}

// attempt sends one violating write, and reports whether it was answered.
func (h *Hammer) attempt(client dynamic.Interface, v *Violation) (answered bool) {
	ctx, cancel := context.WithTimeout(context.Background(), AnswerTimeout)
	defer cancel()
	h.attempts.Add(1)
	err := v.Write(ctx, client)
	status := apierrors.APIStatus(nil)
	switch {
	case err == nil:
		h.admitted.Add(1)
		fmt.Fprintf(os.Stderr, "%s ADMITTED: %s\n", time.Now().Format(time.TimeOnly), v.Name)
	case DeniedBy(err, v.Policy):
		h.denied.Add(1)
	case errors.As(err, &status):
		h.refused.Add(1)
	default:
		h.unanswered.Add(1)
		return false
	}
	return true
}

// DeniedBy reports whether an error is a denial by a policy whose name has the prefix. The policy
// may come from a manifest.
func DeniedBy(err error, policy string) bool {
	if err == nil {
		return false
	}
	_, verdict, found := strings.Cut(err.Error(), "WasmAdmission policy \"")
	name, verdict, _ := strings.Cut(verdict, "\" ")
	return found && strings.HasPrefix(strings.TrimPrefix(name, "clusterwide-"), policy) &&
		strings.HasPrefix(verdict, "denied the request")
}
