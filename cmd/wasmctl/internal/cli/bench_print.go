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
	"fmt"
	"regexp"
	"time"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/benchmark"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// benchPrinter prints measurements: first a line in kwctl's format, then the rest in Criterion's
// format.
type benchPrinter struct {
	*command
	label string
}

func (p *benchPrinter) name() string { return p.Paint(terminal.Green, terminal.Plain(p.label)) }

func (p *benchPrinter) warmingUp(wait time.Duration) {
	fmt.Fprintf(p.Out, "%s warming up for %s\n", p.name(), benchTime(float64(wait)))
}

func (p *benchPrinter) collecting(iterations []uint64, mean float64, expected time.Duration) {
	total := uint64(0)
	for _, count := range iterations {
		total += count
	}
	fmt.Fprintf(p.Out,
		"%s mean warm up execution time %s, collecting %d samples in estimated %s (%s)\n",
		p.name(), benchTime(mean), len(iterations), benchTime(float64(expected)),
		counted(total, "iteration"))
}

func (p *benchPrinter) analysis(data *benchmark.Data, a *benchmark.Analysis) {
	typical := a.Typical()
	fmt.Fprintf(p.Out, "%-23s time:   [%s %s %s]\n", terminal.Plain(p.label),
		benchTime(typical.Low), p.Paint(terminal.Bold, benchTime(typical.Estimate)),
		benchTime(typical.High))
	iterations, elapsed := data.Total()
	fmt.Fprintf(p.Out, "%-23s %s in %s\n", "", counted(iterations, "iteration"),
		benchTime(float64(elapsed)))
	p.outliers(len(data.Times), a.Outliers)
	if a.Slope != nil {
		fmt.Fprintf(p.Out, "slope  [%s %s] R^2            [%.7f %.7f]\n", benchTime(a.Slope.Low),
			benchTime(a.Slope.High), a.RSquared[0], a.RSquared[1])
	}
	pair := func(name string, first benchmark.Interval, other string, second benchmark.Interval) {
		fmt.Fprintf(p.Out, "%-6s [%s %s] %-14s [%s %s]\n", name, benchTime(first.Low),
			benchTime(first.High), other, benchTime(second.Low), benchTime(second.High))
	}
	pair("mean", a.Mean, "std. dev.", a.StdDev)
	pair("median", a.Median, "med. abs. dev.", a.MAD)
}

func (p *benchPrinter) outliers(samples int, o benchmark.Outliers) {
	if o.Total() == 0 {
		return
	}
	share := func(count int) string {
		return fmt.Sprintf("%d (%.2f%%)", count, 100*float64(count)/float64(samples))
	}
	fmt.Fprintf(p.Out, "%s\n", p.Paint(terminal.Yellow, fmt.Sprintf("Found %s among %s (%.2f%%)",
		counted(o.Total(), "outlier"), counted(samples, "measurement"),
		100*float64(o.Total())/float64(samples))))
	for _, kind := range []struct {
		count int
		name  string
	}{{o.LowSevere, "low severe"}, {o.LowMild, "low mild"}, {o.HighMild, "high mild"},
		{o.HighSevere, "high severe"}} {
		if kind.count > 0 {
			fmt.Fprintf(p.Out, "  %s %s\n", share(kind.count), kind.name)
		}
	}
}

func (p *benchPrinter) change(c benchmark.Change) {
	significant := c.P < benchmark.Significance
	sign := ">"
	if significant {
		sign = "<"
	}
	percent := func(part float64) string { return fmt.Sprintf("%+.4f%%", 100*part) }
	fmt.Fprintf(p.Out, "%-23s change: [%s %s %s] (p = %.2f %s %.2f)\n", "", percent(c.Mean.Low),
		percent(c.Mean.Estimate), percent(c.Mean.High), c.P, sign, benchmark.Significance)
	fmt.Fprintf(p.Out, "%-23s %s\n", "", p.judged(significant, c.Mean))
}

// judged describes the meaning of a change.
func (p *benchPrinter) judged(significant bool, change benchmark.Interval) string {
	switch {
	case !significant:
		return "No change in performance detected."
	case change.High < -benchmark.NoiseThreshold:
		return "Performance has " + p.Paint(terminal.Green, "improved") + "."
	case change.Low > benchmark.NoiseThreshold:
		return "Performance has " + p.Paint(terminal.Red, "regressed") + "."
	}
	return "Change within noise threshold."
}

// benchTime formats nanoseconds with five digits, as Criterion does.
func benchTime(nanoseconds float64) string {
	value, unit := nanoseconds, "ns"
	for _, larger := range []string{"µs", "ms", "s"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, larger
	}
	switch {
	case value < 10:
		return fmt.Sprintf("%.4f %s", value, unit)
	case value < 100:
		return fmt.Sprintf("%.3f %s", value, unit)
	case value < 1000:
		return fmt.Sprintf("%.2f %s", value, unit)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// unusual matches characters that file names should not contain.
var unusual = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

// fileNameOf returns a directory name for a measurement.
func fileNameOf(label string) string { return unusual.ReplaceAllString(label, "_") }
