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

package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// An Order is a sort order of policies.
type Order string

// The orders. Except for names, the largest value comes first.
const (
	ByTime        Order = "time"
	ByFuel        Order = "fuel"
	ByDenials     Order = "denials"
	ByFailures    Order = "failures"
	ByEvaluations Order = "evaluations"
	ByName        Order = "name"
)

// Orders are all orders. The first one is the default.
var Orders = []Order{ByTime, ByFuel, ByDenials, ByFailures, ByEvaluations, ByName}

// Key returns the key that selects an order: its first letter, except for failures, because fuel
// has the same letter.
func (o Order) Key() byte {
	if o == ByFailures {
		return 'x'
	}
	return o[0]
}

// by returns the value that an order sorts by. It returns nil for the name.
func (o Order) by() func(Row) float64 {
	switch o {
	case ByTime:
		return func(r Row) float64 { return r.Seconds }
	case ByFuel:
		return func(r Row) float64 { return r.Fuel }
	case ByDenials:
		return func(r Row) float64 { return r.Denied }
	case ByFailures:
		return func(r Row) float64 { return r.Failed }
	case ByEvaluations:
		return func(r Row) float64 { return r.Evaluations }
	}
	return nil
}

// Sort sorts rows. Equal rows are ordered by name.
func (o Order) Sort(rows []Row) {
	by := o.by()
	slices.SortFunc(rows, func(a, b Row) int {
		if by != nil {
			if order := cmp.Compare(by(b), by(a)); order != 0 {
				return order
			}
		}
		return cmp.Compare(a.Policy, b.Policy)
	})
}

// Table returns the lines of a table, with its head first. The head says whether the values are per
// second or totals since the start of the server.
func Table(rows []Row, perSecond bool) []string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	head := "POLICY\tEVALS\tDENIED\tFAILED\tCHANGED\tTIME\tFUEL\tTIME/EVAL\tFUEL/EVAL\tBREAKER"
	if perSecond {
		head =
			"POLICY\tEVALS/S\tDENIED/S\tFAILED/S\tCHANGED/S\tTIME/S\tFUEL/S\tTIME/EVAL\tFUEL/EVAL\tBREAKER"
	}
	fmt.Fprintln(table, head)
	for _, r := range rows {
		breaker := "closed"
		if r.Open {
			breaker = "open"
		}
		fmt.Fprintln(table, strings.Join([]string{
			oneLine(r.Policy), number(r.Evaluations), number(r.Denied), number(r.Failed),
			number(r.Changed), duration(r.Seconds), number(r.Fuel),
			duration(ratio(r.Seconds, r.Evaluations)), number(ratio(r.Fuel, r.Evaluations)),
			breaker,
		}, "\t"))
	}
	// Writing to a strings.Builder cannot fail.
	_ = table.Flush()
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	for n := range lines {
		lines[n] = strings.TrimRight(lines[n], " ")
	}
	return lines
}

// oneLine returns a name from a server as a part of a line.
func oneLine(name string) string {
	return strings.NewReplacer("\n", "�", "\t", "�").Replace(terminal.Plain(name))
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// number formats a number with four digits and a metric prefix.
func number(value float64) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return "?"
	}
	for _, unit := range []struct {
		size   float64
		letter string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if value >= unit.size {
			size := unit.size
			if unit.letter == "k" {
				size = 1e3
			}
			return strconv.FormatFloat(value/size, 'f', 1, 64) + unit.letter
		}
	}
	if value == math.Trunc(value) {
		return strconv.FormatFloat(value, 'f', 0, 64)
	}
	return strconv.FormatFloat(value, 'f', 1, 64)
}

// duration formats a time with about three digits.
func duration(seconds float64) string {
	switch {
	case math.IsNaN(seconds) || seconds < 0 || seconds > 1e9:
		return "?"
	case seconds == 0:
		return "0"
	}
	d := time.Duration(seconds * float64(time.Second))
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}
