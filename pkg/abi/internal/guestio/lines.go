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

package guestio

import (
	"bytes"
	"context"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// Lines cuts what a guest prints into lines. Of a line that is too long it keeps the
// beginning.
type Lines struct{ line []byte }

// Write takes more of what is printed, and gives each line that is whole to emit, for
// the time of the call. Of a line it keeps limit bytes.
func (l *Lines) Write(p []byte, limit int64, emit func(line []byte)) {
	for len(p) > 0 {
		text, rest, ended := bytes.Cut(p, []byte("\n"))
		room := limit - int64(len(l.line))
		l.line = append(l.line, text[:min(int64(len(text)), room)]...)
		if ended {
			emit(l.line)
			l.line = l.line[:0]
		}
		p = rest
	}
}

// Flush gives emit what was printed without ending the line.
func (l *Lines) Flush(emit func(line []byte)) {
	if len(l.line) > 0 {
		emit(l.line)
		l.line = l.line[:0]
	}
}

// Log hands a line to the environment's log, if it has one.
func Log(ctx context.Context, env *abi.Environment, source string, line []byte) {
	if env.Log != nil {
		env.Log.Line(ctx, source, strings.ToValidUTF8(string(line), "\uFFFD"))
	}
}
