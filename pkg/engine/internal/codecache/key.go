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

// The names beside the lock: a directory is named by its key, a file by its key and a suffix.
const (
	lockName        = "lock"
	manifestSuffix  = ".manifest"
	temporarySuffix = ".tmp"
)

// Key identifies an entry.
type Key [sha256.Size]byte

// KeyOf returns the key of the code compiled from a module. The parts are everything else that the
// code, or the ability to read it, depends on: the compiler's version and settings, the system, and
// the architecture. Each argument is hashed with its length, so that different argument lists never
// hash alike.
//
// The parts need not include CPU features: wazero puts those into its file name (see
// [Entry.Commit]).
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

// String returns the key as 64 lowercase hexadecimal digits.
func (k Key) String() string {
	return hex.EncodeToString(k[:])
}

// parseName splits the name of a part of an entry into key and suffix.
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
