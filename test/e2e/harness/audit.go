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

package harness

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

func (s *Server) auditLog() string { return filepath.Join(s.dir, "audit.log") }

// AuditEvents returns the audit events that the server has written so far. A request's event may be
// written after its response.
func (s *Server) AuditEvents() ([]auditv1.Event, error) {
	log, err := os.ReadFile(s.auditLog())
	if err != nil {
		return nil, err
	}
	// A last line without a newline is still being written.
	log = log[:bytes.LastIndexByte(log, '\n')+1]
	var events []auditv1.Event
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, len(log)+1)
	for lines.Scan() {
		var event auditv1.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("audit log: %w", err)
		}
		events = append(events, event)
	}
	return events, lines.Err()
}
