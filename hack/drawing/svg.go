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
	"html"
)

// Sizes in pixels.
const (
	cellWidth, cellHeight = 196, 104
	boxWidth, boxHeight   = 164, 64
	margin, head          = 16, 44
	longestLine           = 29
)

const style = `  <style>
    text { font: 13px system-ui, sans-serif; fill: #1b1f24; text-anchor: middle }
    .title { font-size: 17px; font-weight: 600; text-anchor: start }
    .note { font: 10px ui-monospace, monospace; fill: #57606a }
    .area { fill: #eef4ff; stroke: #326ce5; stroke-dasharray: 5 4 }
    .area-text { fill: #326ce5; text-anchor: start; font-weight: 600 }
    .box { fill: #ffffff; stroke: #57606a }
    .arrow { fill: none; stroke: #1b1f24; stroke-width: 1.4 }
  </style>
  <defs>
    <marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
      <path d="M0,0 L8,4 L0,8 z" fill="#1b1f24"/>
    </marker>
  </defs>
`

// corner returns the upper left corner of the box in a cell.
func corner(at [2]int) (x, y int) {
	return margin + at[0]*cellWidth + (cellWidth-boxWidth)/2, head + at[1]*cellHeight +
		(cellHeight-boxHeight)/2
}

func (s *source) svg(boxes map[string]box) []byte {
	var b bytes.Buffer
	width, height := 2*margin+s.Columns*cellWidth, head+margin+s.Rows*cellHeight
	fmt.Fprintf(&b,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n",
		width, height, width, height)
	fmt.Fprintf(&b, "  <title>%s</title>\n%s", html.EscapeString(s.Title), style)
	fmt.Fprintf(&b, "  <rect width=\"%d\" height=\"%d\" fill=\"#fafbfc\"/>\n", width, height)
	text(&b, "title", margin, 26, s.Title)
	for _, a := range s.Areas {
		x, y := margin+a.From[0]*cellWidth, head+a.From[1]*cellHeight
		fmt.Fprintf(&b,
			"  <rect class=\"area\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", x+4,
			y+2, (a.To[0]-a.From[0]+1)*cellWidth-8, (a.To[1]-a.From[1]+1)*cellHeight-4)
		text(&b, "area-text", x+14, y+16, a.Text)
	}
	for _, a := range s.Arrows {
		heads := ` marker-end="url(#head)"`
		if a.Both {
			heads += ` marker-start="url(#head)"`
		}
		fmt.Fprintf(&b, "  <path class=\"arrow\" d=\"%s\"%s/>\n",
			path(boxes[a.From].At, boxes[a.To].At), heads)
	}
	for _, box := range s.Boxes {
		x, y := corner(box.At)
		fmt.Fprintf(&b,
			"  <rect class=\"box\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n", x, y,
			boxWidth, boxHeight)
		top := y + 27 - 8*(len(box.Text)-1)
		for n, line := range box.Text {
			text(&b, "", x+boxWidth/2, top+17*n, line)
		}
		text(&b, "note", x+boxWidth/2, y+boxHeight-9, box.Note)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func text(b *bytes.Buffer, class string, x, y int, words string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(b, "  <text%s x=\"%d\" y=\"%d\">%s</text>\n", class, x, y, html.EscapeString(words))
}

// path returns the path of an arrow from the box in one cell to the box in another. Within a row or
// a column the arrow is straight. Otherwise it goes sideways first, then up or down.
func path(from, to [2]int) string {
	fromX, fromY := corner(from)
	toX, toY := corner(to)
	middleX, middleY := boxWidth/2, boxHeight/2
	switch {
	case from[1] == to[1] && from[0] < to[0]:
		return fmt.Sprintf("M%d,%d H%d", fromX+boxWidth, fromY+middleY, toX)
	case from[1] == to[1]:
		return fmt.Sprintf("M%d,%d H%d", fromX, fromY+middleY, toX+boxWidth)
	case from[0] == to[0] && from[1] < to[1]:
		return fmt.Sprintf("M%d,%d V%d", fromX+middleX, fromY+boxHeight, toY)
	case from[0] == to[0]:
		return fmt.Sprintf("M%d,%d V%d", fromX+middleX, fromY, toY+boxHeight)
	}
	startX, endY := fromX+boxWidth, toY+boxHeight
	if to[0] < from[0] {
		startX = fromX
	}
	if to[1] > from[1] {
		endY = toY
	}
	return fmt.Sprintf("M%d,%d H%d V%d", startX, fromY+middleY, toX+middleX, endY)
}
