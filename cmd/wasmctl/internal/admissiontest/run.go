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

// Shell evaluates policies. It may be a command, a server or a library. Implementations are safe
// for concurrent use.
type Shell interface {
	// Review evaluates the request of a case with the case's policy. It returns the request and its
	// response, or nil for both if the case has no request. If the policy refuses its settings, the
	// error is a [*SettingsError]. Any other error means that the case could not be run.
	Review(ctx context.Context, c *Case) (*review.Request, *review.Response, error)
}

// SettingsError says why a policy refuses its settings.
type SettingsError struct{ Message string }

// Error implements the error interface.
func (e *SettingsError) Error() string { return "the policy refuses its settings: " + e.Message }

// Result is the result of a case.
type Result struct {
	// File is the path of the case's file.
	File string
	Case *Case
	// Failures lists the deviations from the expected result, each with one or more lines.
	Failures []string
	// Err says why the case could not be run.
	Err error
	// Duration is how long the case took.
	Duration time.Duration
}

// Passed reports whether the case ran with the expected result.
func (r *Result) Passed() bool { return r.Err == nil && len(r.Failures) == 0 }

// Run runs all cases and returns their results in order. It runs as many cases at a time as there
// are processors. After ctx ends, it starts no further cases.
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
	_ = group.Wait() // the functions return no errors
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
