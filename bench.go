package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/bukahou/atlhyper/deploy/lab"
)

// benchCmd measures on the lab: a real API server, and emulators of what is far away.
type benchCmd struct {
	Latency benchLatencyCmd `cmd:"" help:"Status change in the API server to message in chat; approval to change in the API server."`
	Engine  benchEngineCmd  `cmd:"" help:"What a sample, a vertex and a tick cost in the engine."`
	Agent   benchAgentCmd   `cmd:"" help:"Bytes a minute and memory of the agent."`
	Chat    benchChatCmd    `cmd:"" help:"A storm of alerts in one channel, and a crowd that asks at the same moment."`

	Telemetry benchTelemetryCmd `cmd:"" help:"One tick of a large cluster from ClickHouse: time, and rows read."`
}

// benchFlags are common to the benches.
type benchFlags struct {
	JSON bool   `name:"json" help:"One flat JSON object on standard output."`
	Dir  string `help:"Directory of the lab; a temporary one when empty." type:"path"`
}

// onLab runs a measurement on a lab that lives as long as the measurement.
func (f benchFlags) onLab(ctx context.Context, env *environment, measure func(*lab.Lab) (map[string]float64, error)) error {
	dir := f.Dir
	if dir == "" {
		temp, remove, err := tempDir()
		if err != nil {
			return err
		}
		defer remove()
		dir = temp
	}
	env.note("starting the lab (the first time builds it, which takes minutes)…")
	l, err := lab.Start(ctx, lab.Config{Dir: dir, Log: env.log})
	if err != nil {
		return err
	}
	defer l.Stop()
	figures, err := measure(l)
	if err != nil {
		return err
	}
	return f.print(env, figures)
}

func (f benchFlags) print(env *environment, figures map[string]float64) error {
	if f.JSON {
		return json.NewEncoder(env.stdout).Encode(figures)
	}
	w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	for _, k := range slices.Sorted(maps.Keys(figures)) {
		fmt.Fprintf(w, "%s\t%.1f\t\n", k, figures[k])
	}
	return w.Flush()
}

// quantile gives the q-quantile of durations in milliseconds, by the nearest rank.
func quantile(ds []time.Duration, q float64) float64 {
	if len(ds) == 0 {
		return 0
	}
	ds = slices.Sorted(slices.Values(ds))
	i := min(len(ds)-1, int(q*float64(len(ds))))
	return float64(ds[i].Microseconds()) / 1000
}

// ourselves is the path of the running program, to start it once more.
func ourselves() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", errors.Join(errors.New("find the running program"), err)
	}
	return self, nil
}
