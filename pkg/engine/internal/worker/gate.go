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

package worker

import "context"

// Gate admits a limited number of callers at a time, or one caller alone. It is safe for concurrent
// use.
type Gate struct {
	slots chan struct{}
	alone chan struct{}
}

// NewGate returns a gate that admits n callers at a time.
func NewGate(n int) *Gate {
	return &Gate{slots: make(chan struct{}, n), alone: make(chan struct{}, 1)}
}

// Size returns how many callers the gate admits at a time.
func (g *Gate) Size() int { return cap(g.slots) }

// Enter waits until the gate admits the caller, or until the context ends; the error is then the
// context's cause. The caller must call leave afterwards.
func (g *Gate) Enter(ctx context.Context, alone bool) (leave func(), err error) {
	if !alone {
		if err := take(ctx, g.slots); err != nil {
			return nil, err
		}
		return func() { <-g.slots }, nil
	}
	// Take all slots one caller at a time: two callers that each hold some would deadlock.
	if err := take(ctx, g.alone); err != nil {
		return nil, err
	}
	taken := 0
	leave = func() {
		for range taken {
			<-g.slots
		}
		<-g.alone
	}
	for range cap(g.slots) {
		if err := take(ctx, g.slots); err != nil {
			leave()
			return nil, err
		}
		taken++
	}
	return leave, nil
}

func take(ctx context.Context, slots chan<- struct{}) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
