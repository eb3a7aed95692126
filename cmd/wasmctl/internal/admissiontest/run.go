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

package admissiontest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
)

// Shell is something that evaluates policies: a command, a server, a library.
// Implementations are safe for concurrent use.
type Shell interface {
	// Review has the case's policy answer the case's request, and returns the response
	// with the request that it is to. Both are nil for a case without a request. A
	// policy that refuses its settings is a [*SettingsError]; any other error says that
	// the case could not be run.
	Review(ctx context.Context, c *Case) (*review.Request, *review.Response, error)
}

// SettingsError says why a policy refuses its settings.
type SettingsError struct{ Message string }

// Error implements the error interface.
func (e *SettingsError) Error() string { return "the policy refuses its settings: " + e.Message }

// Result is what came of a case.
type Result struct {
	// File is the path of the case's file.
	File string
	Case *Case
	// Failures are what is not as expected, one line or more each; none if all is.
	Failures []string
	// Err says why the case could not be run.
	Err error
	// Duration is how long it took.
	Duration time.Duration
}

// Passed is whether all is as expected.
func (r *Result) Passed() bool { return r.Err == nil && len(r.Failures) == 0 }

// Run runs all cases, as many at a time as there are processors, and returns their
// results in order. Cases that have not begun when ctx ends are not run.
func Run(ctx context.Context, shell Shell, files []*File) []Result {
	var results []Result
	for _, file := range files {
		for n := range file.Cases {
			results = append(results, Result{File: file.Path, Case: &file.Cases[n]})
		}
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for n := range results {
		group.Go(func() error {
			results[n].run(ctx, shell)
			return nil
		})
	}
	_ = group.Wait() // the functions return none
	return results
}

func (r *Result) run(ctx context.Context, shell Shell) {
	if r.Err = ctx.Err(); r.Err != nil {
		return
	}
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			r.Err = fmt.Errorf("panic while the case was run: %v", p)
		}
		r.Duration = time.Since(began)
	}()
	request, response, err := shell.Review(ctx, r.Case)
	var refused *SettingsError
	if err != nil && !errors.As(err, &refused) {
		r.Err = err
		return
	}
	c := &comparison{expect: &r.Case.Expect}
	if c.settings(refused) && response != nil {
		c.response(request, response)
	}
	r.Failures = c.failures
}
