package sim

import (
	"math"
	"math/rand/v2"
)

// noise draws what chance does to a measurement. One is made for each frame from the seed and the frame's time, so that
// a frame does not depend on which frames were asked for before it.
type noise struct{ *rand.Rand }

func newNoise(seed uint64, unix int64) noise {
	return noise{rand.New(rand.NewPCG(seed^0x6e6f697365, uint64(unix)))}
}

// poisson draws a count with the given mean: Knuth's method for small means, the normal approximation for large ones.
func (n noise) poisson(mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	if mean > 40 {
		return max(0, math.Round(mean+math.Sqrt(mean)*n.NormFloat64()))
	}
	limit, product, count := math.Exp(-mean), n.Float64(), 0.0
	for product > limit {
		product *= n.Float64()
		count++
	}
	return count
}

// binomial draws how many of count happen with probability p.
func (n noise) binomial(count, p float64) float64 {
	p = min(max(p, 0), 1)
	switch {
	case p > 0.5:
		return count - n.binomial(count, 1-p)
	case count <= 60:
		hits := 0.0
		for range int(count) {
			if n.Float64() < p {
				hits++
			}
		}
		return hits
	case count*p < 30:
		return min(count, n.poisson(count*p))
	}
	return min(count, max(0, math.Round(count*p+math.Sqrt(count*p*(1-p))*n.NormFloat64())))
}

// around multiplies by a lognormal factor of mean 1; sigma is its relative spread.
func (n noise) around(mean, sigma float64) float64 {
	return mean * math.Exp(sigma*n.NormFloat64()-sigma*sigma/2)
}

// share adds normal noise to a ratio and keeps it within 0 and 1.
func (n noise) share(mean, sigma float64) float64 {
	return min(1, max(0, mean+sigma*n.NormFloat64()))
}

// meanLatency is the measured mean over count requests whose latencies spread by 0.7 of their mean, on top of what moves
// all requests of a window alike.
func (n noise) meanLatency(mean, count float64) float64 {
	return mean * max(0.3, 1+math.Sqrt(0.02*0.02+0.49/count)*n.NormFloat64())
}

// percentile95 is the measured 95th percentile of the same.
func (n noise) percentile95(mean, count float64) float64 {
	return 2.4 * mean * max(0.3, 1+math.Sqrt(0.04*0.04+2/count)*n.NormFloat64())
}
