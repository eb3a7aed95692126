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
	"encoding/binary"
	"math"
)

// The layouts and types of subscriptions and events
// (https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#subscription).
const (
	subscriptionSize = 48
	eventSize        = 32

	eventClock   = 0
	eventFdRead  = 1
	eventFdWrite = 2

	clockRealtime  = 0
	clockMonotonic = 1
	// absoluteTime is the flag of a clock subscription for a point in time instead of a duration.
	absoluteTime = 1
)

// pollOneoff waits for the first of several events, within the evaluation's time, and reports the
// events that have occurred by then. Standard input is always readable, even if only to report its
// end. Writing never needs to wait.
func pollOneoff(i *Instance, params []uint64) uint32 {
	in, out, count, result := uint32(params[0]), uint32(params[1]), uint32(params[2]),
		uint32(params[3])
	if count == 0 || count > maxSubscriptions {
		return wasiInval
	}
	if _, ok := i.Read(out, count*eventSize); !ok {
		return wasiFault
	}
	texts, ok := i.Read(in, count*subscriptionSize)
	if !ok {
		return wasiFault
	}
	i.Pay(hostByteFuel * subscriptionSize * int64(count))
	subscriptions := make([]subscription, 0, count)
	first := uint64(math.MaxInt64)
	for ; len(texts) > 0; texts = texts[subscriptionSize:] {
		s, errno := i.subscription(texts)
		if errno != wasiSuccess {
			return errno
		}
		subscriptions = append(subscriptions, s)
		first = min(first, s.after)
	}
	if first > 0 {
		i.sleep(int64(first))
	}
	events := make([]byte, 0, count*eventSize)
	for _, s := range subscriptions {
		if s.after <= first {
			events = append(events, s.event[:]...)
		}
	}
	i.Write(out, events)
	return i.writeUint32(result, uint32(len(events)/eventSize))
}

// subscription is an event for which a guest waits.
type subscription struct {
	// after is the time until the event, in nanoseconds.
	after uint64
	// event is the encoded event that the guest gets.
	event [eventSize]byte
}

// subscription decodes a subscription.
func (i *Instance) subscription(text []byte) (s subscription, errno uint32) {
	kind, failure := text[8], uint32(wasiSuccess)
	// The descriptor, or the clock.
	number := binary.LittleEndian.Uint32(text[16:])
	switch {
	case kind == eventClock:
		s.after = binary.LittleEndian.Uint64(text[24:])
		if binary.LittleEndian.Uint16(text[40:])&absoluteTime != 0 {
			now, ok := i.now(number)
			if !ok {
				return s, wasiInval
			}
			s.after = max(s.after, now) - now
		}
	case kind > eventFdWrite:
		return s, wasiInval
	case number > 2:
		failure = wasiBadf
	case kind == eventFdWrite:
		failure = wasiNotsup
	}
	copy(s.event[:8], text) // the guest's user data
	binary.LittleEndian.PutUint16(s.event[8:], uint16(failure))
	s.event[10] = kind
	return s, wasiSuccess
}

// now returns a clock's time in nanoseconds.
func (i *Instance) now(clock uint32) (uint64, bool) {
	switch clock {
	case clockRealtime:
		seconds, nanoseconds := i.ambient.walltime()
		return uint64(seconds)*1e9 + uint64(nanoseconds), true
	case clockMonotonic:
		return uint64(i.ambient.nanotime()), true
	}
	return 0, false
}
