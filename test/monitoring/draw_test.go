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
	"fmt"
	"html"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// chart is a panel with the results of its queries.
type chart struct {
	panel panel
	lines []line
}

// line is one series of a chart.
type line struct {
	name   string
	points []point
}

// point is a value at a number of seconds after the start.
type point struct{ seconds, value float64 }

var legendPattern = regexp.MustCompile(`\{\{(\w+)\}\}`)

// linesOf returns the results of a query, named according to its legend and sorted by name.
func linesOf(q query, found []series, from time.Time) (lines []line) {
	for _, s := range found {
		l := line{
			name: legendPattern.ReplaceAllStringFunc(q.legend, func(label string) string {
				return s.labels[strings.Trim(label, "{}")]
			}),
		}
		for _, sample := range s.samples {
			l.points = append(l.points, point{sample.at.Sub(from).Seconds(), sample.value})
		}
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.name, b.name) })
	return lines
}

// Sizes in pixels: three charts side by side, each with its title, its plot and up to
// maxLegend names below.
const (
	columns                  = 3
	chartWidth, chartHeight  = 400, 250
	plotLeft, plotTop        = 58, 34
	plotWidth, plotHeight    = 330, 130
	legendTop, legendLine    = 194, 13
	maxLegend, legendColumns = 8, 2
)

// colors are distinguishable on white and on black.
var colors = []string{
	"#3274d9", "#e0752d", "#37872d", "#c4162a", "#8f3bb8", "#00868b", "#b8860b", "#d6569c",
	"#6b7280", "#4d4dff",
}

// drawCharts draws charts of the given length in time as SVG. The same charts give the same bytes.
func drawCharts(charts []chart, length time.Duration) string {
	var b strings.Builder
	rows := (len(charts) + columns - 1) / columns
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="10">`+
			"\n",
		columns*chartWidth, rows*chartHeight)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="#fff"/>`)
	for n, c := range charts {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", n%columns*chartWidth,
			n/columns*chartHeight)
		c.draw(&b, length.Seconds())
		fmt.Fprintln(&b, "</g>")
	}
	fmt.Fprintln(&b, "</svg>")
	return b.String()
}

func (c chart) draw(b *strings.Builder, seconds float64) {
	fmt.Fprintf(b, `<text x="8" y="20" font-size="13" font-weight="bold" fill="#222">%s</text>`+
		"\n", html.EscapeString(c.panel.title))
	top := 0.0
	for _, l := range c.lines {
		for _, p := range l.points {
			top = max(top, p.value)
		}
	}
	top = ceiling(top)
	for n := range 5 {
		y := plotTop + plotHeight - n*plotHeight/4
		fmt.Fprintf(b,
			`<path d="M%d %dh%d" stroke="#ddd"/><text x="%d" y="%d" text-anchor="end" fill="#555">%s</text>`+
				"\n",
			plotLeft, y, plotWidth, plotLeft-4, y+3, quantity(top*float64(n)/4, c.panel.unit))
	}
	fmt.Fprintf(b,
		`<text x="%d" y="%d" fill="#555">0</text><text x="%d" y="%d" text-anchor="end" fill="#555">%.0f s</text>`+
			"\n",
		plotLeft, plotTop+plotHeight+12, plotLeft+plotWidth, plotTop+plotHeight+12, seconds)
	for n, l := range c.lines {
		color := colors[n%len(colors)]
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.3"/>`+"\n",
			l.path(seconds, top), color)
		if n == maxLegend-1 && len(c.lines) > maxLegend {
			drawLegend(b, n, "#555", fmt.Sprintf("and %d more", len(c.lines)-n))
		} else if n < maxLegend {
			drawLegend(b, n, color, l.name)
		}
	}
}

func drawLegend(b *strings.Builder, n int, color, name string) {
	x, y := plotLeft-48+n%legendColumns*190, legendTop+n/legendColumns*legendLine
	if runes := []rune(name); len(runes) > 32 {
		name = string(runes[:31]) + "…"
	}
	fmt.Fprintf(b,
		`<path d="M%d %dh10" stroke="%s" stroke-width="3"/><text x="%d" y="%d" fill="#222">%s</text>`+
			"\n",
		x, y-3, color, x+14, y, html.EscapeString(name))
}

// path returns a line as an SVG path. It has a gap where points are missing for more than a second.
func (l line) path(seconds, top float64) string {
	var b strings.Builder
	last := math.Inf(-1)
	for _, p := range l.points {
		command := "L"
		if p.seconds-last > 1.5 {
			command = "M"
		}
		last = p.seconds
		fmt.Fprintf(&b, "%s%.1f %.1f", command, plotLeft+p.seconds/seconds*plotWidth,
			plotTop+plotHeight-p.value/top*plotHeight)
		if len(l.points) == 1 {
			b.WriteString("h2")
		}
	}
	return b.String()
}

// ceiling rounds a value up to a round number, for the end of an axis.
func ceiling(value float64) float64 {
	if value <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(value)))
	for _, step := range []float64{1, 2, 4, 8} {
		if value <= step*power {
			return step * power
		}
	}
	return 10 * power
}

// units are the suffixes of numbers, keyed by Grafana's names of the units.
var units = map[string]string{"s": "s", "bytes": "B", "reqps": "/s", "percentunit": "%"}

// quantity formats a number with its unit in a few characters.
func quantity(value float64, unit string) string {
	steps := map[float64]string{1e12: "T", 1e9: "G", 1e6: "M", 1e3: "k", 1: ""}
	switch unit {
	case "percentunit":
		value *= 100
	case "s":
		steps = map[float64]string{1: " ", 1e-3: " m", 1e-6: " µ"}
	}
	for _, step := range slices.Backward(slices.Sorted(maps.Keys(steps))) {
		if value >= step*0.9999 {
			return strconv.FormatFloat(value/step, 'g', 4, 64) + steps[step] + units[unit]
		}
	}
	if value == 0 {
		return "0"
	}
	return strconv.FormatFloat(value, 'g', 3, 64) + units[unit]
}

// fileName turns a text into a part of a file name.
func fileName(text string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(text),
		"-"), "-")
}
