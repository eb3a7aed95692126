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

package rego

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// documents are the input and data of an evaluation. All parts are JSON from the host.
type documents struct {
	input, data text
	// limited is the number of bytes that count against the limit of a request. It excludes the
	// cluster inventory, which only the guest's memory bounds.
	limited int64
}

// documents builds the documents from request, settings and inventory in the layout of the guest's
// mode.
func (g *Guest) documents(ctx context.Context, env *abi.Environment, request,
	settings []byte) (d documents, err error) {
	inventory, err := g.inventory(ctx, env)
	if err != nil {
		return d, err
	}
	if g.mode == abi.ExecutionModeGatekeeper {
		d.input = text{
			[]byte(`{"parameters":`),
			settings,
			[]byte(`,"review":`),
			request,
			[]byte(`}`),
		}
		d.data, d.limited = text{[]byte(`{}`)}, d.input.size()
		if inventory != nil {
			d.data = text{[]byte(`{"inventory":`), inventory, []byte(`}`)}
		}
		return d, nil
	}
	d.input = text{[]byte(`{"request":`), request, []byte(`}`)}
	d.data = text{settings}
	if inventory != nil {
		if settings, err = g.withoutKubernetes(settings); err != nil {
			return d, err
		}
		d.data = text{[]byte(`{"kubernetes":`), inventory, settings}
	}
	d.limited = d.input.size() + int64(len(settings))
	return d, nil
}

// inventory returns the cluster data that the policy may read, or nil if it may read none. The wait
// for it counts as part of the evaluation's time.
func (g *Guest) inventory(ctx context.Context, env *abi.Environment) ([]byte, error) {
	if env.Inventory == nil {
		return nil, nil
	}
	document, _, err := env.Inventory.Inventory(ctx, g.mode)
	if err != nil {
		cause := engine.CauseOther
		if ctx.Err() != nil {
			cause = engine.CauseDeadline
		}
		return nil, g.failure(cause, fmt.Errorf("reading the policy's cluster inventory: %w", err))
	}
	return document, nil
}

// settingsRest caches settings without the key of the inventory.
type settingsRest struct{ settings, rest []byte }

// withoutKubernetes returns the members of the settings that follow the inventory in the data. It
// caches the result, because all evaluations of a policy use the same settings.
func (g *Guest) withoutKubernetes(settings []byte) ([]byte, error) {
	if r := g.rest.Load(); r != nil && bytes.Equal(r.settings, settings) {
		return r.rest, nil
	}
	rest, err := withoutKubernetes(settings)
	if err != nil {
		return nil, err
	}
	g.rest.Store(&settingsRest{settings, rest})
	return rest, nil
}

// withoutKubernetes returns the members of an object except kubernetes, whose place the inventory
// takes. The result is the end of an object, to follow earlier members.
func withoutKubernetes(settings []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(settings, &members); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	delete(members, "kubernetes")
	if len(members) == 0 {
		return []byte(`}`), nil
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	rest[0] = ','
	return rest, nil
}
