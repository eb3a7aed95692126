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
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	// answeringGuest is a guest that returns its settings as its response.
	answeringGuest = "test/wat/answer.wasm"
	// smallestAnswer and largestAnswer bound the sizes of responses. Each size is twice the
	// previous one.
	smallestAnswer, largestAnswer = 16 << 10, 1 << 20
	// maxAnswerGrowth is the factor by which the time may grow when the size doubles. A linear
	// reader takes twice as long, and a quadratic one four times.
	maxAnswerGrowth = 3
	// maxAnswerHeap is the number of bytes of Go heap that each byte of a response may use.
	maxAnswerHeap = 64
)

// answers are responses that should cost the host the most. Each has a beginning, a part that is
// repeated, and an end. %d is replaced by the number of the repetition.
var answers = map[string][3]string{
	"annotations":         {`{"accepted":true,"audit_annotations":{"a":"b"`, `,"k%d":"v"`, `}}`},
	"annotations, alike":  {`{"accepted":true,"audit_annotations":{"a":"b"`, `,"a":"v"`, `}}`},
	"warnings":            {`{"accepted":true,"warnings":["w"`, `,"%d"`, `]}`},
	"warnings, null":      {`{"accepted":true,"warnings":["w"`, `,null`, `]}`},
	"unknown fields":      {`{"accepted":true`, `,"f%d":1`, `}`},
	"known fields again":  {`{"accepted":true`, `,"message":"m"`, `}`},
	"escapes":             {`{"accepted":true,"message":"`, `\u00e9`, `"}`},
	"nesting":             {`{"accepted":true,"mutated_object":`, `[`, ``},
	"numbers":             {`{"accepted":true,"mutated_object":[0`, `,1e9`, `]}`},
	"digits":              {`{"accepted":true,"code":1`, `0`, `}`},
	"objects":             {`{"accepted":true,"mutated_object":[0`, `,{"a":{}}`, `]}`},
	"spaces":              {`{"accepted":true`, ` `, `}`},
	"names of a long key": {`{"accepted":true,"`, `k`, `":1}`},
}

// attackAnswers makes a guest return costly responses, of sizes that double up to a mebibyte. For
// each kind it prints what a byte costs.
func attackAnswers(ctx context.Context) (err error) {
	binary, err := os.ReadFile(answeringGuest)
	if err != nil {
		return fmt.Errorf("run this from the root of the repository: %w", err)
	}
	e, err := engine.New(engine.Options{
		Compilation: engine.InProcess,
		Limits:      engine.Limits{Timeout: time.Minute},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	guest, err := wapc.Load(ctx, e, binary)
	if err != nil {
		return err
	}
	defer guest.Close()
	growth, heapPerByte := 0.0, 0.0
	for name, parts := range answers {
		cost := map[int]time.Duration{}
		var allocated float64
		for size := smallestAnswer; size <= largestAnswer; size *= 2 {
			cost[size], allocated = costOf(ctx, guest, answerOf(parts, size))
			heapPerByte = max(heapPerByte, allocated)
		}
		grown := float64(cost[largestAnswer]) / float64(cost[largestAnswer/2])
		growth = max(growth, grown)
		fmt.Printf(
			"response with %s: %.1f ns and %.1f bytes of heap per byte, %.2f times as long for the last doubling\n",
			name, float64(cost[largestAnswer].Nanoseconds())/largestAnswer, allocated, grown)
	}
	figure.Print("answer_growth_max", growth, "ratio")
	figure.Print("answer_heap_per_byte_max", heapPerByte, "bytes")
	if growth > maxAnswerGrowth || heapPerByte > maxAnswerHeap {
		return fmt.Errorf(
			"a response of twice the size takes %.2f times as long, and a byte takes %.1f bytes of heap; %d and %d are allowed",
			growth, heapPerByte, maxAnswerGrowth, maxAnswerHeap)
	}
	return nil
}

// answerOf returns a response of about the given size.
func answerOf(parts [3]string, size int) []byte {
	var b strings.Builder
	b.WriteString(parts[0])
	for n := 0; b.Len() < size; n++ {
		if strings.Contains(parts[1], "%d") {
			fmt.Fprintf(&b, parts[1], n)
		} else {
			b.WriteString(parts[1])
		}
	}
	b.WriteString(parts[2])
	return []byte(b.String())
}

// costOf returns the lowest processor time of several evaluations with a response, and the heap
// that an evaluation uses for each byte of the response. It does not matter whether the host
// accepts the response.
func costOf(ctx context.Context, guest *wapc.Guest,
	answer []byte) (least time.Duration, perByte float64) {
	env := &abi.Environment{
		Limits:  abi.Limits{RequestBytes: 8 << 20, ResponseBytes: 8 << 20},
		Timeout: time.Minute,
	}
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := figure.ProcessorTime()
		_, _, _ = guest.Validate(ctx, env, []byte("{}"), answer)
		took := figure.ProcessorTime() - began
		runtime.ReadMemStats(&after)
		if least == 0 || took < least {
			least, perByte = took, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(answer))
		}
	}
	return max(least, 1), perByte
}
