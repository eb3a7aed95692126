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

// Package terminal provides a command's input and output. It adds colors and progress only if the
// output is a terminal.
package terminal

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"unicode"

	"golang.org/x/term"
)

// Streams are the streams of a process.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// NoColor disables colors for all output.
	NoColor bool

	// current is the innermost running operation with a progress display.
	current atomic.Pointer[shown]
}

// Standard returns the streams of this process.
func Standard() *Streams { return &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// isTerminal reports whether a writer is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Color is the color of a text.
type Color string

// The colors of terminals (ECMA-48, Select Graphic Rendition).
const (
	Bold   Color = "1"
	Red    Color = "31"
	Green  Color = "32"
	Yellow Color = "33"
)

// Paint returns a text for the standard output. It adds a color if the output is a terminal and
// colors are not disabled (https://no-color.org).
func (s *Streams) Paint(color Color, text string) string {
	if s.NoColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" ||
		!isTerminal(s.Out) {
		return text
	}
	return paint(color, text)
}

func paint(color Color, text string) string {
	return "\x1b[" + string(color) + "m" + text + "\x1b[0m"
}

// overrides are the characters that change the order in which a terminal shows others: a text could
// show as another one.
var overrides = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: '\u202a', Hi: '\u202e', Stride: 1}, {Lo: '\u2066', Hi: '\u2069', Stride: 1},
}}

// Plain removes from a foreign text all characters that could control the terminal, or show the
// text as another one. It keeps line breaks and tabs.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(overrides, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
