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

// Package admissiontest has cases for policies, which say what a policy makes of a
// request, and runs them against anything that evaluates policies: a [Shell]. A file of
// cases lies beside what it is about, so that it can be run wherever the directory is.
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
	// maxFileBytes bounds a file of cases and each file that it names but the module.
	maxFileBytes = 16 << 20
	// maxCases bounds the cases in one file.
	maxCases = 10_000
)

// File is a file of cases, all of one policy.
type File struct {
	// Path is where it was read.
	Path string
	// Cases are what is in it.
	Cases []Case
}

// Case is a request, or settings alone, and what a policy makes of it.
type Case struct {
	// Name tells the case from others of its file, in which it is unique.
	Name string
	// Module is the path or URI of the policy's module. A path is absolute.
	Module string
	// ExecutionMode is that of a module which does not say; "" if it does.
	ExecutionMode string
	// Settings are a JSON object.
	Settings json.RawMessage
	// Request is what the file at RequestPath holds: an AdmissionReview, an AdmissionRequest
	// or an object to create, in JSON or YAML, or anything if Raw is set. nil means that the
	// policy is asked about its settings only.
	Request     []byte
	RequestPath string
	Raw         bool
	// AllowContextAware grants the kinds that the module asks for.
	AllowContextAware bool
	// Session is the path of a recorded session that answers host calls; "" means that
	// none is answered.
	Session string
	// Expect is what has to come of it.
	Expect Expectation
}

// Expectation is what has to come of a case. What is nil is not looked at.
type Expectation struct {
	// SettingsError is a part of why the policy refuses its settings; nil means that it
	// has to accept them.
	SettingsError *string
	// Allowed is the verdict.
	Allowed bool
	// Message is the whole of the status' message, MessageContains a part of it.
	Message, MessageContains *string
	// Code is that of the status, 0 for none.
	Code *int32
	// Warnings and AuditAnnotations are all of them.
	Warnings         []string
	AuditAnnotations map[string]string
	// Object is what becomes of the request's object, in JSON; nil means that it stays as
	// it is.
	Object json.RawMessage
}

// The file as it is written.
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

// isCaseFile is whether a file of that name holds cases.
func isCaseFile(name string) bool {
	extension := filepath.Ext(name)
	base := strings.TrimSuffix(name, extension)
	return (extension == ".yaml" || extension == ".yml") && (base == "cases" || strings.HasSuffix(base, ".cases"))
}

// Find returns the files of cases at paths, in order: those in a directory, and below it,
// are called cases.yaml or end with .cases.yaml. It is an error if a directory has none.
func Find(paths ...string) ([]string, error) {
	var found []string
	for _, path := range paths {
		before := len(found)
		err := filepath.WalkDir(path, func(at string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && at != path && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
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

// Read reads a file of cases and the files that it names. The error names every case that
// is wrong.
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

// decode reads a file of cases. The error names the case of what is wrong, on one line.
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

// caseReader makes cases of what a file says.
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

// unique returns a name that no case has yet.
func (r *caseReader) unique(name string) string {
	is := name
	for n := 2; r.names[is]; n++ {
		is = fmt.Sprintf("%s (%d)", name, n)
	}
	r.names[is] = true
	return is
}

// ofResponse is whether something is expected of the response to a request.
func (e *expectEntry) ofResponse() bool {
	return e.Allowed != nil || e.Message != nil || e.MessageContains != nil || e.Code != nil ||
		e.Warnings != nil || e.AuditAnnotations != nil || e.Mutated != "" || e.Unchanged
}

// check says whether what is expected can be.
func (e *expectEntry) check(settingsOnly bool) error {
	switch {
	case settingsOnly && e.ofResponse():
		return errors.New("expect: what becomes of a request is not known without one: add request")
	case e.SettingsError != nil && e.ofResponse():
		return errors.New("expect: a policy that refuses its settings answers no request: remove settingsError, or all else")
	case !settingsOnly && e.Allowed == nil && e.SettingsError == nil:
		return errors.New("expect.allowed: write true or false")
	case e.Mutated != "" && e.Unchanged:
		return errors.New("expect: mutated and unchanged exclude each other: remove one")
	case e.Message != nil && e.MessageContains != nil:
		return errors.New("expect: message and messageContains exclude each other: remove one")
	}
	return nil
}

// expect reads what is expected of a case.
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

// Filter returns the cases whose name has the text in it, and drops files that have none
// left.
func Filter(files []*File, text string) []*File {
	var kept []*File
	for _, file := range files {
		is := &File{Path: file.Path, Cases: slices.DeleteFunc(slices.Clone(file.Cases), func(c Case) bool { return !strings.Contains(c.Name, text) })}
		if len(is.Cases) > 0 {
			kept = append(kept, is)
		}
	}
	return kept
}
