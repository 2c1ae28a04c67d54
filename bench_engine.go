package main

import (
	"context"
	"fmt"
	"math"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/bench"
)

// benchEngineCmd measures the engine alone; it needs no lab.
type benchEngineCmd struct {
	JSON  bool   `name:"json" help:"One flat JSON object on standard output."`
	Seed  uint64 `help:"Seed of the cluster." default:"1"`
	Sizes []int  `help:"Sizes, in clusters of 5,000 pods." default:"1,10,100"`
}

func (c *benchEngineCmd) Run(ctx context.Context, env *environment) error {
	figures := map[string]float64{}
	var first bench.Figures
	for n, size := range c.Sizes {
		env.note("measuring %d pods…", size*5000)
		f, err := bench.Run(ctx, bench.Config{Open: evalConfig(engine.Default).Open, Seed: c.Seed}, size)
		if err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		suffix := ""
		if size != 1 {
			suffix = fmt.Sprintf("_x%d", size)
		}
		for name, x := range f.ByName() {
			figures[name+suffix] = x
		}
		if n == 0 {
			first = f
			continue
		}
		// The slope is the power of the size with which a figure grows: 1 in proportion.
		grown := math.Log(float64(size) / float64(first.Size))
		figures["tick_slope"+suffix] = math.Log(f.Tick/first.Tick) / grown
		figures["topology_slope"+suffix] = math.Log(f.Build/first.Build) / grown
	}
	return benchFlags{JSON: c.JSON}.print(env, figures)
}
