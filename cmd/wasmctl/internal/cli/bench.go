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
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/benchmark"
)

// dumpDirectory is the directory for measurements. kwctl uses the same one.
var dumpDirectory = filepath.Join("target", "simple-bench")

// benchFlags are the flags of bench, in addition to those of run.
type benchFlags struct {
	runFlags
	config benchmark.Config
	dump   bool
}

func (c *command) bench() *cobra.Command {
	f := &benchFlags{config: benchmark.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "bench POLICY",
		Short: "Measure how long a policy takes",
		Long: `Measures how long a policy takes to evaluate a request, and to validate its settings.
It measures as Criterion does: after a warm-up, it takes samples with more and more
evaluations. The time of one evaluation is the slope of the line through all samples,
with its 95 % confidence interval. Mean, standard deviation, median and median
absolute deviation have confidence intervals too, from resampling. Outliers are those
outside Tukey's fences.

POLICY and the request are those of run. With a recorded session, each evaluation
starts at the session's beginning. The policy's log is not shown.

With --dump-results-to-disk, measurements are compared with those in
target/simple-bench, and then replace them. They have kwctl's format.`,
		Example: `  wasmctl bench -r request.json policy.wasm
  wasmctl bench --measurement-time 10 --dump-results-to-disk -r request.json policy.wasm`,
		Args: oneArgument("POLICY", "the path or URI of a module, or a file of manifests"),
		RunE: func(cmd *cobra.Command, arguments []string) error {
			if err := checkTimeout(cmd.Flags(), f.timeout); err != nil {
				return err
			}
			if err := f.checkCounts(); err != nil {
				return err
			}
			return c.benchPolicy(cmd.Context(), f, arguments[0])
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.Var((*seconds)(&f.config.WarmUp), "warm-up-time",
		"`seconds` of warm-up before the measurement, or a time such as 500ms")
	flags.Var((*seconds)(&f.config.Measurement), "measurement-time",
		"`seconds` for all samples, or a time such as 500ms; slow policies take longer")
	flags.IntVar(&f.config.Samples, "num-samples", f.config.Samples, "`number` of samples")
	flags.IntVar(&f.config.Resamples, "num-resamples", f.config.Resamples, "`number` of resamples")
	flags.BoolVar(&f.dump, "dump-results-to-disk", false,
		"save the measurements in target/simple-bench, and compare them with the previous ones")
	return cmd
}

func (f *benchFlags) checkCounts() error {
	for _, flag := range []struct {
		name               string
		value, least, most int
	}{
		{"num-samples", f.config.Samples, benchmark.MinSamples, benchmark.MaxSamples},
		{"num-resamples", f.config.Resamples, 1, benchmark.MaxResamples},
	} {
		if flag.value < flag.least || flag.value > flag.most {
			return usagef("--%s: %d is not between %d and %d", flag.name, flag.value, flag.least,
				flag.most)
		}
	}
	return nil
}

// seconds is a flag for a duration: a number of seconds, as in kwctl, or a time with a unit.
type seconds time.Duration

var _ pflag.Value = new(seconds)

// Set implements [pflag.Value].
func (s *seconds) Set(text string) error {
	parsed, err := time.ParseDuration(text)
	if count, plain := strconv.ParseUint(text, 10, 32); plain == nil {
		parsed, err = time.Duration(count)*time.Second, nil
	}
	if err != nil || parsed <= 0 || parsed > benchmark.MaxTime {
		return fmt.Errorf("write seconds, such as 5, or a time such as 500ms, of at most %s",
			benchmark.MaxTime)
	}
	*s = seconds(parsed)
	return nil
}

// String implements [pflag.Value].
func (s *seconds) String() string { return time.Duration(*s).String() }

// Type implements [pflag.Value].
func (s *seconds) Type() string { return "seconds" }

func (c *command) benchPolicy(ctx context.Context, f *benchFlags, argument string) error {
	return c.withPolicies(ctx, &f.runFlags, argument, func(policies []asked) error {
		silent := klog.NewContext(ctx, logr.Discard())
		for _, p := range policies {
			prefix := ""
			if len(policies) > 1 {
				prefix = p.Name() + "/"
			}
			again := f.again()
			response := p.Review(silent, p.request)
			if response.Status != nil && response.Status.Code >= http.StatusInternalServerError {
				c.warn("the measured evaluation fails: " + response.Status.Message)
			}
			if err := c.measure(silent, f, prefix+"validate_settings", func() {
				_ = p.ValidateSettings(silent) // it was valid before
			}); err != nil {
				return err
			}
			if err := c.measure(silent, f, prefix+"validate", func() {
				again()
				p.Review(silent, p.request)
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// measure measures one operation and prints the results.
func (c *command) measure(ctx context.Context, f *benchFlags, label string, iterate func()) error {
	out := benchPrinter{command: c, label: label}
	out.warmingUp(f.config.WarmUp)
	clock := clock.RealClock{}
	mean, err := f.config.Warm(ctx, clock, iterate)
	if err != nil {
		return err
	}
	iterations, expected, short := f.config.Plan(mean)
	if short {
		c.warn(
			fmt.Sprintf(
				"Unable to complete %d samples in %s. You may wish to increase target time to %s or lower the requested number of samples (--measurement-time, --num-samples)",
				f.config.Samples, benchTime(float64(f.config.Measurement)),
				benchTime(float64(expected))))
	}
	out.collecting(iterations, mean, expected)
	data, err := benchmark.Collect(ctx, clock, iterations, iterate)
	if err != nil {
		return err
	}
	done := c.Progress("Analyzing " + label)
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // nobody gains from guessing it
	analysis := benchmark.Analyze(data, f.config.Resamples, random)
	done()
	out.analysis(data, analysis)
	if !f.dump {
		return nil
	}
	directory := filepath.Join(dumpDirectory, fileNameOf(label))
	earlier, err := benchmark.Read(directory)
	if err != nil {
		c.warn("Failed to read last sample: " + err.Error())
	}
	if earlier != nil {
		out.change(benchmark.Compare(data, earlier, f.config.Resamples, random))
	}
	return data.Write(directory)
}
