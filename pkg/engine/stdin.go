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

// vectorSize is the size in bytes of an iovec: address and length.
const vectorSize = 8

// fdRead reads from standard input, which is empty unless the ABI's guests are commands.
func fdRead(i *Instance, params []uint64) uint32 {
	fd, list, count, result := uint32(params[0]), uint32(params[1]), uint32(params[2]),
		uint32(params[3])
	if fd != 0 {
		return wasiBadf
	}
	vectors, errno := i.vectors(list, count)
	if errno != wasiSuccess {
		return errno
	}
	var read uint32
	for ; len(vectors) > 0; vectors = vectors[vectorSize:] {
		p, ok := i.Read(binary.LittleEndian.Uint32(vectors),
			binary.LittleEndian.Uint32(vectors[4:]))
		if !ok {
			return wasiFault
		}
		n := i.readInput(p)
		read += uint32(n)
		if n < len(p) {
			break
		}
	}
	return i.writeUint32(result, read)
}

// vectors returns the iovecs that a guest reads into or writes from. The slice is the guest's
// memory, so reading may change it.
func (i *Instance) vectors(list, count uint32) ([]byte, uint32) {
	if count > math.MaxUint32/vectorSize {
		return nil, wasiFault
	}
	vectors, ok := i.Read(list, count*vectorSize)
	if !ok {
		return nil, wasiFault
	}
	return vectors, wasiSuccess
}

// readInput fills p from standard input, in pieces, and returns the number of bytes read.
func (i *Instance) readInput(p []byte) (read int) {
	for first := true; first || read < len(p); first = false {
		i.MustGoOn()
		if i.module.abi.Command == nil || i.module.abi.Command.Input == nil {
			return 0
		}
		piece := p[read:min(read+hostChunk, len(p))]
		// An empty vector costs work, too.
		i.Pay(hostCallFuel + hostByteFuel*int64(len(piece)))
		n := i.module.abi.Command.Input(i, piece)
		read += n
		if n < len(piece) {
			break
		}
	}
	return read
}
