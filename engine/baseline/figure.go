package baseline

import (
	"math"

	"github.com/bukahou/atlhyper/engine/figure"
)

// Figure writes a value of the class in its unit, for a person: "31 %", "240 ms", "12 a second".
func (c Class) Figure(x float64) string {
	switch c {
	case Ratio, Saturation:
		return figure.Of(100*x) + " %"
	case Latency:
		if math.Abs(x) < 1 {
			return figure.Of(1000*x) + " ms"
		}
		return figure.Of(x) + " s"
	case Rate:
		return figure.Of(x) + " a second"
	}
	return figure.Of(x)
}
