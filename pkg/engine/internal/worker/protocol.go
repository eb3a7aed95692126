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

package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Task is a module to compile.
type Task struct {
	// Module is the module in the binary format.
	Module []byte
	// Mark is data for the compiler, at most 255 bytes. This package does not interpret it.
	Mark []byte
	// Directory is the absolute path of the empty directory for the result.
	Directory string
}

// Bounds on messages. The child trusts its parent, so these only catch mistakes.
const (
	maxModule    = 1 << 30
	maxDirectory = 4096
	maxAnswer    = 4096
)

// The kinds of answers.
const (
	answerDone  = 0
	answerError = 1
)

// writeTask sends a task as three parts, each a little-endian length of 4 bytes followed by its
// bytes.
func writeTask(w io.Writer, t *Task) error {
	for _, part := range [][]byte{t.Mark, []byte(t.Directory), t.Module} {
		if err := binary.Write(w, binary.LittleEndian, uint32(len(part))); err != nil {
			return err
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a task that cannot be sent.
func (t *Task) check() error {
	switch {
	case len(t.Mark) > 255:
		return fmt.Errorf("mark of %d bytes: at most 255 are possible", len(t.Mark))
	case len(t.Directory) > maxDirectory:
		return fmt.Errorf("directory has a path of %d bytes: at most %d are possible",
			len(t.Directory), maxDirectory)
	case len(t.Module) > maxModule:
		return fmt.Errorf("module of %d bytes: at most %d are possible", len(t.Module), maxModule)
	}
	return nil
}

func readTask(r io.Reader) (*Task, error) {
	var parts [3][]byte
	for n, most := range []uint32{255, maxDirectory, maxModule} {
		var err error
		if parts[n], err = readPart(r, most); err != nil {
			return nil, err
		}
	}
	return &Task{Mark: parts[0], Directory: string(parts[1]), Module: parts[2]}, nil
}

func readPart(r io.Reader, most uint32) ([]byte, error) {
	var size uint32
	if err := binary.Read(r, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("%d bytes are announced, at most %d are possible", size, most)
	}
	part := make([]byte, size)
	_, err := io.ReadFull(r, part)
	return part, err
}

// writeAnswer sends the result of a task: a byte, and for an error also the length and the text.
func writeAnswer(w io.Writer, failure error) error {
	if failure == nil {
		_, err := w.Write([]byte{answerDone})
		return err
	}
	text := failure.Error()
	text = text[:min(len(text), maxAnswer)]
	answer := binary.LittleEndian.AppendUint32([]byte{answerError}, uint32(len(text)))
	_, err := w.Write(append(answer, text...))
	return err
}

// readAnswer returns the compiler's error and, separately, an error in reading the answer.
func readAnswer(r io.Reader) (failure, err error) {
	var kind [1]byte
	if _, err := io.ReadFull(r, kind[:]); err != nil {
		return nil, err
	}
	switch kind[0] {
	case answerDone:
		return nil, nil
	case answerError:
		text, err := readPart(r, maxAnswer)
		if err != nil {
			return nil, err
		}
		return errors.New(printable(string(text))), nil
	}
	return nil, fmt.Errorf("answer begins with %d", kind[0])
}

// printable replaces characters that must not appear in logs. The compiler's errors quote the
// module.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return ' '
		}
		return r
	}, text)
}
