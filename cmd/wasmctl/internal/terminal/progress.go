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

package terminal

import (
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// progressAfter is after how long, and then how often, a person is told that something
// is still being done.
const progressAfter = time.Second

// Progress tells a person at the terminal what takes long. It returns what to call when
// that is done, which removes what was written. Without a terminal it does nothing.
func (s *Streams) Progress(what string) (done func()) {
	if !isTerminal(s.Err) {
		return func() {}
	}
	return progress(s.Err, clock.RealClock{}, what)
}

func progress(w io.Writer, c clock.WithTicker, what string) (done func()) {
	ticker, begun, stop := c.NewTicker(progressAfter), c.Now(), make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		defer ticker.Stop()
		written := false
		for {
			select {
			case <-ticker.C():
				written = true
				fmt.Fprintf(w, "\r%s … %s", what, c.Since(begun).Round(time.Second))
			case <-stop:
				if written {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			}
		}
	})
	return func() {
		close(stop)
		writing.Wait()
	}
}
