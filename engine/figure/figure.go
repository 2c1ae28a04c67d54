// Package figure writes numbers for people: three digits that count, and never an exponent.
package figure

import (
	"math"
	"strconv"
)

// Of writes x with three significant digits, thousands set apart: "0.0042", "12.3", "1,240". What is too small to be written
// in seven decimals is 0.
func Of(x float64) string {
	switch size := math.Abs(x); {
	case math.IsNaN(x):
		return "unknown"
	case math.IsInf(x, 0):
		return "∞"
	case size >= 999.5:
		s := strconv.FormatFloat(size, 'f', 0, 64)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		if x < 0 {
			s = "-" + s
		}
		return s
	case size < 5e-8:
		return "0"
	case size < 1e-4:
		return trim(strconv.FormatFloat(x, 'f', 7, 64))
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// trim takes the zeros off the end of a fraction.
func trim(s string) string {
	n := len(s)
	for s[n-1] == '0' {
		n--
	}
	if s[n-1] == '.' {
		n--
	}
	return s[:n]
}
