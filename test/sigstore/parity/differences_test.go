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

package parity

import "regexp"

// difference is an intentional difference.
type difference struct {
	cases *regexp.Regexp
	// oursAccepts is our verdict. cosign's is the opposite.
	oursAccepts bool
	reason      string
}

// differences are all allowed differences.
var differences = []difference{
	{
		regexp.MustCompile(`^(image|file)/.*(p384|p521|ed25519)/right`), true,
		"with such keys, cosign signs SHA-384, SHA-512 or the content itself, but expects a signature of SHA-256 when it verifies, and so refuses its own signatures; we try all ways in which such a key may sign",
	},
	{
		regexp.MustCompile(`^signers/both formats/older key$`), true,
		"cosign stops at the first format in which it finds a signature, and ignores a signature in the older format; we check both formats",
	},
	{
		regexp.MustCompile(`^key/two in a file$`), false,
		"cosign silently uses the first key in a file; we refuse the file, because its author means both keys",
	},
}
