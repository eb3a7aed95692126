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

// Command drawing draws the pictures in docs/architecture.md. It turns each YAML file in the
// directory SOURCES into an SVG in the directory IMAGES.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// source describes a picture: boxes on a grid, and arrows between them.
type source struct {
	Title   string  `json:"title"`
	Columns int     `json:"columns"`
	Rows    int     `json:"rows"`
	Areas   []area  `json:"areas"`
	Boxes   []box   `json:"boxes"`
	Arrows  []arrow `json:"arrows"`
}

// area is a frame around all boxes from one cell to another.
type area struct {
	Text string `json:"text"`
	From [2]int `json:"from"`
	To   [2]int `json:"to"`
}

// box is a box in the cell At: column, then row.
type box struct {
	ID   string   `json:"id"`
	At   [2]int   `json:"at"`
	Text []string `json:"text"`
	Note string   `json:"note"`
}

type arrow struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Both draws an arrowhead at each end.
	Both bool `json:"both"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: drawing SOURCES IMAGES")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "drawing:", err)
		os.Exit(1)
	}
}

func run(sources, images string) error {
	files, err := filepath.Glob(filepath.Join(sources, "*.yaml"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		svg, err := draw(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml") + ".svg"
		errs = append(errs, os.WriteFile(filepath.Join(images, name), svg, 0o644)) //nolint:gosec // a picture
	}
	return errors.Join(errs...)
}

// draw returns the picture.
func draw(text []byte) ([]byte, error) {
	var s source
	if err := yaml.UnmarshalStrict(text, &s); err != nil {
		return nil, err
	}
	boxes, err := s.check()
	if err != nil {
		return nil, err
	}
	return s.svg(boxes), nil
}

// check validates the source and returns the boxes by id.
func (s *source) check() (map[string]box, error) {
	boxes, cells := map[string]box{}, map[[2]int]string{}
	for _, b := range s.Boxes {
		switch {
		case b.At[0] < 0 || b.At[0] >= s.Columns || b.At[1] < 0 || b.At[1] >= s.Rows:
			return nil, fmt.Errorf("box %q is outside the grid: raise columns or rows", b.ID)
		case boxes[b.ID].ID != "":
			return nil, fmt.Errorf("duplicate box id %q: use another id", b.ID)
		case cells[b.At] != "":
			return nil, fmt.Errorf("boxes %q and %q are in the same cell: move one", cells[b.At], b.ID)
		case len(b.Text) == 0 || len(b.Text) > 2:
			return nil, fmt.Errorf(
				"box %q has %d lines of text: write one or two", b.ID, len(b.Text))
		}
		for _, line := range append([]string{b.Note}, b.Text...) {
			if len(line) > longestLine {
				return nil, fmt.Errorf("box %q: %q is too long: write at most %d letters", b.ID,
					line, longestLine)
			}
		}
		boxes[b.ID], cells[b.At] = b, b.ID
	}
	for _, a := range s.Arrows {
		for _, end := range []string{a.From, a.To} {
			if boxes[end].ID == "" {
				return nil, fmt.Errorf("an arrow names %q, but no box has this id", end)
			}
		}
	}
	return boxes, nil
}
