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
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPicturesAreCurrent(t *testing.T) {
	images := t.TempDir()
	require.NoError(t, run(".", images))
	drawn, err := filepath.Glob(filepath.Join(images, "*.svg"))
	require.NoError(t, err)
	require.Len(t, drawn, 2)
	for _, file := range drawn {
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, xml.Unmarshal(want, new(any)))
		have, err := os.ReadFile(filepath.Join("../../docs/images", filepath.Base(file)))
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "run make generate")
	}
}

func TestSourcesAreChecked(t *testing.T) {
	const boxes = "columns: 2\nrows: 1\nboxes: [{id: a, at: [0, 0], text: [a & b]}, "
	for rest, problem := range map[string]string{
		"{id: b, at: [1, 0], text: [b]}]\narrows: [{from: a, to: b}]":   "",
		"{id: b, at: [2, 0], text: [b]}]":                               "outside the grid",
		"{id: b, at: [0, 0], text: [b]}]":                               "in the same cell",
		"{id: a, at: [1, 0], text: [b]}]":                               "duplicate box id",
		"{id: b, at: [1, 0], text: []}]":                                "0 lines of text",
		"{id: b, at: [1, 0], text: [" + strings.Repeat("b", 30) + "]}]": "too long",
		"{id: b, at: [1, 0], text: [b]}]\narrows: [{from: a, to: c}]":   "no box has this id",
		"{id: b, at: [1, 0], text: [b]}]\ncolour: red":                  "unknown field",
	} {
		svg, err := draw([]byte(boxes + rest))
		if problem != "" {
			require.ErrorContains(t, err, problem)
			continue
		}
		require.NoError(t, err)
		require.Contains(t, string(svg), "a &amp; b")
		require.Contains(t, string(svg), "M196,96 H228",
			"from the right edge of one box to the left edge of the other")
	}
}

func TestArrowsTurn(t *testing.T) {
	require.Equal(t, "M114,128 V168", path([2]int{0, 0}, [2]int{0, 1}))
	require.Equal(t, "M114,168 V128", path([2]int{0, 1}, [2]int{0, 0}))
	require.Equal(t, "M228,96 H196", path([2]int{1, 0}, [2]int{0, 0}))
	require.Equal(t, "M196,200 H310 V128", path([2]int{0, 1}, [2]int{1, 0}))
	require.Equal(t, "M228,96 H114 V168", path([2]int{1, 0}, [2]int{0, 1}))
}
