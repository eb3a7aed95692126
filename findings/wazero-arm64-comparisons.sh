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

# wazero 1.12.0 miscompiles a branch for arm64 that compares the result of an and with zero, if the comparison is an
# unsigned ordering or has zero on the left. Needs Go and, on other processors, qemu-aarch64 (Debian: apt-get install
# qemu-user).
#
# wazero fuses the and with the comparison, into an instruction that sets the flags. That is correct for equal and not
# equal, and for signed comparisons with zero on the right. But this instruction always clears the carry flag, which
# unsigned comparisons use. And with zero on the left, the operands are swapped.

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

func section(m []byte, id byte, p ...byte) []byte { return append(append(m, id, byte(len(p))), p...) }

// module exports f: (i32, i32) -> i32, which returns 1 if the parameters' common bits compare to zero as asked.
func module(compare byte, zeroFirst bool) []byte {
	m := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	m = section(m, 1, 1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f)
	m = section(m, 3, 1, 0)
	m = section(m, 7, 1, 1, 'f', 0, 0)
	zero, and := []byte{0x41, 0}, []byte{0x20, 0, 0x20, 1, 0x71}
	code := append(append([]byte{0}, and...), zero...)
	if zeroFirst {
		code = append(append([]byte{0}, zero...), and...)
	}
	code = append(code, compare, 0x04, 0x40, 0x41, 1, 0x0f, 0x0b, 0x41, 0, 0x0b)
	return section(m, 10, append([]byte{1, byte(len(code))}, code...)...)
}

func call(config wazero.RuntimeConfig, module []byte, a uint64) uint32 {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, module)
	if err != nil {
		panic(err)
	}
	results, err := mod.ExportedFunction("f").Call(ctx, a, 0xffffffff)
	if err != nil {
		panic(err)
	}
	return uint32(results[0])
}

func main() {
	cases := []struct {
		name      string
		compare   byte
		zeroFirst bool
		a         uint64
		right     uint32
	}{
		{"(6 & all) >u 0", 0x4b, false, 6, 1},
		{"(6 & all) >=u 0", 0x4f, false, 6, 1},
		{"(6 & all) <u 0", 0x49, false, 6, 0},
		{"(6 & all) <=u 0", 0x4d, false, 6, 0},
		{"0 <s (6 & all)", 0x48, true, 6, 1},
		{"0 >s (6 & all)", 0x4a, true, 6, 0},
	}
	wrong := 0
	for _, c := range cases {
		m := module(c.compare, c.zeroFirst)
		compiled, interpreted := call(wazero.NewRuntimeConfigCompiler(), m, c.a), call(wazero.NewRuntimeConfigInterpreter(), m, c.a)
		fmt.Printf("%-16s right %d, interpreted %d, compiled %d\n", c.name, c.right, interpreted, compiled)
		if interpreted == c.right && compiled != c.right {
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
