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

package wapc

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCall(t *testing.T) {
	Register("echo", func(payload []byte) ([]byte, error) { return payload, nil })
	Register("fail", func([]byte) ([]byte, error) { return nil, errors.New("no") })
	t.Cleanup(func() { clear(handlers) })

	response, err := call("echo", []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(response))

	_, err = call("fail", nil)
	require.EqualError(t, err, "no")

	_, err = call("absent", nil)
	require.EqualError(t, err, `could not find function "absent"`)
}

func TestHostCallOutsideWasm(t *testing.T) {
	_, err := HostCall("kubewarden", "tracing", "log", nil)
	require.Equal(t, HostError("not running in a waPC host"), err)
}
