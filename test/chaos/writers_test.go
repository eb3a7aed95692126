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

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// answerTimeout is how long a writer waits for an answer, and pace how long it waits
	// between two writes: the server is to be busy, not to starve.
	answerTimeout = 5 * time.Second
	pace          = 5 * time.Millisecond
	// backoff is how long it waits when there is nobody to answer.
	backoff = 50 * time.Millisecond
)

// hammer makes violating writes. It finds the server by its kubeconfig, which is there
// before the server listens: so it writes from the first request that can be answered.
type hammer struct {
	kubeconfig string

	attempts   atomic.Int64
	denied     atomic.Int64 // by the policy that is there for it
	refused    atomic.Int64 // by the server, for another reason
	unanswered atomic.Int64 // nobody there, cut off, or no answer in time
	admitted   atomic.Int64

	mu      sync.Mutex
	current []byte // the kubeconfig that client was made from
	client  kubernetes.Interface
}

// String says what became of the writes.
func (h *hammer) String() string {
	return fmt.Sprintf("%d attempts: %d denied by policy, %d refused otherwise, %d without answer, %d admitted",
		h.attempts.Load(), h.denied.Load(), h.refused.Load(), h.unanswered.Load(), h.admitted.Load())
}

// answered is how many attempts reached a server.
func (h *hammer) answered() int64 { return h.denied.Load() + h.refused.Load() + h.admitted.Load() }

// waitFor returns once so many attempts were answered.
func (h *hammer) waitFor(count int64) {
	for deadline := time.Now().Add(patience); h.answered() < count && time.Now().Before(deadline); {
		time.Sleep(backoff)
	}
}

// run writes until stop is closed. Writers differ in what they begin with.
func (h *hammer) run(first int, stop <-chan struct{}) {
	for n := first; ; n++ {
		wait := pace
		if !h.attempt(&violations[n%len(violations)]) {
			wait = backoff
		}
		select {
		case <-stop:
			return
		case <-time.After(wait):
		}
	}
}

// attempt makes one write, and says whether it was answered.
func (h *hammer) attempt(v *violation) (answered bool) {
	client, err := h.clientset()
	if err != nil {
		return false // no server was started yet
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	h.attempts.Add(1)
	err = v.write(ctx, client)
	status := apierrors.APIStatus(nil)
	switch {
	case err == nil:
		h.admitted.Add(1)
		fmt.Fprintf(os.Stderr, "%s ADMITTED: %s\n", time.Now().Format(time.TimeOnly), v.name)
	case strings.Contains(err.Error(), fmt.Sprintf("WasmAdmission policy %q denied the request", v.policy)):
		h.denied.Add(1)
	case errors.As(err, &status):
		h.refused.Add(1)
	default:
		h.unanswered.Add(1)
		return false
	}
	return true
}

// clientset returns a client of the server that was started last.
func (h *hammer) clientset() (kubernetes.Interface, error) {
	raw, err := os.ReadFile(h.kubeconfig)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if bytes.Equal(raw, h.current) {
		return h.client, nil
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(raw)
	if err != nil {
		return nil, err // it is being written
	}
	config.QPS = -1
	config.Timeout = answerTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	h.current, h.client = raw, client
	return client, nil
}
