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
	"math"
	"math/rand/v2"
	"slices"
)

// confidence is the confidence level of all intervals.
const confidence = 0.95

// Interval is an estimate with its bounds.
type Interval struct{ Low, Estimate, High float64 }

// Outliers counts the samples outside Tukey's fences, which are 1.5 (mild) and 3 (severe)
// interquartile ranges away from the quartiles.
type Outliers struct{ LowSevere, LowMild, HighMild, HighSevere int }

// Total returns the number of all outliers.
func (o Outliers) Total() int { return o.LowSevere + o.LowMild + o.HighMild + o.HighSevere }

// Analysis is the analysis of measurements, in nanoseconds per iteration.
type Analysis struct {
	Mean, Median Interval
	// StdDev is the standard deviation of the samples. MAD is their median absolute deviation,
	// scaled to equal the standard deviation for a normal distribution.
	StdDev, MAD Interval
	// Slope is the slope of the line through the origin and all samples. RSquared says how well the
	// line fits at both bounds. Slope is nil if all samples have the same number of iterations.
	Slope    *Interval
	RSquared [2]float64
	Outliers Outliers
}

// Typical returns the time of an iteration: the slope if there is one, and otherwise the mean.
func (a *Analysis) Typical() Interval {
	if a.Slope != nil {
		return *a.Slope
	}
	return a.Mean
}

// Analyze analyzes measurements.
func Analyze(data *Data, resamples int, random *rand.Rand) *Analysis {
	averages := data.Averages()
	a := &Analysis{Outliers: outliers(averages)}
	n := len(averages)
	sample := make([]float64, n)
	statistics := []struct {
		of func([]float64) float64
		to *Interval
		// the last two sort the values
	}{{mean, &a.Mean}, {stdDev, &a.StdDev}, {median, &a.Median}, {medianDeviation, &a.MAD}}
	drawn := make([][]float64, len(statistics))
	for range resamples {
		for i := range sample {
			sample[i] = averages[random.IntN(n)]
		}
		for i, statistic := range statistics {
			drawn[i] = append(drawn[i], statistic.of(sample))
		}
	}
	for i, statistic := range statistics {
		*statistic.to = interval(statistic.of(slices.Clone(averages)), drawn[i])
	}
	if !data.flat() {
		a.Slope = resampledSlope(data, resamples, random)
		a.RSquared = [2]float64{rSquared(data, a.Slope.Low), rSquared(data, a.Slope.High)}
	}
	return a
}

func resampledSlope(data *Data, resamples int, random *rand.Rand) *Interval {
	n, drawn := len(data.Times), make([]float64, 0, resamples)
	for range resamples {
		xy, xx := 0.0, 0.0
		for range n {
			i := random.IntN(n)
			x := float64(data.Iterations[i])
			xy, xx = xy+x*float64(data.Times[i]), xx+x*x
		}
		drawn = append(drawn, xy/xx)
	}
	resampled := interval(slope(data), drawn)
	return &resampled
}

// slope returns the slope of the least-squares line through the origin.
func slope(data *Data) float64 {
	xy, xx := 0.0, 0.0
	for i := range data.Times {
		x := float64(data.Iterations[i])
		xy, xx = xy+x*float64(data.Times[i]), xx+x*x
	}
	return xy / xx
}

// rSquared returns the share of the variance that a line through the origin explains.
func rSquared(data *Data, slope float64) float64 {
	average := 0.0
	for _, y := range data.Times {
		average += float64(y) / float64(len(data.Times))
	}
	residual, total := 0.0, 0.0
	for i, y := range data.Times {
		residual += math.Pow(float64(y)-slope*float64(data.Iterations[i]), 2)
		total += math.Pow(float64(y)-average, 2)
	}
	if total == 0 {
		return 1
	}
	return 1 - residual/total
}

// interval returns an estimate with the bounds of the middle part of its distribution.
func interval(estimate float64, distribution []float64) Interval {
	slices.Sort(distribution)
	return Interval{
		quantile(distribution, (1-confidence)/2),
		estimate,
		quantile(distribution, (1+confidence)/2),
	}
}

// quantile returns a quantile of sorted values. It interpolates linearly.
func quantile(sorted []float64, q float64) float64 {
	rank := q * float64(len(sorted)-1)
	below := int(rank)
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[below] + (rank-float64(below))*(sorted[below+1]-sorted[below])
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	return sum / float64(len(values))
}

// variance returns the sample variance, with one degree of freedom less than the number of values.
func variance(values []float64) float64 {
	average, sum := mean(values), 0.0
	for _, value := range values {
		sum += (value - average) * (value - average)
	}
	return sum / float64(len(values)-1)
}

func stdDev(values []float64) float64 { return math.Sqrt(variance(values)) }

// median returns the median. It sorts the values.
func median(values []float64) float64 {
	slices.Sort(values)
	return quantile(values, 0.5)
}

// medianDeviation returns the median absolute deviation. It sorts the values.
func medianDeviation(values []float64) float64 {
	middle := median(values)
	deviations := make([]float64, len(values))
	for i, value := range values {
		deviations[i] = math.Abs(value - middle)
	}
	const toStdDev = 1.4826 // for a normal distribution
	return median(deviations) * toStdDev
}

func outliers(averages []float64) (o Outliers) {
	sorted := slices.Sorted(slices.Values(averages))
	low, high := quantile(sorted, 0.25), quantile(sorted, 0.75)
	reach := high - low
	for _, value := range sorted {
		switch {
		case value < low-3*reach:
			o.LowSevere++
		case value < low-1.5*reach:
			o.LowMild++
		case value > high+3*reach:
			o.HighSevere++
		case value > high+1.5*reach:
			o.HighMild++
		}
	}
	return o
}

// Change is the relative change of the mean from earlier measurements, with the probability that so
// large a difference occurs by chance.
type Change struct {
	Mean Interval
	P    float64
}

// The thresholds for a change worth reporting.
const (
	Significance   = 0.05
	NoiseThreshold = 0.01
)

// Compare compares measurements with earlier ones.
func Compare(data, earlier *Data, resamples int, random *rand.Rand) Change {
	after, before := data.Averages(), earlier.Averages()
	draw := func(from, to []float64) []float64 {
		for i := range to {
			to[i] = from[random.IntN(len(from))]
		}
		return to
	}
	a, b := make([]float64, len(after)), make([]float64, len(before))
	changes := make([]float64, 0, resamples)
	for range resamples {
		changes = append(changes, mean(draw(after, a))/mean(draw(before, b))-1)
	}
	// Resampling the joint population shows which differences occur by chance.
	all, t, below := slices.Concat(after, before), studentT(after, before), 0
	for range resamples {
		if studentT(draw(all, a), draw(all, b)) < t {
			below++
		}
	}
	return Change{
		Mean: interval(mean(after)/mean(before)-1, changes),
		P:    2 * float64(min(below, resamples-below)) / float64(resamples),
	}
}

// studentT returns Welch's t.
func studentT(a, b []float64) float64 {
	return (mean(a) - mean(b)) / math.Sqrt(variance(a)/float64(len(a))+variance(b)/float64(len(b)))
}
