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

// Package admissiontest defines test cases for policies, which say how a policy should answer a
// request, and runs them against a [Shell], which evaluates policies. A file of cases lies beside
// the files that it names, so that the directory can be moved.
package admissiontest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
)

const (
	// maxFileBytes bounds a file of cases, and each file that it names except for the module.
	maxFileBytes = 16 << 20
	// maxCases bounds the cases in one file.
	maxCases = 10_000
)

// File is a file of cases for one policy.
type File struct {
	// Path is the path of the file.
	Path string
	// Cases are the cases in the file.
	Cases []Case
}

// Case is a request, or settings alone, with the expected result.
type Case struct {
	// Name is the name of the case, which is unique in its file.
	Name string
	// Module is the path or URI of the policy's module. A path is absolute.
	Module string
	// ExecutionMode is the mode of a module without metadata, or "" if the metadata has it.
	ExecutionMode string
	// Settings are a JSON object.
	Settings json.RawMessage
	// Request is the content of the file at RequestPath: an AdmissionReview, an AdmissionRequest or
	// an object to create, in JSON or YAML, or anything if Raw is set. If it is nil, only the
	// settings are validated.
	Request     []byte
	RequestPath string
	Raw         bool
	// AllowContextAware grants the kinds that the module's metadata lists.
	AllowContextAware bool
	// Session is the path of a recorded session that answers host calls. With "", no host call is
	// answered.
	Session string
	// Expect is the expected result.
	Expect Expectation
}

// Expectation is an expected result. Nil fields are not compared.
type Expectation struct {
	// SettingsError is a part of the expected error about the settings. Nil expects valid settings.
	SettingsError *string
	// Allowed is the verdict.
	Allowed bool
	// Message is the complete message of the status, and MessageContains a part of it.
	Message, MessageContains *string
	// Code is the code of the status, or 0 for none.
	Code *int32
	// Warnings and AuditAnnotations are complete.
	Warnings         []string
	AuditAnnotations map[string]string
	// Object is the expected object after mutation, in JSON. Nil expects an unchanged object.
	Object json.RawMessage
}

// The structure of the file.
type (
	casesFile struct {
		Policy            string          `json:"policy"`
		ExecutionMode     string          `json:"executionMode"`
		Settings          json.RawMessage `json:"settings"`
		AllowContextAware bool            `json:"allowContextAware"`
		Raw               bool            `json:"raw"`
		Cases             []caseEntry     `json:"cases"`
	}
	caseEntry struct {
		Name     string          `json:"name"`
		Request  string          `json:"request"`
		Settings json.RawMessage `json:"settings"`
		Session  string          `json:"session"`
		Expect   expectEntry     `json:"expect"`
	}
	expectEntry struct {
		Allowed          *bool             `json:"allowed"`
		Message          *string           `json:"message"`
		MessageContains  *string           `json:"messageContains"`
		Code             *int32            `json:"code"`
		Warnings         []string          `json:"warnings"`
		AuditAnnotations map[string]string `json:"auditAnnotations"`
		Mutated          string            `json:"mutated"`
		Unchanged        bool              `json:"unchanged"`
		SettingsError    *string           `json:"settingsError"`
	}
)

// isCaseFile reports whether a file with this name holds cases.
func isCaseFile(name string) bool {
	extension := filepath.Ext(name)
	base := strings.TrimSuffix(name, extension)
	return (extension == ".yaml" || extension == ".yml") &&
		(base == "cases" || strings.HasSuffix(base, ".cases"))
}

