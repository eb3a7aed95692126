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

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/session"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
)

// hostAnswers answers the host calls of policies.
type hostAnswers = host.Answers

// hostCallFlags select what answers the host calls of policies.
type hostCallFlags struct {
	record, replay, kubeconfig string

	// replayed and recorded are the session, if there is one.
	replayed *session.Replay
	recorded *session.Recording
}

func (f *hostCallFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.record, "record-host-capabilities-interactions", "",
		"record the policy's host calls and their answers in a `file`")
	flags.StringVar(&f.replay, "replay-host-capabilities-interactions", "",
		"answer host calls only from such a `file`")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "",
		"kubeconfig `file` of the cluster that answers host calls (default KUBECONFIG, or ~/.kube/config)")
}

// checkSession refuses flags that exclude each other.
func (f *hostCallFlags) checkSession() error {
	switch {
	case f.record != "" && f.replay != "":
		return usagef(
			"a session is either recorded or replayed: remove --record-host-capabilities-interactions or --replay-host-capabilities-interactions")
	case f.replay != "" && f.kubeconfig != "":
		return usagef(
			"--kubeconfig: a replay answers from its file and asks no cluster: remove --kubeconfig or --replay-host-capabilities-interactions")
	}
	return nil
}

// answers returns the source of answers, with images for questions about images. It also returns a
// function to call after all evaluations.
func (f *hostCallFlags) answers(images oci.Images) (*hostAnswers, func(stderr io.Writer) error,
	error) {
	nothing := func(io.Writer) error { return nil }
	if f.replay != "" {
		replay, err := readSession(f.replay)
		if err != nil {
			return nil, nil, err
		}
		f.replayed = replay
		return host.Replay(replay), func(stderr io.Writer) error {
			if left := replay.Left(); len(left) > 0 {
				fmt.Fprintf(stderr,
					"Warning: %s: %d of the recorded exchanges were not asked for, first %s\n",
					f.replay, len(left), left[0].Request)
			}
			return nil
		}, nil
	}
	// A missing default file is an error only once a policy reads the cluster.
	if f.kubeconfig != "" {
		if _, err := os.Stat(f.kubeconfig); err != nil {
			return nil, nil, fmt.Errorf("--kubeconfig: %w", err)
		}
	}
	live, err := host.Live(f.kubeconfig, images)
	if err != nil || f.record == "" {
		return live, nothing, err
	}
	recording := &session.Recording{}
	f.recorded = recording
	return live.Record(recording), func(io.Writer) error {
		text, err := recording.Session().Encode()
		if err != nil {
			return fmt.Errorf("recording: %w", err)
		}
		// The file holds data from the cluster.
		return os.WriteFile(f.record, text, 0o600)
	}, nil
}

// again returns a function to call before each repeated evaluation. It resets a replay to its
// current position, and stops a recording.
func (f *hostCallFlags) again() func() {
	switch {
	case f.replayed != nil:
		left := f.replayed.Left()
		return func() { f.replayed.Rewind(left) }
	case f.recorded != nil:
		return f.recorded.Stop
	}
	return func() {}
}

func readSession(path string) (*session.Replay, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, session.MaxBytes+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	parsed, err := session.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return session.NewReplay(parsed), nil
}
