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

package markdown

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// Indented lines in a help text are literal in the document.
func TestProse(t *testing.T) {
	require.Equal(t, "a\n\n```yaml\nb:\n- c\n\nd\n```\n\ne", prose("a\n\n  b:\n  - c\n\n  d\n\ne"))
	require.Equal(t, "a\nb", prose("a\nb"))
}

// Nested subcommands have their own sections. Hidden ones have none.
func TestCommands(t *testing.T) {
	root, parent := &cobra.Command{Use: "tool"}, &cobra.Command{Use: "write"}
	do := func(*cobra.Command, []string) {}
	parent.AddCommand(&cobra.Command{Use: "this", Short: "Write this", Run: do})
	root.AddCommand(parent, &cobra.Command{Use: "secret", Hidden: true, Run: do})
	var b strings.Builder
	Commands(&b, root)
	require.Contains(t, b.String(), "\n## tool write this\n\nWrite this.\n")
	require.NotContains(t, b.String(), "secret")
}