// Find returns the sorted files of cases at the given paths. In directories and below, these are
// files with the name cases.yaml or the suffix .cases.yaml. A directory without any is an error.
func Find(paths ...string) ([]string, error) {
	var found []string
	for _, path := range paths {
		before := len(found)
		err := filepath.WalkDir(path, func(at string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && at != path &&
				(strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
				return fs.SkipDir
			case !entry.IsDir() && (at == path || isCaseFile(entry.Name())):
				found = append(found, at)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(found) == before {
			return nil, fmt.Errorf("%s holds no cases: write a cases.yaml", path)
		}
	}
	return found, nil
}

// Read reads a file of cases and the files that it names. The error names every invalid case.
func Read(path string) (*File, error) {
	content, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	wire, err := decode(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(wire.Cases) > maxCases {
		return nil, fmt.Errorf("%s: holds more than %d cases: split it", path, maxCases)
	}
	if len(wire.Cases) == 0 {
		return nil, fmt.Errorf("%s: cases: write at least one", path)
	}
	directory, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	r := &caseReader{file: wire, directory: directory, names: map[string]bool{}}
	file := &File{Path: path}
	var errs []error
	for n := range wire.Cases {
		c, err := r.read(&wire.Cases[n])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: cases[%d]: %w", path, n, err))
			continue
		}
		file.Cases = append(file.Cases, *c)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return file, nil
}

// decode decodes a file of cases. The error is one line and names the case.
func decode(content []byte) (*casesFile, error) {
	object, err := strictyaml.ToJSON(content)
	if err != nil {
		return nil, explain.YAML(err)
	}
	wire := &casesFile{}
	strict, err := kjson.UnmarshalStrict(object, wire)
	if err != nil {
		return nil, explain.Value(err)
	}
	var texts []string
	for _, err := range strict {
		for _, err := range explain.Strict(err) {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) > 0 {
		return nil, errors.New(strings.Join(texts, "; "))
	}
	return wire, nil
}

// caseReader converts the entries of a file into cases.
type caseReader struct {
	file      *casesFile
	directory string
	names     map[string]bool
}

func (r *caseReader) read(entry *caseEntry) (*Case, error) {
	c := &Case{
		Name:              entry.Name,
		Module:            r.file.Policy,
		ExecutionMode:     r.file.ExecutionMode,
		Settings:          r.file.Settings,
		Raw:               r.file.Raw,
		AllowContextAware: r.file.AllowContextAware || entry.Session != "",
		Session:           r.path(entry.Session),
	}
	if c.Module == "" {
		c.Module = "policy.wasm"
	}
	if !strings.Contains(c.Module, "://") {
		c.Module = r.path(c.Module)
	}
	if entry.Settings != nil {
		c.Settings = entry.Settings
	}
	if c.Settings == nil || string(c.Settings) == "null" {
		c.Settings = json.RawMessage("{}")
	}
	if c.Name == "" {
		c.Name = strings.TrimSuffix(filepath.Base(entry.Request), filepath.Ext(entry.Request))
	}
	if c.Name == "" || c.Name == "." {
		c.Name = "settings " + string(c.Settings)
	}
	c.Name = r.unique(c.Name)
	if entry.Request != "" {
		var err error
		c.RequestPath = r.path(entry.Request)
		if c.Request, err = readBounded(c.RequestPath); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
	}
	return c, r.expect(c, entry)
}

func (r *caseReader) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.directory, name)
}

// unique returns a name that no other case has.
func (r *caseReader) unique(name string) string {
	is := name
	for n := 2; r.names[is]; n++ {
		is = fmt.Sprintf("%s (%d)", name, n)
	}
	r.names[is] = true
	return is
}

// ofResponse reports whether the entry expects something of the response to a request.
func (e *expectEntry) ofResponse() bool {
	return e.Allowed != nil || e.Message != nil || e.MessageContains != nil || e.Code != nil ||
		e.Warnings != nil || e.AuditAnnotations != nil || e.Mutated != "" || e.Unchanged
}

// check returns an error for contradictory expectations.
func (e *expectEntry) check(settingsOnly bool) error {
	switch {
	case settingsOnly && e.ofResponse():
		return errors.New("expect: a response is expected without a request: add request")
	case e.SettingsError != nil && e.ofResponse():
		return errors.New(
			"expect: a policy that refuses its settings answers no request: remove settingsError, or everything else")
	case !settingsOnly && e.Allowed == nil && e.SettingsError == nil:
		return errors.New("expect.allowed: write true or false")
	case e.Mutated != "" && e.Unchanged:
		return errors.New("expect: mutated and unchanged exclude each other: remove one")
	case e.Message != nil && e.MessageContains != nil:
		return errors.New("expect: message and messageContains exclude each other: remove one")
	}
	return nil
}

// expect sets the expectation of a case.
func (r *caseReader) expect(c *Case, entry *caseEntry) error {
	e := &entry.Expect
	settingsOnly := c.Request == nil
	if err := e.check(settingsOnly); err != nil {
		return err
	}
	c.Expect = Expectation{
		SettingsError: e.SettingsError, Allowed: e.Allowed != nil && *e.Allowed,
		Message: e.Message, MessageContains: e.MessageContains, Code: e.Code,
		Warnings: e.Warnings, AuditAnnotations: e.AuditAnnotations,
	}
	if e.Unchanged || settingsOnly || !c.Expect.Allowed && e.Mutated == "" {
		return nil
	}
	mutated, implied := r.path(e.Mutated), e.Mutated == ""
	if implied {
		request := r.path(entry.Request)
		mutated = filepath.Join(filepath.Dir(request), "mutated", filepath.Base(request))
	}
	object, err := readBounded(mutated)
	if implied && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !json.Valid(object) {
		if object, err = strictyaml.ToJSON(object); err != nil {
			err = fmt.Errorf("%s: %w", mutated, explain.YAML(err))
		}
	}
	c.Expect.Object = object
	return err
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(content) > maxFileBytes {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return content, err
}

// Filter returns the cases whose names contain the text. It drops files without any such case.
func Filter(files []*File, text string) []*File {
	var kept []*File
	for _, file := range files {
		is := &File{
			Path: file.Path,
			Cases: slices.DeleteFunc(slices.Clone(file.Cases), func(c Case) bool {
				return !strings.Contains(c.Name, text)
			}),
		}
		if len(is.Cases) > 0 {
			kept = append(kept, is)
		}
	}
	return kept
}
