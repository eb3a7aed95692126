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

package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// budget is the time that all policies together may take for a request in one phase.
type budget struct {
	limit    time.Duration // 0 means no limit
	deadline time.Time
}

// startBudget returns a context that ends when the budget is used up.
func startBudget(ctx context.Context,
	limit time.Duration) (context.Context, context.CancelFunc, budget) {
	if limit <= 0 {
		return ctx, func() {}, budget{}
	}
	b := budget{limit: limit, deadline: time.Now().Add(limit)}
	ctx, cancel := context.WithDeadline(ctx, b.deadline)
	return ctx, cancel, b
}

// blame returns the error of an evaluation. It names the limit if the budget ended the evaluation.
func (b budget) blame(err error) error {
	if b.limit == 0 || engine.CauseOf(err) != engine.CauseDeadline ||
		time.Now().Before(b.deadline) {
		return err
	}
	return &budgetError{limit: b.limit, err: err}
}

// budgetError is the error of an evaluation that ended because all policies together took too long.
type budgetError struct {
	limit time.Duration
	err   error
}

// Error implements the error interface.
func (e *budgetError) Error() string {
	return fmt.Sprintf(
		"all policies together took longer than limits.requestTimeout allows for a request, %s: %v",
		e.limit, e.err)
}

// Unwrap returns the wrapped error.
func (e *budgetError) Unwrap() error { return e.err }
