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

package monitoring

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChartsAreDeterministic(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	found := []series{
		{
			labels: map[string]string{"policy": "b<&"},
			samples: []sample{{from, 1}, {from.Add(time.Second), 2},
				{from.Add(5 * time.Second), 3}},
		},
		{labels: map[string]string{"policy": "a"}, samples: []sample{{from, 0.5}}},
	}
	c := chart{
		panel: panel{title: "Time <by> policy", unit: "s"},
		lines: linesOf(query{legend: "p99 {{policy}}"}, found, from),
	}
	for range 9 {
		c.lines = append(c.lines, line{name: "another"})
	}
	drawn := drawCharts([]chart{c, c, c, c}, 10*time.Second)
	require.Equal(t, drawn, drawCharts([]chart{c, c, c, c}, 10*time.Second))
	for _, part := range []string{
		"Time &lt;by&gt; policy", "p99 a", "p99 b&lt;&amp;", "and 4 more", ">4 s<", ">10 s<",
		`viewBox="0 0 1200 500"`,
		"M58.0 131.5L91.0 99.0M223.0 66.5", // with a gap
	} {
		require.Contains(t, drawn, part)
	}
	decoder := xml.NewDecoder(strings.NewReader(drawn))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
}

func TestQuantity(t *testing.T) {
	for _, test := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "s", "0"}, {0.0005, "s", "500 µs"}, {0.25, "s", "250 ms"}, {2, "s", "2 s"},
		{1500, "reqps", "1.5k/s"}, {2e6, "bytes", "2MB"}, {0.5, "percentunit", "50%"},
		{3, "short", "3"}, {0.75, "short", "0.75"}, {0.25, "reqps", "0.25/s"},
	} {
		require.Equal(t, test.want, quantity(test.value, test.unit))
	}
	for value, want := range map[float64]float64{0: 1, 0.3: 0.4, 1: 1, 9: 10, 17: 20, 801: 1000} {
		require.InDelta(t, want, ceiling(value), 1e-9)
	}
	require.Equal(t, "what-is-wrong", fileName("What is wrong?"))
}
