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

package wasm

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnsignedLEB128(t *testing.T) {
	for name, c := range map[string]struct {
		in     []byte
		value  uint32
		length int
		status lebStatus
	}{
		"zero":            {[]byte{0}, 0, 1, lebOK},
		"two bytes":       {[]byte{0x80, 1}, 128, 2, lebOK},
		"largest":         {[]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, math.MaxUint32, 5, lebOK},
		"padded":          {[]byte{0x83, 0x80, 0x80, 0x80, 0x00}, 3, 5, lebOK},
		"padded too far":  {[]byte{0x83, 0x80, 0x80, 0x80, 0x80, 0x00}, 0, 5, lebTooLong},
		"unused bits set": {[]byte{0xff, 0xff, 0xff, 0xff, 0x1f}, 0, 5, lebTooLarge},
		"truncated":       {[]byte{0x80}, 0, 1, lebTruncated},
		"empty":           {nil, 0, 0, lebTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			value, length, status := uleb32(c.in, 0)
			require.Equal(t, c.status, status)
			require.Equal(t, c.value, value)
			require.Equal(t, c.length, length)
		})
	}
}

func TestSignedLEB128(t *testing.T) {
	for name, c := range map[string]struct {
		in     []byte
		bits   uint
		value  int64
		status lebStatus
	}{
		"minus one":        {[]byte{0x7f}, 32, -1, lebOK},
		"minus one padded": {[]byte{0xff, 0xff, 0xff, 0xff, 0x7f}, 32, -1, lebOK},
		"smallest of 32": {[]byte{0x80, 0x80, 0x80, 0x80, 0x78}, 32, math.MinInt32,
			lebOK},
		"largest of 32": {[]byte{0xff, 0xff, 0xff, 0xff, 0x07}, 32, math.MaxInt32,
			lebOK},
		"sign bits disagree":     {[]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 32, 0, lebTooLarge},
		"negative bits disagree": {[]byte{0x80, 0x80, 0x80, 0x80, 0x68}, 32, 0, lebTooLarge},
		"too long": {[]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 32, 0,
			lebTooLong},
		"largest type index": {[]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 33, math.MaxUint32,
			lebOK},
		"smallest of 64": {[]byte{
			0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f,
		}, 64, math.MinInt64, lebOK},
		"largest of 64": {[]byte{
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00,
		}, 64, math.MaxInt64, lebOK},
		"sign of 64 bits disagrees": {[]byte{
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
		}, 64, 0, lebTooLarge},
		"truncated": {[]byte{0xff}, 64, 0, lebTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			value, _, status := sleb(c.in, 0, c.bits)
			require.Equal(t, c.status, status)
			require.Equal(t, c.value, value)
		})
	}
}

func TestLEB128RoundTrip(t *testing.T) {
	for _, v := range []int64{
		0, 1, -1, 63, 64, -64, -65, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64,
	} {
		encoded := AppendInt64(nil, v)
		decoded, length, status := sleb(encoded, 0, 64)
		require.Equal(t, lebOK, status)
		require.Equal(t, v, decoded)
		require.Len(t, encoded, length)

		u := uint32(v)
		encoded = AppendUint32(nil, u)
		require.Len(t, encoded, sizeUint32(u))
		unsigned, _, status := uleb32(encoded, 0)
		require.Equal(t, lebOK, status)
		require.Equal(t, u, unsigned)
	}
}
