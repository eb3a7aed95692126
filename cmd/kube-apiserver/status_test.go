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
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRenewEvery(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":      0,
		"100ms": 100 * time.Millisecond,
		"3m":    3 * time.Minute,
	} {
		got, err := renewEvery(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"99ms", "181s", "-1s", "often"} {
		_, err := renewEvery(text)
		require.ErrorContains(t, err, "environment variable WASM_ADMISSION_STATUS_INTERVAL: \""+
			text+"\" is not a duration from 100ms to 3m0s, such as 40s")
	}
}
