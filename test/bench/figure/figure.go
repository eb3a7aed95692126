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

// Package figure measures and prints figures, one per line:
//
//	figure NAME VALUE UNIT
package figure

import (
	"fmt"
	"math"
	"slices"
	"syscall"
	"time"
)

// Print prints one figure.
func Print(name string, value float64, unit string) {
	format := "figure %s %.4g %s\n"
	if math.Abs(value) >= 1000 {
		format = "figure %s %.0f %s\n" // do not print a count of ten thousand as 1e+04
	}
	fmt.Printf(format, name, value, unit)
}

// Microseconds returns a duration as the value of a figure in us.
func Microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Interleave runs contestants in turns for a number of rounds, with a batch of calls each. For each
// contestant it returns the processor time and the wall-clock time of a call, as medians over the
// rounds. Because contestants take turns, other load on the machine affects all of them alike.
func Interleave(rounds, batch int,
	contestants ...func() error) (cpu, wall []time.Duration, err error) {
	cpus := make([][]time.Duration, len(contestants))
	walls := make([][]time.Duration, len(contestants))
	for range rounds {
		for n, call := range contestants {
			startCPU, start := ProcessorTime(), time.Now()
			for range batch {
				if err := call(); err != nil {
					return nil, nil, err
				}
			}
			cpus[n] = append(cpus[n], (ProcessorTime()-startCPU)/time.Duration(batch))
			walls[n] = append(walls[n], time.Since(start)/time.Duration(batch))
		}
	}
	for n := range contestants {
		cpu = append(cpu, median(cpus[n]))
		wall = append(wall, median(walls[n]))
	}
	return cpu, wall, nil
}

// ProcessorTime returns the processor time that this process has used so far, on all processors.
func ProcessorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // cannot fail with these arguments
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func median(values []time.Duration) time.Duration {
	slices.Sort(values)
	return values[len(values)/2]
}
