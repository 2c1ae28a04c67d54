package slo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/figure"
)

// Percent writes a fraction for a person, with the digits that a target has: 0.999 is "99.9 %", 0.021 "2.1 %".
func Percent(x float64) string {
	switch p := 100 * x; {
	case math.Abs(p) >= 100:
		return fmt.Sprintf("%.0f %%", p)
	case math.Abs(p) >= 90 && math.Abs(p) < 100: // nines count: 99.95 must not become 100, nor 99.996 99.99 and more
		s := strconv.FormatFloat(math.Floor(p*1000+1e-6)/1000, 'f', 3, 64)
		return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + " %"
	default:
		return strconv.FormatFloat(p, 'g', 2, 64) + " %"
	}
}

// percent100 is Percent for shares, of which nobody counts nines.
func percent100(x float64) string {
	if p := 100 * x; p >= 10 {
		return fmt.Sprintf("%.0f %%", p)
	}
	return Percent(x)
}

// Seconds writes a duration of a request: "300 ms", "1.2 s".
func Seconds(s float64) string {
	if s < 1 {
		return figure.Of(1000*s) + " ms"
	}
	return figure.Of(s) + " s"
}

// Span writes a window: "5 min", "1 h", "30 d".
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day && d%day == 0, d == day, d >= 4*day:
		return fmt.Sprintf("%d d", int(d.Round(day)/day))
	case d >= time.Hour && d%time.Hour == 0, d >= 10*time.Hour:
		return fmt.Sprintf("%d h", int(d.Round(time.Hour)/time.Hour))
	case d >= time.Minute:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

// Times writes a burn rate: "22×", "1.4×".
func Times(x float64) string {
	if x >= 9.95 {
		return fmt.Sprintf("%.0f×", x)
	}
	return fmt.Sprintf("%.2g×", x)
}

// Number writes a count of requests with separators: "4,020".
func Number(x float64) string {
	s := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
