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
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// Conclusion holds the results of a run, and the minimums that it must reach.
type Conclusion struct {
	// Prefix is the prefix of the names of the figures about writes.
	Prefix string
	// UnenforcedFigure and SurvivedFigure are the names of the figures for Unenforced and Survived.
	UnenforcedFigure, SurvivedFigure string
	// Unenforced is the number of violating writes that were admitted, and Survived is the number
	// of faults that did no harm.
	Unenforced, Survived int
	// LeastAnswered is the number of violating writes that must be answered, and LeastSurvived the
	// number of faults that must be survived, for the run to be meaningful.
	LeastAnswered, LeastSurvived int
}

// Conclude prints the figures of a run, and fails the test if a violating write was admitted or a
// minimum was not reached.
func (h *Hammer) Conclude(t *testing.T, c Conclusion) {
	t.Helper()
	figure.Print(c.Prefix+"writes_attempted", float64(h.Attempts()), "writes")
	figure.Print(c.Prefix+"writes_answered", float64(h.Answered()), "writes")
	figure.Print(c.Prefix+"writes_denied", float64(h.Denied()), "writes")
	if h.AllowedEvery != 0 {
		figure.Print(c.Prefix+"allowed_writes_admitted", float64(h.Allowed()), "writes")
	}
	figure.Print(c.UnenforcedFigure, float64(c.Unenforced), "writes")
	figure.Print(c.SurvivedFigure, float64(c.Survived), "faults")
	assert.Zero(t, c.Unenforced)
	assert.GreaterOrEqual(t, h.Answered(), int64(c.LeastAnswered))
	assert.GreaterOrEqual(t, c.Survived, c.LeastSurvived)
}
