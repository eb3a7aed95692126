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

package terminal

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/term"
)

// Screen is the whole terminal, for a command that updates its display. Its methods are not safe
// for concurrent use.
type Screen struct {
	out, in *os.File
	color   bool
	// before is the previous state of the keyboard. It is nil if keys are not read.
	before *term.State
	keys   chan byte
	closed chan struct{}
}

// Escape sequences of terminals (ECMA-48, and xterm's alternate screen).
const (
	secondScreen = "\x1b[?1049h\x1b[?25l"
	firstScreen  = "\x1b[?25h\x1b[?1049l"
	home         = "\x1b[H"
	eraseLine    = "\x1b[K"
	eraseBelow   = "\x1b[J"
)

// ErrNoTerminal says that the standard output is not a terminal.
var ErrNoTerminal = errors.New("the standard output is not a terminal")

// OpenScreen takes over the terminal of the standard output. Close restores its content. Keys are
// read if the standard input is also a terminal.
func (s *Streams) OpenScreen() (*Screen, error) {
	if !isTerminal(s.Out) {
		return nil, ErrNoTerminal
	}
	screen := &Screen{
		out:    s.Out.(*os.File),
		color:  s.Paint(Bold, "") != "",
		closed: make(chan struct{}),
	}
	if in, ok := s.In.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, err
		}
		screen.in, screen.before, screen.keys = in, before, make(chan byte)
		go screen.read()
	}
	if _, err := screen.out.WriteString(secondScreen); err != nil {
		return nil, errors.Join(err, screen.Close())
	}
	return screen, nil
}

// read passes on keys until the input ends or the screen is closed. A read cannot be interrupted.
// The last read may therefore take a key from the next program, or wait until the process ends.
func (s *Screen) read() {
	defer close(s.keys)
	key := make([]byte, 1)
	for {
		if n, err := s.in.Read(key); err != nil || n == 0 {
			return
		}
		select {
		case s.keys <- key[0]:
		case <-s.closed:
			return
		}
	}
}

// Keys returns the channel of pressed keys, with Ctrl-C as 3. It is nil if keys are not read. It is
// closed when the input ends.
func (s *Screen) Keys() <-chan byte { return s.keys }

// Show replaces the displayed lines. It cuts the lines to the size of the terminal. The line with
// the index head is bold.
func (s *Screen) Show(lines []string, head int) error {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	var b strings.Builder
	b.WriteString(home)
	for n, line := range lines {
		if n == height {
			break
		}
		if n > 0 {
			b.WriteString("\r\n")
		}
		if runes := []rune(line); len(runes) > width {
			line = string(runes[:width])
		}
		if n == head && s.color {
			line = paint(Bold, line)
		}
		b.WriteString(line + eraseLine)
	}
	b.WriteString(eraseBelow)
	_, err = s.out.WriteString(b.String())
	return err
}

// Close restores the terminal. It must be called only once.
func (s *Screen) Close() error {
	close(s.closed)
	_, err := s.out.WriteString(firstScreen)
	if s.before != nil {
		err = errors.Join(err, term.Restore(int(s.in.Fd()), s.before))
	}
	return err
}
