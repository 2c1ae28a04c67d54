package baseline

import (
	"fmt"
	"math"
)

// Figure writes a value of the class in its unit, for a person: "31 %", "240 ms", "12 a second".
func (c Class) Figure(x float64) string {
	switch c {
	case Ratio, Saturation:
		return fmt.Sprintf("%.3g %%", 100*x)
	case Latency:
		if math.Abs(x) < 1 {
			return fmt.Sprintf("%.3g ms", 1000*x)
		}
		return fmt.Sprintf("%.3g s", x)
	case Rate:
		return fmt.Sprintf("%.3g a second", x)
	}
	return fmt.Sprintf("%.3g", x)
}
