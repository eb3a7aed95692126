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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLinesKeepTheBeginning(t *testing.T) {
	var b Lines
	var lines []string
	emit := func(line []byte) { lines = append(lines, string(line)) }
	for _, p := range []string{
		strings.Repeat("x", 90),
		strings.Repeat("y", 90),
		"\n\n",
		"next\nlast",
	} {
		b.Write([]byte(p), 100, emit)
	}
	require.Equal(t, []string{strings.Repeat("x", 90) + strings.Repeat("y", 10), "", "next"}, lines)
	b.Flush(emit)
	b.Flush(emit)
	require.Equal(t, "last", lines[len(lines)-1])
	require.Len(t, lines, 4)
}
