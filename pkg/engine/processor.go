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

package engine

import (
	"errors"
	"runtime"

	"github.com/tetratelabs/wazero/api"
)

// faults are the faults of wazero 1.12 on a processor that the engine works around.
type faults struct {
	// miscompiles is set if the compiler generates wrong code for some instructions: see package
	// rewrite.
	miscompiles bool
	// goroutines is set if a stack copied on one goroutine must not continue on another, because
	// the saved state contains a processor register that belongs to the goroutine.
	goroutines bool
}

// faultsOf returns the faults of an architecture. Empty means this processor's.
func faultsOf(architecture string) faults {
	if architecture == "" {
		architecture = runtime.GOARCH
	}
	arm64 := architecture == "arm64"
	return faults{miscompiles: arm64, goroutines: arm64}
}

// lane is a goroutine on which an instance runs, whichever goroutine its evaluations use.
type lane struct {
	calls chan api.Function
	ended chan error
}

// errLaneEnded means that a host function ended the goroutine on which it ran.
var errLaneEnded = errors.New("a host function ended its goroutine")

// newLane starts the goroutine, which runs until the lane is closed.
func newLane(i *Instance) *lane {
	l := &lane{calls: make(chan api.Function), ended: make(chan error)}
	go func() {
		defer close(l.ended)
		for f := range l.calls {
			l.ended <- i.runHere(f)
		}
	}()
	return l
}

// run runs a function on the lane and waits for its end.
func (l *lane) run(i *Instance, f api.Function) error {
	l.calls <- f
	err, there := <-l.ended
	if !there {
		i.lane, i.parked, i.unusable = newLane(i), parked{}, true
		return errLaneEnded
	}
	return err
}

func (l *lane) close() {
	if l != nil {
		close(l.calls)
	}
}
