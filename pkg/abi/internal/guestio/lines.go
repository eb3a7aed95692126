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

// Lines splits a guest's output into lines. It keeps only the beginning of a line that is too long.
type Lines struct{ line []byte }

// Write adds output and passes each complete line to emit. Emit may use the line only during the
// call. Write keeps the first limit bytes of each line.
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

// Flush passes an unfinished last line to emit.
func (l *Lines) Flush(emit func(line []byte)) {
	if len(l.line) > 0 {
		emit(l.line)
		l.line = l.line[:0]
	}
}

// Log passes a line to the environment's log, if there is one.
func Log(ctx context.Context, env *abi.Environment, source string, line []byte) {
	if env.Log != nil {
		env.Log.Line(ctx, source, strings.ToValidUTF8(string(line), "\uFFFD"))
	}
}
