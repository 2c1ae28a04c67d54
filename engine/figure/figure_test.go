package figure_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/figure"
)

func TestOf(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 1: "1", 12.34: "12.3", 999.4: "999", 999.6: "1,000", 1240: "1,240", -41000.7: "-41,001", 1234567: "1,234,567",
		0.0042: "0.0042", 0.0001234: "0.000123", 0.00001: "0.00001", 1e-9: "0", -0.00000012: "-0.0000001",
		math.Inf(1): "∞",
	} {
		if got := figure.Of(x); got != want {
			t.Errorf("%g is written %s, want %s", x, got, want)
		}
	}
}

func TestOfIsNearAndHasNoExponent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(-1e15, 1e15).Draw(t, "x") * math.Pow(10, -rapid.Float64Range(0, 20).Draw(t, "down"))
		s := figure.Of(x)
		y, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
		if err != nil || strings.ContainsAny(s, "eE") || math.Abs(x-y) > math.Max(0.006*math.Abs(x), 6e-8) {
			t.Fatalf("%g is written %s, %v", x, s, err)
		}
	})
}
