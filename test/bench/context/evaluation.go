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

package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// evaluationMetric is the server's histogram of evaluation times. They span from the encoded
// request to the verdict, and include the wait for an instance, the guest, and host calls.
const evaluationMetric = "apiserver_wasm_admission_evaluation_duration_seconds"

// histogram holds the number of durations, in seconds, up to each bucket's upper bound.
type histogram struct {
	buckets map[float64]float64
	sum     float64
}

// evaluations reads the server's histograms of evaluation times, by policy.
func (b *bench) evaluations(ctx context.Context) (map[string]histogram, error) {
	text, err := b.server.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the server's metrics: %w", err)
	}
	histograms := map[string]histogram{}
	for _, metric := range families[evaluationMetric].GetMetric() {
		// Sum over the other labels, because all outcomes count.
		policy := labelOf(metric, "policy")
		h, known := histograms[policy]
		if !known {
			h.buckets = map[float64]float64{}
		}
		h.sum += metric.GetHistogram().GetSampleSum()
		h.buckets[math.Inf(1)] += float64(metric.GetHistogram().GetSampleCount())
		for _, bucket := range metric.GetHistogram().GetBucket() {
			if bound := bucket.GetUpperBound(); !math.IsInf(bound, 1) {
				h.buckets[bound] += float64(bucket.GetCumulativeCount())
			}
		}
		histograms[policy] = h
	}
	return histograms, nil
}

func labelOf(metric *dto.Metric, name string) string {
	for _, label := range metric.GetLabel() {
		if label.GetName() == name {
			return label.GetValue()
		}
	}
	return ""
}

// less subtracts an earlier reading.
func (h histogram) less(earlier histogram) histogram {
	later := histogram{buckets: map[float64]float64{}, sum: h.sum - earlier.sum}
	for bound, count := range h.buckets {
		later.buckets[bound] = count - earlier.buckets[bound]
	}
	return later
}

func (h histogram) mean() float64 { return h.sum / h.buckets[math.Inf(1)] }

// atMost returns the upper bound of the bucket that contains a quantile.
func (h histogram) atMost(percent float64) float64 {
	wanted := h.buckets[math.Inf(1)] * percent / 100
	for _, bound := range slices.Sorted(maps.Keys(h.buckets)) {
		if h.buckets[bound] >= wanted {
			return bound
		}
	}
	return math.Inf(1)
}
