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
	// AnswerTimeout is how long a writer waits for an answer.
	AnswerTimeout = 5 * time.Second
	// backoff is how long it waits when there is nobody to answer.
	backoff = 50 * time.Millisecond
)

// Hammer makes violating writes. Its methods are safe for concurrent use; its fields are
// set before the first is called.
type Hammer struct {
	// Client returns a client of the server that a writer writes to, or an error as long as
	// there is none.
	Client func(writer int) (dynamic.Interface, error)
	// Pace is how long a writer waits between two writes: servers are to be busy, not to
	// starve.
	Pace time.Duration
	// AllowedEvery has one of so many writes be one that the policies allow, if not 0.
	AllowedEvery int

	attempts   atomic.Int64
	denied     atomic.Int64 // by the policy that is there for it
	refused    atomic.Int64 // by the server, for another reason
	unanswered atomic.Int64 // nobody there, cut off, or no answer in time
	admitted   atomic.Int64
	allowed    atomic.Int64
}

// String says what became of the writes.
func (h *Hammer) String() string {
	return fmt.Sprintf(
		"%d attempts: %d denied by policy, %d refused otherwise, %d without answer, %d admitted; %d allowed writes",
		h.attempts.Load(), h.denied.Load(), h.refused.Load(), h.unanswered.Load(),
		h.admitted.Load(), h.allowed.Load())
}

// Attempts is how many violating writes were made.
func (h *Hammer) Attempts() int64 { return h.attempts.Load() }

// Answered is how many of them reached a server.
func (h *Hammer) Answered() int64 { return h.denied.Load() + h.refused.Load() + h.admitted.Load() }

// Denied is how many were denied by the policy that is there for it.
func (h *Hammer) Denied() int64 { return h.denied.Load() }

// Unanswered is how many nobody answered.
func (h *Hammer) Unanswered() int64 { return h.unanswered.Load() }

// Admitted is how many were answered as if they had been stored.
func (h *Hammer) Admitted() int64 { return h.admitted.Load() }

// Allowed is how many writes that policies allow were admitted.
func (h *Hammer) Allowed() int64 { return h.allowed.Load() }

// Start has so many writers write until stop is called, which returns once all have ended.
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

// WaitFor returns once so many attempts were answered, or Patience is over.
func (h *Hammer) WaitFor(count int64) {
	for deadline := time.Now().Add(Patience); h.Answered() < count && time.Now().Before(deadline); {
		time.Sleep(backoff)
	}
}

// run writes until stop is closed. Writers differ in what they begin with.
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

// allow makes one write that the policies allow.
func (h *Hammer) allow(client dynamic.Interface, o Object) {
	ctx, cancel := context.WithTimeout(context.Background(), AnswerTimeout)
	defer cancel()
	if Comply(ctx, client, o) == nil {
		h.allowed.Add(1)
	}
}

// attempt makes one write, and says whether it was answered.
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

// DeniedBy is whether an error is the verdict of a policy whose name begins so, from a
// manifest or not.
func DeniedBy(err error, policy string) bool {
	if err == nil {
		return false
	}
	_, verdict, found := strings.Cut(err.Error(), "WasmAdmission policy \"")
	name, verdict, _ := strings.Cut(verdict, "\" ")
	return found && strings.HasPrefix(strings.TrimPrefix(name, "clusterwide-"), policy) &&
		strings.HasPrefix(verdict, "denied the request")
}
