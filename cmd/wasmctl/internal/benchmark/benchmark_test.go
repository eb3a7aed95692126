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

package benchmark

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

// ticking returns a clock, and an iteration that advances it by a fixed time.
func ticking(takes time.Duration) (Clock, func()) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(0, 0))
	return clock, func() { clock.SetTime(clock.Now().Add(takes)) }
}

// The warm-up doubles the iterations until the time is over: 1 + 2 + 4 + 8.
func TestWarm(t *testing.T) {
	clock, iterate := ticking(time.Millisecond)
	made := 0
	config := Config{WarmUp: 10 * time.Millisecond}
	mean, err := config.Warm(t.Context(), clock, func() { made++; iterate() })
	require.NoError(t, err)
	require.Equal(t, 15, made)
	require.InDelta(t, 1e6, mean, 0)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = config.Warm(ctx, clock, iterate)
	require.ErrorIs(t, err, context.Canceled)
	_, err = Collect(ctx, clock, []uint64{1}, iterate)
	require.ErrorIs(t, err, context.Canceled)
}

func TestPlan(t *testing.T) {
	config := Config{Measurement: 5 * time.Second, Samples: 4}
	for name, test := range map[string]struct {
		mean       float64
		iterations []uint64
		expected   time.Duration
		short      bool
	}{
		"fast":            {1e6, []uint64{500, 1000, 1500, 2000}, 5 * time.Second, false},
		"just fits":       {5e8, []uint64{1, 2, 3, 4}, 5 * time.Second, false},
		"a little slower": {6e8, []uint64{1, 2, 3, 4}, 6 * time.Second, true},
		"slow":            {1.2e9, []uint64{2, 2, 2, 2}, 9600 * time.Millisecond, false},
		"very slow":       {1e10, []uint64{1, 1, 1, 1}, 40 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			iterations, expected, short := config.Plan(test.mean)
			require.Equal(t, test.iterations, iterations)
			require.Equal(t, test.expected, expected)
			require.Equal(t, test.short, short)
		})
	}
}

func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// A constant time has no uncertainty.
func TestAnalyzeWhatIsSteady(t *testing.T) {
	clock, iterate := ticking(time.Microsecond)
	data, err := Collect(t.Context(), clock, []uint64{1, 2, 3, 4}, iterate)
	require.NoError(t, err)
	require.Equal(t, []uint64{1000, 2000, 3000, 4000}, data.Times)
	iterations, elapsed := data.Total()
	require.EqualValues(t, 10, iterations)
	require.Equal(t, 10*time.Microsecond, elapsed)
	a := Analyze(data, 100, random())
	sure := Interval{1000, 1000, 1000}
	require.Equal(t, sure, a.Mean)
	require.Equal(t, sure, a.Median)
	require.Equal(t, sure, a.Typical())
	require.Equal(t, Interval{}, a.StdDev)
	require.Equal(t, Interval{}, a.MAD)
	require.Equal(t, [2]float64{1, 1}, a.RSquared)
	require.Zero(t, a.Outliers.Total())
}

// The estimates match a calculation by hand, and lie between their bounds.
func TestAnalyze(t *testing.T) {
	// The times per iteration are 10, 12, 11, 9 and 100.
	data := &Data{Iterations: []uint64{1, 2, 3, 4, 5}, Times: []uint64{10, 24, 33, 36, 500}}
	a := Analyze(data, 10_000, random())
	require.InDelta(t, 28.4, a.Mean.Estimate, 1e-9)
	require.InDelta(t, 11, a.Median.Estimate, 1e-9)
	require.InDelta(t, 40.0412, a.StdDev.Estimate, 1e-4)
	require.InDelta(t, 1.4826, a.MAD.Estimate, 1e-9)
	require.InDelta(t, 2801.0/55, a.Slope.Estimate, 1e-9)
	require.Equal(t, Outliers{HighSevere: 1}, a.Outliers)
	for _, interval := range []Interval{a.Mean, a.Median, a.StdDev, a.MAD, *a.Slope} {
		require.LessOrEqual(t, interval.Low, interval.Estimate)
		require.GreaterOrEqual(t, interval.High, interval.Estimate)
	}
	require.InDelta(t, 10, a.Median.Low, 1.01)
	require.InDelta(t, 100, a.Median.High, 1e-9)
}

// Samples of the same size have no line through them.
func TestAnalyzeFlat(t *testing.T) {
	a := Analyze(&Data{Iterations: []uint64{2, 2}, Times: []uint64{10, 20}}, 100, random())
	require.Nil(t, a.Slope)
	require.InDelta(t, 7.5, a.Typical().Estimate, 0)
}

func TestOutliers(t *testing.T) {
	// The quartiles are 10 and 14, and the fences at 4, -2, 20 and 26.
	values := []float64{-3, 3, 10, 10, 10, 12, 12, 12, 14, 14, 14, 21, 27}
	require.Equal(t, Outliers{LowSevere: 1, LowMild: 1, HighMild: 1, HighSevere: 1},
		outliers(values))
}

func TestCompare(t *testing.T) {
	of := func(times ...uint64) *Data {
		data := &Data{Times: times}
		for range times {
			data.Iterations = append(data.Iterations, 1)
		}
		return data
	}
	before := of(100, 101, 102, 103, 104, 105, 106, 107)
	same := Compare(before, before, 1000, random())
	require.Zero(t, same.Mean.Estimate)
	require.Greater(t, same.P, Significance)
	slower := Compare(of(200, 201, 202, 203, 204, 205, 206, 207), before, 1000, random())
	require.InDelta(t, 0.966, slower.Mean.Estimate, 0.001)
	require.Less(t, slower.P, Significance)
	require.Greater(t, slower.Mean.Low, NoiseThreshold)
}

func TestFile(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "target", "simple-bench", "validate")
	got, err := Read(directory)
	require.NoError(t, err)
	require.Nil(t, got)
	first, second := &Data{Iterations: []uint64{5, 6}, Times: []uint64{15, 16}},
		&Data{Iterations: []uint64{1, 2}, Times: []uint64{3, 1 << 40}}
	require.NoError(t, first.Write(directory))
	require.NoError(t, second.Write(directory))
	got, err = Read(directory)
	require.NoError(t, err)
	require.Equal(t, second, got)
	old, err := os.ReadFile(filepath.Join(directory, "old-sample"))
	require.NoError(t, err)
	// tiny-bench writes these bytes.
	require.Equal(t, []byte{2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0,
		15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0}, old)
}

func TestDecodeRefuses(t *testing.T) {
	good := (&Data{Iterations: []uint64{5, 6}, Times: []uint64{15, 16}}).Encode()
	changed := func(at int, to byte) []byte {
		file := bytes.Clone(good)
		file[at] = to
		return file
	}
	for name, file := range map[string][]byte{
		"empty": nil, "short": good[:7], "cut off": good[:len(good)-1],
		"too long":      append(bytes.Clone(good), 0),
		"one sample":    (&Data{Iterations: []uint64{1}, Times: []uint64{1}}).Encode(),
		"many samples":  changed(7, 255),
		"no iterations": changed(8, 0), "for ever": changed(32, 1),
	} {
		_, err := Decode(file)
		require.Error(t, err, name)
	}
}
