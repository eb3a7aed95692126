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
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is the time limit for every wait. It is generous, because it only has to fail tests in
// which an event never happens.
const Patience = 2 * time.Minute

// Eventually waits until check returns nil.
func Eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(backoff) {
		if err = check(); err == nil {
			return
		}
	}
	require.NoError(t, err, "%s: not within %s", what, Patience)
}

// Fault is a fault in a cluster.
type Fault[C any] struct {
	// Name describes the fault.
	Name string
	// Run injects the fault, checks that the cluster handles and reports it correctly, and leaves a
	// running cluster.
	Run func(*testing.T, C)
}

// Survive injects faults one after another until one does harm, and calls after behind each. It
// returns the number of faults that neither failed nor were skipped.
func Survive[C any](t *testing.T, cluster C, h *Hammer, faults []Fault[C],
	after func(*testing.T)) (survived int) {
	t.Helper()
	for _, f := range faults {
		before, began := h.Attempts(), time.Now()
		passed := t.Run(f.Name, func(t *testing.T) {
			t.Logf("%s begins", began.Format(time.TimeOnly))
			f.Run(t, cluster)
			after(t)
			survived++
		})
		t.Logf("%s %s: %s, %d violating writes; in all %s", time.Now().Format(time.TimeOnly),
			f.Name, time.Since(began).Round(time.Second), h.Attempts()-before, h)
		if !passed {
			break // the cluster is broken, so further results would mean nothing
		}
	}
	return survived
}

// RequireDenials waits until enough violating writes were denied by the policies responsible for
// them.
func (h *Hammer) RequireDenials(t *testing.T) {
	t.Helper()
	before := h.Denied()
	Eventually(t, "policies deny violating writes", func() error {
		if more := h.Denied() - before; more < 100 {
			return fmt.Errorf("%d more denials; %s", more, h)
		}
		return nil
	})
}
