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

package guestio

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// newInstance returns an instance that has only one page of memory.
func newInstance(t *testing.T, fuel int64) *engine.Instance {
	t.Helper()
	e, err := engine.New(engine.Options{
		Limits:      engine.Limits{Fuel: fuel, Timeout: time.Minute},
		Compilation: engine.InProcess,
	})
	require.NoError(t, err)
	m, err := e.Load(t.Context(), []byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01"),
		&engine.ABI{Name: "border"})
	require.NoError(t, err)
	i, err := m.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	t.Cleanup(func() {
		i.Release()
		m.Close()
		require.NoError(t, e.Close())
	})
	return i
}

// The guest pays for copied data by its length.
func TestCrossingTheBorderHasItsPrice(t *testing.T) {
	const long = 10_000
	x := bytes.Repeat([]byte{'x'}, long/2)
	read := func(i *engine.Instance, length uint32) []byte {
		return Read(i, "test", 0, length, long)
	}
	for _, test := range []struct {
		name  string
		least int64
		cross func(i *engine.Instance) error
	}{
		{"read", copyFuel * long, func(i *engine.Instance) error { read(i, long); return nil }},
		{"write", copyFuel * long, func(i *engine.Instance) error {
			Write(i, "test", 1, x, x)
			return nil
		}},
		{"fill", copyFuel * long, func(i *engine.Instance) error {
			return Fill(i, "test", 1, x, x)
		}},
		{"text", copyFuel * long, func(i *engine.Instance) error {
			i.Write(0, append(bytes.Repeat(x, 2), 0))
			_, err := Text(i, "test", 0, long)
			return err
		}},
		{"host call", textFuel * long, func(i *engine.Instance) error {
			env := StartEnvironment
			_, err := new(HostCalls).Take(i, &env, []uint64{0, 0, 0, 0, 0, 0, 0, long})
			require.ErrorContains(t, err, "Missing host callback function")
			return nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := newInstance(t, 0)
			require.NoError(t, test.cross(i))
			require.GreaterOrEqual(t, i.Usage().Fuel, test.least)

			poor := newInstance(t, test.least-1)
			defer func() {
				if err, aborted := recover().(error); aborted {
					require.Equal(t, engine.CauseFuel, engine.CauseOf(err))
				}
			}()
			require.Equal(t, engine.CauseFuel, engine.CauseOf(test.cross(poor)))
		})
	}
}

// A document is written completely or not at all.
func TestFill(t *testing.T) {
	const room = 10
	for _, test := range []struct {
		name  string
		fuel  int64
		parts [][]byte
		err   string
		want  string
	}{
		{name: "nothing", parts: [][]byte{{}, nil}, want: ""},
		{
			name: "in parts", parts: [][]byte{[]byte("abcde"), nil, []byte("fghij")},
			want: "abcdefghij",
		},
		{
			name: "no room", parts: [][]byte{[]byte("abcde"), []byte("fghijk")},
			err: "test: 11 bytes at address 65526 are outside the guest's memory",
		},
		{
			name: "no fuel", fuel: 9, parts: [][]byte{[]byte("abcde"), []byte("fghij")},
			err: "limit exceeded: 10 units of fuel, at most 9 are allowed: raise limits.fuel",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := newInstance(t, test.fuel)
			err := Fill(i, "test", engine.PageSize-room, test.parts...)
			if test.err != "" {
				require.EqualError(t, err, test.err)
			} else {
				require.NoError(t, err)
			}
			p, _ := i.Read(engine.PageSize-room, room)
			require.Equal(t, test.want, string(bytes.TrimRight(p, "\x00")))
		})
	}
}

func TestClone(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{
		0, 1, portion - 1, portion, portion + 1, 2 * portion, 3*portion + 7,
	} {
		p := make([]byte, size)
		_, _ = random.Read(p)
		c := Clone(p)
		require.Equal(t, p, c)
		if size > 0 {
			c[0]++
			require.NotEqual(t, p[0], c[0])
		}
	}
}
