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

package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFuelProfile(t *testing.T) {
	p := &fuelProfile{}
	sample := p.sampler().Sample
	sample(1000, []string{"start"}) // while the module is loaded
	p.begin("labels")
	sample(100, []string{"decode", "validate", "main"})
	sample(50, []string{"decode", "decode", "validate", "main"})
	sample(30, []string{"validate", "main"})
	sample(20, []string{"bad;name\x1b[31m\nline", "main"})
	sample(7, nil)
	p.end()
	sample(1000, []string{"after"})
	var file, summary bytes.Buffer
	require.NoError(t, p.write(&file))
	require.Contains(t, file.String(),
		"labels;main;validate;decode 100\nlabels;main;validate;decode;decode 50\n")
	require.Equal(t, 4, strings.Count(file.String(), "\n"))
	require.NotContains(t, file.String(), "\x1b")
	require.NotContains(t, file.String(), "bad;name")
	p.summarize(&summary)
	lines := strings.Split(summary.String(), "\n")
	require.Equal(t, []string{"150", "75.0%", "150", "75.0%", "decode"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"30", "15.0%", "180", "90.0%", "validate"}, strings.Fields(lines[2]))
	require.Equal(t, []string{"0", "0.0%", "200", "100.0%", "main"}, strings.Fields(lines[4]))
}

// A guest may call functions in as many orders as it likes.
func TestFuelProfileIsBounded(t *testing.T) {
	p := &fuelProfile{}
	sample := p.sampler().Sample
	p.begin("labels")
	for n := range maxStacks + 10 {
		sample(1, []string{fmt.Sprint(n % 1000), fmt.Sprint(n)})
	}
	sample(1, []string{strings.Repeat("x", 1000)})
	require.Len(t, p.stacks, maxStacks+1)
	require.Equal(t, int64(11), p.stacks[manyStacks])
}
