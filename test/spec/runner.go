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

package spec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/pkg/engine/enginetest"
)

// figures counts assertions.
type figures struct {
	passed, failed int
	failures       []string
}

// runner runs one script in both stores.
type runner struct {
	dir              string
	plain, rewritten *store
	figures          *figures
}

// run runs the wast2json script at path, on modules rewritten with options.
func run(ctx context.Context, features api.CoreFeatures, path string, spectest []byte,
	o enginetest.Options, f *figures) (err error) {
	s, err := readScript(path)
	if err != nil {
		return err
	}
	r := &runner{dir: filepath.Dir(path), figures: f}
	if r.plain, err = newStore(ctx, features, spectest, unchanged); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.plain.runtime.Close(ctx)) }()
	if r.rewritten, err = newStore(ctx, features, spectest, func(module []byte) ([]byte, error) {
		return rewrittenWith(module, o)
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.rewritten.runtime.Close(ctx)) }()
	for i := range s.Commands {
		c := &s.Commands[i]
		checked, err := r.command(ctx, c, registeredAs(s.Commands[i:]))
		if err != nil {
			f.failed++
			f.failures = append(f.failures,
				fmt.Sprintf("%s:%d %s: %v", filepath.Base(path), c.Line, c.Type, err))
		} else if checked {
			f.passed++
		}
	}
	return nil
}

// registeredAs returns the name by which later modules import the module of the first command.
// wazero needs the name when it instantiates the module.
func registeredAs(commands []command) string {
	first := &commands[0]
	for i := range commands[1:] {
		c := &commands[1+i]
		switch {
		case c.Type == "register" && (c.Name == first.Name || i == 0):
			return c.As
		case c.Type == "module" && first.Name == "":
			return ""
		}
	}
	return ""
}

// command runs a command. It returns whether the command is an assertion.
func (r *runner) command(ctx context.Context, c *command, as string) (bool, error) {
	switch c.Type {
	case "module":
		return false, r.module(ctx, c, as)
	case "register":
		return false, nil // the module is registered when it is instantiated
	case "assert_return", "action":
		return c.Type == "assert_return", r.returns(ctx, c)
	case "assert_trap", "assert_exhaustion":
		return true, r.traps(ctx, c)
	case "assert_invalid", "assert_malformed", "assert_unlinkable", "assert_uninstantiable":
		if c.ModuleType == "text" {
			return false, nil // we do not read the text format
		}
		return true, r.fails(ctx, c)
	}
	return false, fmt.Errorf("unknown command")
}

func (r *runner) read(c *command) ([]byte, error) {
	return os.ReadFile(filepath.Join(r.dir, c.Filename))
}

func (r *runner) module(ctx context.Context, c *command, as string) error {
	module, err := r.read(c)
	if err != nil {
		return err
	}
	for _, s := range []*store{r.plain, r.rewritten} {
		if s.last, err = s.instantiate(ctx, module, as); err != nil {
			return err
		}
		if c.Name != "" {
			s.modules[c.Name] = s.last
		}
	}
	return nil
}

func (r *runner) returns(ctx context.Context, c *command) error {
	if _, err := r.plain.act(ctx, &c.Action); err != nil {
		return fmt.Errorf("plain: %w", err)
	}
	words, err := r.rewritten.act(ctx, &c.Action)
	if err != nil {
		return err
	}
	for i, expected := range c.Expected {
		ok, taken, err := expected.matches(words)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("result %d of %q is %x, expected %s", i, c.Action.Field,
				words[:min(taken, len(words))], expected.Value)
		}
		words = words[taken:]
	}
	if len(words) > 0 {
		return fmt.Errorf("%q returned more than expected: %x", c.Action.Field, words)
	}
	return nil
}

func (r *runner) traps(ctx context.Context, c *command) error {
	_, plain := r.plain.act(ctx, &c.Action)
	_, err := r.rewritten.act(ctx, &c.Action)
	if err == nil || trap(err) != trap(plain) {
		return fmt.Errorf("%q ended with %q, expected %q", c.Action.Field, trap(err), trap(plain))
	}
	return nil
}

// fails checks that a module cannot be used. wazero accepts a few modules that it should refuse.
// The rewritten store must accept these too.
func (r *runner) fails(ctx context.Context, c *command) error {
	module, err := r.read(c)
	if err != nil {
		return err
	}
	_, plain := r.plain.instantiate(ctx, module, "")
	_, err = r.rewritten.instantiate(ctx, module, "")
	if plain != nil && err == nil {
		return fmt.Errorf("accepted, expected an error like: %w", plain)
	}
	if plain == nil && err != nil && c.Type != "assert_invalid" && c.Type != "assert_malformed" {
		return fmt.Errorf("wazero accepts the module, but the rewriter refuses it: %w", err)
	}
	return nil
}
