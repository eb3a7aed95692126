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

package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const (
	// profileEvery is how much fuel is burnt between two samples.
	profileEvery = 2000
	// maxStacks bounds the stacks of a profile; the fuel of further ones is put together.
	maxStacks = 20_000
	// profileLines are how many functions a summary has.
	profileLines = 15
	// manyStacks is what fuel beyond maxStacks is counted as.
	manyStacks = "(other stacks)"
)

// fuelProfile is how much fuel evaluations burn, by the stack of functions that burn it. It is
// safe for concurrent use.
type fuelProfile struct {
	mu sync.Mutex
	// policy is the one that is evaluated, "" if none is: loading counts for nothing.
	policy string
	// stacks are the outermost function first, with a semicolon between two, below the policy.
	stacks map[string]int64
	// own is the fuel of functions without that of those that they call, total with it.
	own, total map[string]int64
	all        int64
}

func (p *fuelProfile) sampler() *engine.Sampler {
	p.stacks, p.own, p.total = map[string]int64{}, map[string]int64{}, map[string]int64{}
	return &engine.Sampler{Every: profileEvery, Sample: p.sample}
}

func (p *fuelProfile) begin(policy string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy = cmp.Or(plainFunction(policy), "policy")
}

func (p *fuelProfile) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy = ""
}

func (p *fuelProfile) sample(fuel int64, stack []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.policy == "" || len(stack) == 0 {
		return
	}
	names := []string{p.policy}
	for _, name := range slices.Backward(stack) {
		names = append(names, plainFunction(name))
	}
	folded := strings.Join(names, ";")
	if _, known := p.stacks[folded]; !known && len(p.stacks) >= maxStacks {
		folded = manyStacks
	}
	p.stacks[folded] += fuel
	p.all += fuel
	p.own[names[len(names)-1]] += fuel
	slices.Sort(names[1:])
	for _, name := range slices.Compact(names[1:]) { // one that calls itself counts once
		p.total[name] += fuel
	}
}

// plainFunction is a name that cannot be taken for anything else in a profile or a terminal.
func plainFunction(name string) string {
	const most = 200
	if len(name) > most {
		name = name[:most] + "…"
	}
	return foldedSyntax.Replace(terminal.Plain(name))
}

// foldedSyntax replaces what has a meaning in a profile.
var foldedSyntax = strings.NewReplacer(";", ":", "\n", " ", "\t", " ", "\r", " ")

// write writes a line for each stack: its functions and its fuel.
func (p *fuelProfile) write(w io.Writer) error {
	for _, folded := range slices.Sorted(maps.Keys(p.stacks)) {
		if _, err := fmt.Fprintf(w, "%s %d\n", folded, p.stacks[folded]); err != nil {
			return err
		}
	}
	return nil
}

// summarize prints the functions that burn most themselves.
func (p *fuelProfile) summarize(w io.Writer) {
	functions := slices.SortedFunc(maps.Keys(p.total), func(a, b string) int {
		return cmp.Or(cmp.Compare(p.own[b], p.own[a]), cmp.Compare(p.total[b], p.total[a]),
			strings.Compare(a, b))
	})
	fmt.Fprintf(w, "%14s %6s %14s %6s  function\n", "own fuel", "", "with calls", "")
	for _, name := range functions[:min(profileLines, len(functions))] {
		fmt.Fprintf(w, "%14d %5.1f%% %14d %5.1f%%  %s\n", p.own[name], p.percent(p.own[name]),
			p.total[name], p.percent(p.total[name]), name)
	}
}

func (p *fuelProfile) percent(fuel int64) float64 {
	return 100 * float64(fuel) / float64(max(1, p.all))
}
