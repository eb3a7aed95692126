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

package engine

import (
	"errors"
	"fmt"
)

// CallBack calls an export from within a host function, while another export runs, and returns its
// result, or zero if it has none. If the export fails, the evaluation ends and CallBack does not
// return. The called export cannot make the host call back again.
func (i *Instance) CallBack(function string, params ...uint64) uint64 {
	if i.callingBack {
		i.Abort(fmt.Errorf("%s: the guest called the host during a callback", function))
	}
	// A handle has one stack, so a running function must not be called again through the same
	// handle. Callbacks therefore have their own handles.
	f, known := i.callbacks[function]
	if !known {
		f = i.guest.ExportedFunction(function)
		i.callbacks[function] = f
	}
	if f == nil {
		i.Abort(fmt.Errorf("%s: %w", function, errNoExport))
	}
	var stack [4]uint64
	t := i.module.rewritten.FunctionExports[function]
	if len(t.Params) != len(params) || len(params) > len(stack) || len(t.Results) > 1 {
		i.Abort(
			fmt.Errorf(
				"%s: function has %d parameters and %d results, but the host calls it with %d parameters and expects at most 1 result",
				function, len(t.Params), len(t.Results), len(params)))
	}
	copy(stack[:], params)
	i.callingBack = true
	if err := f.CallWithStack(&i.ctx, stack[:]); err != nil {
		cause, err := classify(err)
		i.unusable = i.unusable || cause == CauseStack
		panic(&stop{cause, fmt.Errorf("%s: %w", function, err)})
	}
	i.callingBack = false
	if len(t.Results) == 0 {
		return 0
	}
	return stack[0]
}

var errNoExport = errors.New("module does not export the function")

// MustGoOn ends the evaluation from within a host function if the evaluation's time is up or its
// caller has given up. Otherwise it returns. A host function calls it when it takes long or finds
// that its context has ended.
func (i *Instance) MustGoOn() {
	if s := i.meter.check(); s != nil {
		panic(s)
	}
}
