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

package codecache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// What stands beside the lock: directories named by a key, and files named by a
// key and a suffix.
const (
	lockName        = "lock"
	manifestSuffix  = ".manifest"
	temporarySuffix = ".tmp"
)

// Key names an entry.
type Key [sha256.Size]byte

// KeyOf returns the key of the code that is made from a module. The parts are
// everything else on which the code, or whether it can be read, depends: the
// version of the compiler, the system, the architecture, the settings of the
// compiler. Each argument is hashed with its length, so that no two lists of
// arguments run together.
//
// The features of the CPU need not be among them: wazero puts those into the
// name of its file (see [Entry.Commit]).
func KeyOf(module []byte, parts ...string) Key {
	h := sha256.New()
	var length [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(length[:])
		h.Write(b)
	}
	write(module)
	for _, part := range parts {
		write([]byte(part))
	}
	return Key(h.Sum(nil))
}

// String returns the key as 64 lower-case hexadecimal digits.
func (k Key) String() string {
	return hex.EncodeToString(k[:])
}

// parseName takes the name of a part of an entry apart.
func parseName(name string) (key Key, suffix string, ok bool) {
	digits, extension, found := strings.Cut(name, ".")
	if found {
		suffix = "." + extension
	}
	switch suffix {
	case "", manifestSuffix, temporarySuffix:
	default:
		return Key{}, "", false
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(key) {
		return Key{}, "", false
	}
	key = Key(b)
	return key, suffix, key.String() == digits
}
