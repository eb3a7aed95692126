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

// Command fuel compares the fuel that sample policies use with the instructions that they execute,
// for a small object and for a 1.5 MB object with 40,000 annotations.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/enginetest"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/counting"
)

const (
	operation = "validate"
	// annotations is the number of annotations of a large object.
	annotations = 40_000
)

// rewriteOptions keep data and the start function in the module, so that it also runs without the
// engine.
var rewriteOptions = enginetest.Options{
	TickModule: "bench", TickName: "tick", ExportPrefix: "bench.",
	MemoryMaxPages: wasm.MaxMemoryPages, TableMaxEntries: 1_000_000,
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "fuel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	most := 0.0
	for n := range guests {
		ratio, err := measure(ctx, &guests[n])
		if err != nil {
			return fmt.Errorf("%s: %w", guests[n].path, err)
		}
		most = max(most, ratio)
	}
	figure.Print("fuel_over_instructions_max", most, "ratio")
	return nil
}

// measure prints a line for each object that a guest evaluates, and returns the highest ratio.
func measure(ctx context.Context, g *guest) (most float64, err error) {
	binary, err := os.ReadFile(g.path)
	if err != nil {
		return 0, fmt.Errorf(
			"run this from the root of the repository, after make policies: %w", err)
	}
	if binary, err = adoptMemory(binary); err != nil {
		return 0, err
	}
	rewritten, err := enginetest.Rewrite(binary, rewriteOptions)
	if err != nil {
		return 0, err
	}
	counted, err := counting.Module(binary)
	if err != nil {
		return 0, err
	}
	small, err := os.ReadFile(g.request)
	if err != nil {
		return 0, err
	}
	large, err := enlarge(small)
	if err != nil {
		return 0, err
	}
	for _, request := range []string{string(small), large} {
		fuel, metered, err := evaluate(ctx, g, rewritten.Module, request)
		if err != nil {
			return 0, err
		}
		instructions, plain, err := evaluate(ctx, g, counted, request)
		if err != nil {
			return 0, err
		}
		if metered != plain {
			return 0, fmt.Errorf("responds %q when metered and %q when counting", metered, plain)
		}
		ratio := float64(fuel) / float64(instructions)
		most = max(most, ratio)
		fmt.Printf("%-26s %8d bytes %11d instructions %11d fuel, ratio %.2f\n", g.name,
			len(request), instructions, fuel, ratio)
	}
	return most, nil
}

// evaluate evaluates a request with a new instance of a metered or counting module, and returns the
// units and the response.
func evaluate(ctx context.Context, g *guest, module []byte,
	request string) (units int64, answer string, err error) {
	h, err := newHost(ctx, module, g.mode)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, h.runtime.Close(ctx)) }()
	before := h.units()
	if err := h.validate(ctx, g, request); err != nil {
		return 0, "", err
	}
	return h.units() - before, string(h.response), nil
}

// adoptMemory replaces a module's imported memory by its own, as the engine does for Rego guests.
func adoptMemory(binary []byte) ([]byte, error) {
	m, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	for i := range m.Imports {
		if m.Imports[i].Kind == wasm.ExternMemory {
			m.Memories = append(m.Memories, m.Imports[i].Memory)
			m.Imports = append(m.Imports[:i:i], m.Imports[i+1:]...)
			return m.Encode(), nil
		}
	}
	return binary, nil
}

// enlarge adds many annotations to the objects in a request.
func enlarge(request []byte) (string, error) {
	var r map[string]any
	if err := json.Unmarshal(request, &r); err != nil {
		return "", err
	}
	for _, name := range []string{"object", "oldObject"} {
		object, _ := r[name].(map[string]any)
		metadata, ok := object["metadata"].(map[string]any)
		if !ok {
			continue
		}
		many := make(map[string]string, annotations)
		for n := range annotations {
			many[fmt.Sprintf("example.com/key-%d", n)] = fmt.Sprintf("value %d", n)
		}
		metadata["annotations"] = many
	}
	enlarged, err := json.Marshal(r)
	return string(enlarged), err
}
