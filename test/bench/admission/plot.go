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
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// The position and length of the axes, in pixels.
const (
	plotWidth, plotHeight   = 760, 420
	plotLeft, plotTop       = 64, 48
	plotAcross, plotUpwards = 520, 320
)

// curve is the latency that a mechanism adds, by number of policies.
type curve struct {
	name, color string
	mechanism   mechanism
}

var curves = []curve{
	{"policy-server", "#b3541e", byPolicyServer},
	{"webhook", "#c9302c", byWebhook},
	{"in process", "#2f6fdd", inProcess},
	{"CEL", "#2e8b57", byCEL},
	{"none", "#9aa5b1", mechanism{}},
}

// draw returns a picture of the median latency that policies add, by number of policies.
func draw(added map[string]time.Duration) []byte {
	most, highest := 0, time.Duration(0)
	for _, c := range configurations {
		most, highest = max(most, c.policies), max(highest, added[c.name])
	}
	top := ceiling(milliseconds(highest))
	x := func(policies int) float64 { return plotLeft + plotAcross*float64(policies)/float64(most) }
	y := func(ms float64) float64 { return plotTop + plotUpwards*(1-ms/top) }
	var b bytes.Buffer
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+
			"\n",
		plotWidth, plotHeight, plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b,
		`<text x="%d" y="22" font-weight="bold">Added to the creation of a Pod at the median, in ms, by the number of policies</text>`+
			"\n",
		plotLeft)
	for n := range 6 {
		ms := top * float64(n) / 5
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#e4e7eb"/>`+"\n",
			plotLeft, plotLeft+plotAcross, y(ms), y(ms))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end" fill="#555555">%.3g</text>`+"\n",
			plotLeft-8, y(ms)+4, ms)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#555555">0</text>`+"\n",
		plotLeft, plotTop+plotUpwards+18)
	for _, c := range configurations {
		if c.mechanism == inProcess {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555555">%d</text>`+
				"\n", x(c.policies), plotTop+plotUpwards+18, c.policies)
		}
	}
	below := math.Inf(-1) // keeps the labels on the right from overlapping
	for _, c := range curves {
		points, last := []string{fmt.Sprintf("%.1f,%.1f", x(0), y(0))}, 0.0
		for _, of := range configurations {
			if of.mechanism == c.mechanism && of.policies > 0 {
				last = milliseconds(added[of.name])
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(of.policies), y(last)))
			}
		}
		label := fmt.Sprintf("%s, %.2f", c.name, last)
		switch {
		case c.mechanism == mechanism{}:
			points, label = append(points, fmt.Sprintf("%.1f,%.1f", x(most), y(0))), c.name
		case len(points) == 1:
			continue // not measured
		}
		below = max(y(last), below+16)
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n",
			strings.Join(points, " "), c.color)
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" fill="%s">%s</text>`+"\n", plotLeft+plotAcross+10,
			below+4, c.color, label)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// ceiling rounds a value up to a round number.
func ceiling(value float64) float64 {
	if value <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(value)))
	for _, times := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8} {
		if value <= times*unit {
			return times * unit
		}
	}
	return 10 * unit
}
