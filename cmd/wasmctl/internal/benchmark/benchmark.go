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

// Package benchmark measures how long something takes as Criterion does
// (https://bheisler.github.io/criterion.rs/book/analysis.html): samples of ever more
// iterations, a line through them whose slope is the time of one, and intervals of confidence
// by resampling what was measured.
package benchmark

import (
	"context"
	"math"
	"time"

	"k8s.io/utils/clock"
)

// Bounds of what may be asked for. The samples and their times are held in memory.
const (
	MinSamples   = 2
	MaxSamples   = 10_000
	MaxResamples = 1_000_000
	MaxTime      = 24 * time.Hour
)

// Config says how long and how often is measured. The defaults are those of
// [DefaultConfig].
type Config struct {
	// WarmUp is for how long iterations are made that do not count.
	WarmUp time.Duration
	// Measurement is how long all samples should take. They take longer if each of them needs
	// an iteration more than that leaves time for.
	Measurement time.Duration
	// Samples is how many samples there are, between [MinSamples] and [MaxSamples].
	Samples int
	// Resamples is how often they are resampled, between 1 and [MaxResamples].
	Resamples int
}

// DefaultConfig is kwctl's, and Criterion's.
func DefaultConfig() Config {
	return Config{WarmUp: 3 * time.Second, Measurement: 5 * time.Second, Samples: 100, Resamples: 100_000}
}

// Data is what was measured: how many iterations each sample has, and how many nanoseconds
// they took together.
type Data struct {
	Iterations []uint64
	Times      []uint64
}

// Total returns how many iterations there are in all samples, and what they took.
func (d *Data) Total() (iterations uint64, elapsed time.Duration) {
	for n := range d.Iterations {
		iterations += d.Iterations[n]
		elapsed += time.Duration(d.Times[n])
	}
	return iterations, elapsed
}

// Averages returns what an iteration of each sample took, in nanoseconds.
func (d *Data) Averages() []float64 {
	averages := make([]float64, len(d.Times))
	for n := range d.Times {
		averages[n] = float64(d.Times[n]) / float64(d.Iterations[n])
	}
	return averages
}

// flat is whether all samples have equally many iterations: there is no line through them.
func (d *Data) flat() bool { return d.Iterations[0] == d.Iterations[len(d.Iterations)-1] }

// Clock is what time is told by.
type Clock = clock.PassiveClock

// run makes iterations and returns how long they took. It ends early if one fails.
func run(ctx context.Context, c Clock, iterations uint64, iterate func()) (time.Duration, error) {
	begin := c.Now()
	for range iterations {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		iterate()
	}
	return c.Since(begin), nil
}

// Warm makes iterations for a while, and returns what one takes, in nanoseconds.
func (c *Config) Warm(ctx context.Context, clock Clock, iterate func()) (mean float64, err error) {
	var elapsed time.Duration
	made := uint64(0)
	for batch := uint64(1); ; batch *= 2 {
		took, err := run(ctx, clock, batch, iterate)
		if err != nil {
			return 0, err
		}
		elapsed, made = elapsed+took, made+batch
		if elapsed >= c.WarmUp && elapsed > 0 {
			return float64(elapsed) / float64(made), nil
		}
	}
}

// Plan returns how many iterations each sample is to have, if one takes so many nanoseconds:
// 1, 2, 3 and so on times the same number, or all the same if even that would take twice as
// long as was asked for. Short says that it takes longer than that all the same.
func (c *Config) Plan(mean float64) (iterations []uint64, expected time.Duration, short bool) {
	n := uint64(c.Samples)
	runs := n * (n + 1) / 2
	step := max(1, uint64(math.Ceil(float64(c.Measurement)/mean/float64(runs))))
	total := step * runs
	isFlat := step == 1 && float64(total)*mean > 2*float64(c.Measurement)
	if isFlat {
		step = max(1, uint64(math.Ceil(float64(c.Measurement)/mean/float64(n))))
		total = step * n
	}
	for sample := range n {
		if isFlat {
			iterations = append(iterations, step)
		} else {
			iterations = append(iterations, step*(sample+1))
		}
	}
	return iterations, time.Duration(float64(total) * mean), step == 1 && float64(total)*mean > float64(c.Measurement)
}

// Collect measures the samples.
func Collect(ctx context.Context, clock Clock, iterations []uint64, iterate func()) (*Data, error) {
	data := &Data{Iterations: iterations}
	for _, count := range iterations {
		took, err := run(ctx, clock, count, iterate)
		if err != nil {
			return nil, err
		}
		data.Times = append(data.Times, uint64(max(took, 0)))
	}
	return data, nil
}
