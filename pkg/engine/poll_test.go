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

package engine_test

import (
	le "encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// subscription encodes a subscription: a kind of event, the number of a descriptor or a clock, and
// for a clock the time and whether it is absolute. id is the guest's user data.
func subscription(id uint64, kind byte, number uint32, timeout uint64, absolute bool) []byte {
	s := le.LittleEndian.AppendUint64(nil, id)
	s = append(s, kind, 0, 0, 0, 0, 0, 0, 0)
	s = le.LittleEndian.AppendUint32(s, number)
	s = le.LittleEndian.AppendUint64(append(s, 0, 0, 0, 0), timeout)
	s = le.LittleEndian.AppendUint64(s, 0) // precision
	flags := []byte{0, 0, 0, 0, 0, 0, 0, 0}
	if absolute {
		flags[0] = 1
	}
	return append(s, flags...)
}

// event is what a guest receives: the id, the error number, and the kind.
type event struct {
	id    uint64
	errno uint16
	kind  byte
}

func poll(t *testing.T, i *engine.Instance,
	subscriptions ...[]byte) (errno uint64, events []event, err error) {
	t.Helper()
	at := uint32(0)
	for _, s := range subscriptions {
		require.True(t, i.Write(at, s))
		at += uint32(len(s))
	}
	errno, err = i.Call("poll", uint64(len(subscriptions)))
	if errno != 0 || err != nil {
		return errno, nil, err
	}
	count, ok := i.Read(4096, 4)
	require.True(t, ok)
	for n := range le.LittleEndian.Uint32(count) {
		e, ok := i.Read(1024+32*n, 32)
		require.True(t, ok)
		events = append(events,
			event{le.LittleEndian.Uint64(e), le.LittleEndian.Uint16(e[8:]), e[10]})
	}
	return errno, events, nil
}

func TestPoll(t *testing.T) {
	const clock, read, write = 0, 1, 2
	const realtime, monotonic = 0, 1
	const never = math.MaxUint64
	m := loadFor(t, engine.Options{}, "poll", &engine.ABI{Name: "test"})
	for name, test := range map[string]struct {
		subscriptions [][]byte
		errno         uint64
		events        []event
	}{
		"read": {[][]byte{subscription(7, read, 0, 0, false)}, 0,
			[]event{{7, 0, read}}},
		"read before a clock": {[][]byte{
			subscription(1, clock, monotonic, never, false),
			subscription(2, read, 0, 0, false),
		}, 0, []event{{2, 0, read}}},
		"read and a clock at once": {[][]byte{
			subscription(1, clock, monotonic, 0, false),
			subscription(2, read, 0, 0, false),
		}, 0, []event{{1, 0, clock}, {2, 0, read}}},
		"the first clock": {[][]byte{subscription(1, clock, monotonic, never, false),
			subscription(2, clock, monotonic, 1000, false),
			subscription(3, clock, realtime, 1000, false)}, 0,
			[]event{{2, 0, clock}, {3, 0, clock}}},
		"a time that has passed": {[][]byte{subscription(1, clock, realtime, 1, true),
			subscription(2, clock, monotonic, 1, true),
			subscription(3, clock, realtime, never, true)}, 0,
			[]event{{1, 0, clock}, {2, 0, clock}}},
		"an unknown clock": {[][]byte{subscription(1, clock, 9, 1, true)}, 28, nil},
		"an unknown kind":  {[][]byte{subscription(1, 3, 0, 0, false)}, 28, nil},
		"a descriptor that is closed": {[][]byte{
			subscription(1, clock, monotonic, never, false),
			subscription(2, read, 5, 0, false),
		}, 0, []event{{2, 8, read}}},
		"write": {[][]byte{subscription(1, write, 1, 0, false)}, 0,
			[]event{{1, 58, write}}},
	} {
		t.Run(name, func(t *testing.T) {
			evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
				errno, events, err := poll(t, i, test.subscriptions...)
				require.NoError(t, err)
				require.Equal(t, test.errno, errno)
				require.Equal(t, test.events, events)
			})
		})
	}
	t.Run("beyond the evaluation's time", func(t *testing.T) {
		evaluate(t, m, engine.Evaluation{Timeout: 10 * time.Millisecond}, func(i *engine.Instance) {
			_, _, err := poll(t, i, subscription(1, clock, monotonic, never, false))
			require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
		})
	})
}
