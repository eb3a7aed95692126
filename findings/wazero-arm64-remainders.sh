#!/bin/sh
# Copyright The WasmAdmission Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

# wazero 1.12.0 miscompiles remainders and i64x2.bitmask for arm64 when few registers are free. Needs Go and, on other
# processors, qemu-aarch64 (Debian: apt-get install qemu-user).
#
# The code writes the result's register twice, and needs other registers in between. If the register allocator spills the
# register there, it reloads the value from a slot that was never written, because it stores only after the last write.

set -eu

VERSION=v1.12.0

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

run=
if [ "$(uname -m)" != aarch64 ]; then
	run=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || {
		echo "qemu-aarch64 is missing: apt-get install qemu-user" >&2
		exit 1
	}
fi

cat > main.go <<'PROGRAM'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/tetratelabs/wazero"
)

const count = 40 // values that are live at the same time

func number(b []byte, v int) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func section(m []byte, id byte, p ...byte) []byte {
	return append(number(append(m, id), len(p)), p...)
}

func body(code []byte) []byte { return append(number(nil, len(code)), code...) }

// module exports f: () -> integer. A loop that also makes calls sets count locals with an instruction, and f returns
// their sum. The instruction's operands are in two locals of type operand.
func module(integer, operand byte, prepare, instruction []byte, add byte) []byte {
	m := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	m = section(m, 1, 2, 0x60, 0, 0, 0x60, 0, 1, integer)
	m = section(m, 3, 2, 0, 1)
	m = section(m, 7, 1, 1, 'f', 0, 1)
	get := func(b []byte, n int) []byte { return number(append(b, 0x20), n) }
	set := func(b []byte, n int) []byte { return number(append(b, 0x21), n) }
	f := append([]byte{3, 2, operand}, append(number(nil, count), integer)...)
	f = append(f, 1, 0x7f)
	f = append(f, prepare...)
	f = append(f, 0x03, 0x40, 0x10, 0)
	for n := range count {
		f = set(append(f, instruction...), 2+n)
	}
	f = append(get(f, 2+count), 0x41, 1, 0x6a, 0x22, 2+count, 0x41, 3, 0x49, 0x0d, 0, 0x0b)
	f = get(f, 2)
	for n := 1; n < count; n++ {
		f = append(get(f, 2+n), add)
	}
	f = append(f, 0x0b)
	return section(m, 10, append(append([]byte{2}, body([]byte{0, 0x0b})...), body(f)...)...)
}

func call(config wazero.RuntimeConfig, module []byte) uint64 {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, module)
	if err != nil {
		panic(err)
	}
	results, err := mod.ExportedFunction("f").Call(ctx)
	if err != nil {
		panic(err)
	}
	return results[0]
}

func main() {
	i32 := []byte{0x41, 23, 0x21, 0, 0x41, 10, 0x21, 1} // 23 and 10
	i64 := []byte{0x42, 23, 0x21, 0, 0x42, 10, 0x21, 1}
	v128 := []byte{0x42, 0x7f, 0xfd, 0x12, 0x21, 0} // both lanes are -1
	wrong := 0
	cases := []struct {
		name   string
		module []byte
		want   uint64
	}{
		{"i32.rem_s", module(0x7f, 0x7f, i32, []byte{0x20, 0, 0x20, 1, 0x6f}, 0x6a), 3 * count},
		{"i32.rem_u", module(0x7f, 0x7f, i32, []byte{0x20, 0, 0x20, 1, 0x70}, 0x6a), 3 * count},
		{"i64.rem_s", module(0x7e, 0x7e, i64, []byte{0x20, 0, 0x20, 1, 0x81}, 0x7c), 3 * count},
		{"i64.rem_u", module(0x7e, 0x7e, i64, []byte{0x20, 0, 0x20, 1, 0x82}, 0x7c), 3 * count},
		{"i64x2.bitmask", module(0x7f, 0x7b, v128, []byte{0x20, 0, 0xfd, 0xc4, 1}, 0x6a), 3 * count},
	}
	for _, c := range cases {
		compiled, interpreted := call(wazero.NewRuntimeConfigCompiler(), c.module), call(wazero.NewRuntimeConfigInterpreter(), c.module)
		fmt.Printf("%-14s right %d, interpreted %d, compiled %d\n", c.name, c.want, interpreted, compiled)
		if interpreted == c.want && compiled != c.want {
			wrong++
		}
	}
	if wrong != len(cases) {
		fmt.Printf("only %d of %d are wrong: see what can be taken out\n", wrong, len(cases))
		os.Exit(1)
	}
}
PROGRAM

export GOOS=linux GOARCH=arm64 CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off
go mod init finding >/dev/null 2>&1
go get "github.com/tetratelabs/wazero@$VERSION" >/dev/null 2>&1
go build -o finding .
echo "$(go version), wazero $(go list -m -f '{{.Version}}' github.com/tetratelabs/wazero), ${run:+under }$(${run:-uname} ${run:+--version} | head -n 1)"
$run ./finding
