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

package top

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// Live shows the activity of policies continuously.
type Live struct {
	Source *Source
	// Interval is the time between two readings.
	Interval time.Duration
	Order    Order
	Clock    clock.WithTicker

	// last and before are the last two readings, and lookedAt and lookedBefore their times.
	last, before           *Snapshot
	lookedAt, lookedBefore time.Time
	// problem says why there is no newer reading.
	problem error
}

// ctrlC is the key that ends a program. The terminal does not turn it into a signal while its keys
// are read.
const ctrlC = 3

// Run shows the activity of policies on a screen, until the context ends or the user quits. The
// first reading must succeed. Errors of later readings are shown.
func (l *Live) Run(ctx context.Context, screen *terminal.Screen) error {
	if err := l.look(ctx); err != nil {
		return err
	}
	ticker := l.Clock.NewTicker(l.Interval)
	defer ticker.Stop()
	keys := screen.Keys()
	for {
		if err := screen.Show(l.lines(), headLine); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			l.problem = l.look(ctx)
		case key, ok := <-keys:
			if !ok {
				keys = nil
			}
			if key == 'q' || key == ctrlC {
				return nil
			}
			for _, order := range Orders {
				if ok && key == order.Key() {
					l.Order = order
				}
			}
		}
	}
}

func (l *Live) look(ctx context.Context) error {
	snapshot, err := l.Source.Snapshot(ctx)
	if err != nil {
		return err
	}
	l.before, l.lookedBefore = l.last, l.lookedAt
	l.last, l.lookedAt = snapshot, l.Clock.Now()
	return nil
}

// headLine is the index of the line with the table's head.
const headLine = 3

// lines returns the displayed lines: a title, the keys, a line for problems, and the table.
func (l *Live) lines() []string {
	state := "since the last look"
	rows, ok := l.last.Rows(l.before, l.lookedAt.Sub(l.lookedBefore).Seconds())
	switch {
	case l.problem != nil:
		state = "no newer look: " + oneLine(l.problem.Error())
	case l.before == nil:
		state = "since the server started: how much a second is shown after the next look"
	case !ok:
		state = "the server was started anew, or another one answers"
		rows, _ = l.last.Rows(nil, 0)
	}
	perSecond := l.before != nil && ok
	l.Order.Sort(rows)
	return append([]string{
		fmt.Sprintf("%s  by %s, every %s  %d policies and groups at %s",
			l.lookedAt.Format(time.TimeOnly), l.Order, l.Interval, l.last.Served,
			oneLine(l.Source.Name)),
		"t time  f fuel  d denials  x failures  e evaluations  n name  q quit",
		state,
	}, Table(rows, perSecond)...)
}

// Once returns a table of all counts since the start of the server.
func Once(ctx context.Context, source *Source, order Order) ([]string, error) {
	snapshot, err := source.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	rows, _ := snapshot.Rows(nil, 0)
	order.Sort(rows)
	return Table(rows, false), nil
}
