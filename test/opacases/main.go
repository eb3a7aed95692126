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

// Command opacases compiles the Open Policy Agent's test cases to WebAssembly, runs them on this
// repository's implementation of its ABI, and counts how many pass. It skips cases that the agent's
// own runtime fails, and cases that need a withheld function. exceptions.yaml lists them with the
// reasons.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	oparego "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/test/cases"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

//go:embed exceptions.yaml
var exceptionsText []byte

// exceptions are the reasons for skipping cases, keyed by note or by missing function.
type exceptions struct {
	Notes     map[string]string `json:"notes"`
	Functions map[string]string `json:"functions"`
}

// errSkipped means that a case was not run.
var errSkipped = errors.New("skipped")

func main() {
	directory := flag.String("cases", "",
		"directory with the cases: v1/test/cases/testdata of the Open Policy Agent")
	filter := flag.String("filter", "", "only run cases whose note starts with this")
	flag.Parse()
	r, err := run(*directory, *filter, 1)
	fmt.Printf(
		"figure opa_cases_passed %d count\nfigure opa_cases_failed %d count\nfigure opa_cases_skipped %d count\n",
		r.passed, len(r.failures), r.skipped)
	for _, failure := range r.failures {
		fmt.Println("FAIL", failure)
	}
	if err != nil || len(r.failures) > 0 {
		fmt.Fprintln(os.Stderr, "opacases: failed", err)
		os.Exit(1)
	}
}

// results are the results of the cases.
type results struct {
	passed, skipped int
	failures        []string
}

// versions are the language versions, keyed by the directory of their cases.
var versions = map[string]ast.RegoVersion{"v0": ast.RegoV0, "v1": ast.RegoV1}

// run runs every each-th case whose note starts with the filter.
func run(directory, filter string, each int) (r results, err error) {
	skip, err := readExceptions()
	if err != nil {
		return r, err
	}
	e, err := engine.New(engine.Options{Interpreter: true}) // each module runs once
	if err != nil {
		return r, err
	}
	for name, version := range versions {
		set, err := cases.Load(filepath.Join(directory, name))
		if err != nil {
			return r, err
		}
		for n, c := range set.Sorted().Cases {
			if n%each != 0 || !strings.HasPrefix(c.Note, filter) {
				continue
			}
			switch err := runCase(e, skip, &c, version); {
			case errors.Is(err, errSkipped):
				r.skipped++
			case err != nil:
				r.failures = append(r.failures, fmt.Sprintf("%s %s: %.300s", name, c.Note, err))
			default:
				r.passed++
			}
		}
	}
	return r, e.Close()
}

func readExceptions() (*exceptions, error) {
	skip := &exceptions{}
	return skip, yaml.UnmarshalStrict(exceptionsText, skip)
}

func runCase(e *engine.Engine, skip *exceptions, c *cases.TestCase, version ast.RegoVersion) error {
	if skip.Notes[c.Note] != "" {
		return errSkipped
	}
	query := c.Query
	if c.InputTerm != nil {
		// The input may contain sets, which JSON does not have.
		query += " with input as " + *c.InputTerm
	}
	ctx := context.Background()
	options := []func(*oparego.Rego){
		oparego.Query(query), oparego.SetRegoVersion(version),
		oparego.Capabilities(
			ast.CapabilitiesForThisVersion(
				ast.CapabilitiesExperimentalKeywords(c.ExperimentalKeywords))),
	}
	for n, module := range c.Modules {
		options = append(options, oparego.Module(fmt.Sprintf("module-%d.rego", n), module))
	}
	compiled, err := oparego.New(options...).Compile(ctx)
	if err != nil {
		return err
	}
	guest, err := rego.Load(ctx, e, compiled.Bytes, abi.ExecutionModeOPA,
		topdown.Builtins{UndefinedErrors: true})
	if err != nil {
		for name := range skip.Functions {
			if strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
				return errSkipped
			}
		}
		return err
	}
	defer guest.Close()
	return judge(ctx, guest, c)
}

func judge(ctx context.Context, guest *rego.Guest, c *cases.TestCase) error {
	data, input := []byte(`{}`), []byte(nil)
	var err error
	if c.Data != nil {
		if data, err = json.Marshal(c.Data); err != nil {
			return err
		}
	}
	if c.Input != nil {
		if input, err = json.Marshal(c.Input); err != nil {
			return err
		}
	}
	const bytes = 64 << 20
	env := &abi.Environment{
		Timeout: 20 * time.Second,
		Limits: abi.Limits{
			RequestBytes:         bytes,
			ResponseBytes:        bytes,
			HostCallPayloadBytes: bytes,
			LogLineBytes:         1 << 10,
			HostCalls:            1,
		},
	}
	got, _, err := guest.Query(ctx, env, input, data)
	wantsError := (c.WantErrorCode != nil || c.WantError != nil) && !c.StrictError
	switch {
	case wantsError && err == nil:
		return fmt.Errorf("expected an error, got: %s", got)
	case wantsError:
		return nil
	case err != nil:
		return err
	}
	return compare(got, c)
}

func compare(got []byte, c *cases.TestCase) error {
	term, err := ast.ValueFromReader(strings.NewReader(string(got)))
	if err != nil {
		return err
	}
	results := term.(*ast.Array)
	if c.WantDefined != nil {
		if *c.WantDefined != (results.Len() > 0) {
			return fmt.Errorf("defined: %s", got)
		}
		return nil
	}
	want := []map[string]any{}
	if c.WantResult != nil {
		want = *c.WantResult
	}
	wanted, err := ast.InterfaceToValue(want)
	if err != nil {
		return err
	}
	found := []*ast.Term{}
	results.Foreach(func(t *ast.Term) {
		object := ast.NewObject()
		t.Value.(ast.Object).Foreach(func(key, value *ast.Term) {
			if a, ok := value.Value.(*ast.Array); ok && c.SortBindings {
				value = ast.NewTerm(a.Sorted())
			}
			object.Insert(key, value)
		})
		found = append(found, ast.NewTerm(object))
	})
	elements := []*ast.Term{}
	wanted.(*ast.Array).Foreach(func(t *ast.Term) { elements = append(elements, t) })
	if a, b := sorted(ast.NewArray(found...)),
		sorted(ast.NewArray(elements...)); a.Compare(b) != 0 {
		return fmt.Errorf("got %v, want %v", a, b)
	}
	return nil
}

// sorted returns a value with all arrays sorted. In JSON, a set becomes an array in any order, so
// that arrays and sets cannot be distinguished.
func sorted(value ast.Value) ast.Value {
	switch v := value.(type) {
	case *ast.Array:
		var elements []*ast.Term
		v.Foreach(func(t *ast.Term) { elements = append(elements, ast.NewTerm(sorted(t.Value))) })
		return ast.NewArray(elements...).Sorted()
	case ast.Object:
		object := ast.NewObject()
		v.Foreach(func(key, value *ast.Term) {
			object.Insert(key, ast.NewTerm(sorted(value.Value)))
		})
		return object
	}
	return value
}
