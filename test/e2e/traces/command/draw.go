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
	"cmp"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/spans"
	"github.com/wasm-admission/wasm-admission/test/e2e/traces"
)

// Sizes in the picture, in pixels.
const (
	width, margin = 1200, 12
	labels        = 560 // the left edge of the bars
	bars          = 520 // the length of the bar for the whole trace
	row, indent   = 20, 14
)

// line is a span in the picture.
type line struct {
	traces.Span
	depth int
}

// draw returns a picture of a trace, with a line for each span. Spans are below their parents, in
// the order of their start times. The same trace gives the same picture.
func draw(title string, trace []traces.Span) []byte {
	lines, start, end := layout(trace, "", 0), trace[0].Start, trace[0].End
	for _, l := range lines {
		if l.End.After(end) {
			end = l.End
		}
	}
	scale := float64(bars) / float64(max(end.Sub(start), 1))
	var b bytes.Buffer
	height := 3*margin + row*(len(lines)+1)
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+
			"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", margin, margin+row/2,
		escape(title))
	for n, l := range lines {
		y := 2*margin + row*(n+1)
		color := "#9aa5b1"
		if strings.HasPrefix(l.Name, "WasmAdmission.") {
			color = "#2f6fdd"
		}
		x, length := labels+float64(l.Start.Sub(start))*scale,
			max(1.5, float64(l.End.Sub(l.Start))*scale)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", margin+indent*l.depth, y,
			escape(label(l.Span)))
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", x,
			y-row/2, length, row/2+2, color)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#555555">%s</text>`+"\n",
			width-margin, y, l.End.Sub(l.Start).Round(time.Microsecond))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// layout returns the descendants of a span, in the order of their start times.
func layout(trace []traces.Span, parent string, depth int) (lines []line) {
	for _, span := range trace {
		if span.Parent == parent {
			lines = append(append(lines, line{span, depth}), layout(trace, span.ID, depth+1)...)
		}
	}
	return lines
}

// label returns a span's name and its most useful attributes.
func label(s traces.Span) string {
	parts := []string{s.Name}
	for _, key := range []string{spans.PolicyName, spans.Capability, spans.Verdict, spans.Mode} {
		if value := s.Attributes[key]; value != "" && value != "protect" {
			parts = append(parts, value)
		}
	}
	if fuel := s.Attributes[spans.Fuel]; fuel != "" {
		parts = append(parts, cmp.Or(fuel, "0")+" fuel")
	}
	const most = 90
	if text := strings.Join(parts, " · "); len(text) > most {
		return text[:most]
	}
	return strings.Join(parts, " · ")
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}
