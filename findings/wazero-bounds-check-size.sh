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


# wazero 1.12.0 writes the code that leaves the guest again after each bounds check, on amd64 some fifty bytes for one
# comparison. Needs Go, on amd64.
#
# A good guess is that a check is a comparison and a jump to one exit for the whole function. Two functions load the same
# words, in ascending and in descending order. wazero knows that an access below one that was checked is in bounds, so
# the first function has a check for each load, and the second has one check. The difference is the size of the checks.

set -eu

VERSION=v1.12.0

[ "$(go env GOHOSTARCH)" = amd64 ] || {
	echo "this needs amd64, because it measures the code for amd64" >&2
	exit 1
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > main.go <<'PROGRAM'
package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
)

const (
	loads = 100
	seen  = 59 // bytes of a check
)

func section(m []byte, id byte, p ...byte) []byte {
	return append(append(append(m, id), number(uint32(len(p)))...), p...)
}

func number(n uint32) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// module exports f: (i32) -> i32, which adds up words that begin at the parameter.
func module(offset func(n int) int) []byte {
	body := []byte{0, 0x41, 0} // no locals; i32.const 0
	for n := range loads {
		body = append(append(body, 0x20, 0, 0x28, 2), number(uint32(4*offset(n)))...) // local.get 0; i32.load
		body = append(body, 0x6a)                                                    // i32.add
	}
	body = append(body, 0x0b)
	m := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	m = section(m, 1, 1, 0x60, 1, 0x7f, 1, 0x7f)
	m = section(m, 3, 1, 0)
	m = section(m, 5, 1, 0, 1)
	m = section(m, 7, 1, 1, 'f', 0, 0)
	return section(m, 10, append(append([]byte{1}, number(uint32(len(body)))...), body...)...)
}

// size returns the size of what wazero stores for a module, which is its machine code and a header.
func size(module []byte) (bytes int64) {
	ctx := context.Background()
	directory, err := os.MkdirTemp(".", "cache")
	if err != nil {
		panic(err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(directory)
	if err != nil {
		panic(err)
	}
	defer cache.Close(ctx)
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache))
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, module)
	if err != nil {
		panic(err)
	}
	if _, err := mod.ExportedFunction("f").Call(ctx, 0); err != nil {
		panic(err)
	}
	filepath.WalkDir(directory, func(_ string, entry fs.DirEntry, _ error) error {
		if info, err := entry.Info(); err == nil && !entry.IsDir() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

func main() {
	ascending := size(module(func(n int) int { return n }))
	descending := size(module(func(n int) int { return loads - 1 - n }))
	check := float64(ascending-descending) / (loads - 1)
	fmt.Printf("%d loads with %d checks: %d bytes\n", loads, loads, ascending)
	fmt.Printf("%d loads with 1 check: %d bytes\n", loads, descending)
	fmt.Printf("a check: %.1f bytes\n", check)
	if int(check+0.5) != seen {
		fmt.Printf("it was %d: see what the documents say about it\n", seen)
		os.Exit(1)
	}
}
PROGRAM

export CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off
go mod init finding >/dev/null 2>&1
go get "github.com/tetratelabs/wazero@$VERSION" >/dev/null 2>&1
go build -o finding .
echo "$(go version), wazero $(go list -m -f '{{.Version}}' github.com/tetratelabs/wazero)"
./finding
