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

// Package terminal is where a command reads and writes, and what it does for people only
// if it is one of theirs that it writes to.
package terminal

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"unicode"

	"golang.org/x/term"
)

// Streams are those of a process.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// NoColor switches colours off, wherever is written to.
	NoColor bool

	// current is what takes long now, the innermost of what does.
	current atomic.Pointer[shown]
}

// Standard returns the streams of this process.
func Standard() *Streams { return &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// isTerminal is whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Colour is one that a text may have.
type Colour string

// The colours, as terminals know them (ECMA-48, Select Graphic Rendition).
const (
	Bold   Colour = "1"
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
)

// Paint returns a text that is written to the standard output, in a colour if that is a
// terminal and nobody is against it (https://no-color.org).
func (s *Streams) Paint(colour Colour, text string) string {
	if s.NoColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isTerminal(s.Out) {
		return text
	}
	return paint(colour, text)
}

func paint(colour Colour, text string) string {
	return "\x1b[" + string(colour) + "m" + text + "\x1b[0m"
}

// Plain returns a text that somebody else wrote without what could make a terminal do
// anything but show it. Lines and tabs stay.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
