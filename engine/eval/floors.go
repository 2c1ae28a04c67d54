package eval

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Floors are the figures that a change must not fall below, committed beside the code. They only ever rise: Raise takes a better
// figure and no worse one.
type Floors struct {
	AtLeast map[string]float64 `json:"at_least"`
	AtMost  map[string]float64 `json:"at_most"`
}

// LoadFloors reads a file of floors.
func LoadFloors(path string) (*Floors, error) {
	f := &Floors{}
	if err := readJSON(path, f); err != nil {
		return nil, err
	}
	return f, nil
}

// tolerance is for the last digit of a mean.
const tolerance = 1e-9

// Below lists what is worse than its floor, a line each. Figures that were not measured, such as those of a set that is not
// there, are not judged.
func (f *Floors) Below(figures map[string]float64) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(f.AtLeast)) {
		if x, ok := figures[name]; ok && x < f.AtLeast[name]-tolerance {
			out = append(out, fmt.Sprintf("%s is %.4g, and was %.4g", name, x, f.AtLeast[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.AtMost)) {
		if x, ok := figures[name]; ok && x > f.AtMost[name]+tolerance {
			out = append(out, fmt.Sprintf("%s is %.4g, and was %.4g", name, x, f.AtMost[name]))
		}
	}
	return out
}

// Raise takes what is better, and says whether anything was.
func (f *Floors) Raise(figures map[string]float64) bool {
	raised := false
	for name, floor := range f.AtLeast {
		if x, ok := figures[name]; ok && x > floor+tolerance {
			f.AtLeast[name], raised = x, true
		}
	}
	for name, floor := range f.AtMost {
		if x, ok := figures[name]; ok && x < floor-tolerance {
			f.AtMost[name], raised = x, true
		}
	}
	return raised
}

// Save writes the file.
func (f *Floors) Save(path string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// IsBenchmark says whether a folder is in the layout of LoadBenchmark.
func IsBenchmark(dir string) bool {
	_, err := os.Stat(strings.TrimSuffix(dir, "/") + "/windows.json")
	return err == nil
}
