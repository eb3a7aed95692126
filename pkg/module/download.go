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

package module

import (
	"bytes"
	"io"
)

// wasmMagic is the beginning of every module.
const wasmMagic = "\x00asm"

// download reads at most most bytes from a source. size is the length that the source announced, or
// negative. download neither trusts that length nor allocates by it.
func download(body io.Reader, what string, size, most int64, p *progress) ([]byte, error) {
	if size > most {
		return nil, tooLarge(what, size, most)
	}
	bound := most
	if size >= 0 {
		bound = size
	}
	p.download(size)
	var b bytes.Buffer
	n, err := io.Copy(io.MultiWriter(&b, p), io.LimitReader(body, bound+1))
	switch {
	case err != nil:
		e := classify(err)
		return nil, fail(e.Cause, "after %d bytes of %s: %w", n, what, e.Err)
	case n > most:
		return nil, tooLarge(what, n, most)
	case size >= 0 && n > size:
		return nil, fail(CauseAnswer, "sends more than the %d bytes of %s that were announced", size, what)
	case size >= 0 && n < size:
		return nil, fail(CauseUnreachable, "sent only %d of %d bytes of %s", n, size, what)
	}
	return b.Bytes(), nil
}

// checkMagic refuses content that cannot be a module, such as an error page.
func checkMagic(b []byte) error {
	if !bytes.HasPrefix(b, []byte(wasmMagic)) {
		return fail(CauseMediaType, "the content is not a WebAssembly module: it begins with %q",
			b[:min(len(b), len(wasmMagic))])
	}
	return nil
}
