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

// Package benchmark measures times as Criterion does
// (https://bheisler.github.io/criterion.rs/book/analysis.html). It takes samples with more and more
// iterations. The slope of a line through the samples is the time of an iteration. Resampling the
// measurements yields confidence intervals.
package benchmark

import (
	"context"
	"math"
	"time"

	"k8s.io/utils/clock"
)

// Bounds of a [Config]. The samples and their times are held in memory.
const (
	MinSamples   = 2
	MaxSamples   = 10_000
	MaxResamples = 1_000_000
	MaxTime      = 24 * time.Hour
)

// Config says how long and how often to measure. [DefaultConfig] returns the defaults.
type Config struct {
	// WarmUp is the duration of iterations before the measurement.
	WarmUp time.Duration
	// Measurement is the intended duration of all samples. They take longer if it does not suffice
	// for one iteration of each.
	Measurement time.Duration
	// Samples is the number of samples, between [MinSamples] and [MaxSamples].
	Samples int
	// Resamples is the number of resamplings, between 1 and [MaxResamples].
	Resamples int
}

// DefaultConfig returns the defaults of kwctl and Criterion.
func DefaultConfig() Config {
	return Config{
		WarmUp:      3 * time.Second,
		Measurement: 5 * time.Second,
		Samples:     100,
		Resamples:   100_000,
	}
}

// Data holds measurements: for each sample, the number of iterations and their total time in
// nanoseconds.
type Data struct {
	Iterations []uint64
	Times      []uint64
}

// Total returns the number of iterations in all samples, and their total time.
func (d *Data) Total() (iterations uint64, elapsed time.Duration) {
	for n := range d.Iterations {
		iterations += d.Iterations[n]
		elapsed += time.Duration(d.Times[n])
	}
	return iterations, elapsed
}

// Averages returns the average time of an iteration in each sample, in nanoseconds.
func (d *Data) Averages() []float64 {
	averages := make([]float64, len(d.Times))
	for n := range d.Times {
		averages[n] = float64(d.Times[n]) / float64(d.Iterations[n])
	}
	return averages
}

// flat reports whether all samples have the same number of iterations, so that there is no line
// through them.
func (d *Data) flat() bool { return d.Iterations[0] == d.Iterations[len(d.Iterations)-1] }

// Clock is the source of time.
type Clock = clock.PassiveClock

// run runs iterations and returns their total time. It stops when one fails.
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

// Warm runs iterations for the warm-up time, and returns the mean time of one in nanoseconds.
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

// Plan returns the number of iterations of each sample, given the mean time of one in nanoseconds.
// The numbers are 1, 2, 3 and so on times a factor. They are all the same if even a factor of 1
// would take twice as long as intended. Short reports that the samples will still take longer than
// intended.
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
	return iterations, time.Duration(float64(total) * mean), step == 1 &&
		float64(total)*mean > float64(c.Measurement)
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
