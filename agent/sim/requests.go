package sim

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// Bucket bounds in seconds, as Traefik and Linkerd have them.
var (
	ingressBounds = []float64{0.1, 0.3, 1.2, 5}
	meshBounds    = []float64{0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 2, 3, 4, 5, 10}
)

// Requests counts the requests of every whole step between from and to, of the ingress and of each service, as the
// ingress controller and the mesh would. What lies before Start is that of the healthy shop; of what came after, two
// hours are remembered, and what is not over or not remembered is left out. The noise depends on the step's time alone,
// so that a step asked for twice gives the same.
func (s *Shop) Requests(ctx context.Context, from, to time.Time, step time.Duration) ([]*report.RequestCount, error) {
	var out []*report.RequestCount
	if step < time.Minute {
		return nil, nil
	}
	var past []moment
	var now time.Time
	s.server.Do(time.Time{}, func(*apiserver.Tx) { past, now = s.past, s.clock })
	for at := from.Truncate(step); !at.Add(step).After(to); at = at.Add(step) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if at.Before(from) || at.Add(step).After(now) {
			continue
		}
		f, ok := s.flowOver(past, at, at.Add(step))
		if !ok {
			continue
		}
		out = append(out, s.count(f, at, step)...)
	}
	return out, nil
}

// flowOver gives the mean flow of a time: of the remembered moments in it, or of the healthy shop before Start.
func (s *Shop) flowOver(past []moment, from, to time.Time) (flow, bool) {
	if !to.After(s.start) {
		return s.plan.solve(s.opening, from.Add(to.Sub(from)/2)), true
	}
	out := flow{}
	n := 0.0
	for _, m := range past {
		if !m.at.After(from) || m.at.After(to) {
			continue
		}
		n++
		out.entry += s.plan.entryRate(m.at)
		for i, x := range m.services {
			out.services[i].rate += x.rate
			out.services[i].errors += x.rate * x.errors
			out.services[i].latency += x.rate * x.latency
		}
	}
	if n == 0 {
		return out, false
	}
	out.entry /= n
	for i := range out.services {
		x := &out.services[i]
		if x.rate > 0 {
			x.errors, x.latency = x.errors/x.rate, x.latency/x.rate
		}
		x.rate /= n
	}
	return out, true
}

// count draws what one step counted.
func (s *Shop) count(f flow, at time.Time, step time.Duration) []*report.RequestCount {
	n := newNoise(s.seed^hash64("requests"), at.Unix())
	start, span := timestamppb.New(at), durationpb.New(step)
	one := func(kind, name, layer string, bounds []float64, rate, errors, latency float64) *report.RequestCount {
		total := n.poisson(rate * step.Seconds())
		failed := n.binomial(total, errors)
		c := &report.RequestCount{
			Entity: &report.EntityRef{Kind: kind, Namespace: s.plan.namespace, Name: name}, Layer: layer, Start: start, Span: span,
			Total: total, Errors: failed, Bounds: bounds, Buckets: n.buckets(total, latency, bounds), Codes: map[string]float64{},
		}
		unavailable := n.binomial(failed, 0.6)
		for code, x := range map[string]float64{"200": total - failed, "500": failed - unavailable, "503": unavailable} {
			if x > 0 {
				c.Codes[code] = x
			}
		}
		return c
	}
	door := &f.services[frontend]
	out := []*report.RequestCount{one("Ingress", s.plan.namespace, "ingress", ingressBounds, f.entry, door.errors, door.latency+ingressLatency)}
	for i, sv := range s.plan.services {
		if sv.role == batch {
			continue
		}
		x := &f.services[i]
		out = append(out, one("Service", sv.name, "mesh", meshBounds, x.rate, x.errors, x.latency))
	}
	return out
}

// buckets spreads requests over buckets: lognormal, with the spread of 0.7 of the mean that meanLatency has.
func (n noise) buckets(total, mean float64, bounds []float64) []float64 {
	const variance = 0.3988 // ln(1 + 0.7²)
	out := make([]float64, len(bounds)+1)
	if mean <= 0 {
		out[0] = total
		return out
	}
	mu := math.Log(mean) - variance/2
	left, below := total, 0.0
	for i, b := range bounds {
		share := 0.5 * math.Erfc((mu-math.Log(b))/math.Sqrt(2*variance))
		if below < 1 {
			out[i] = n.binomial(left, (share-below)/(1-below))
		}
		left, below = left-out[i], share
	}
	out[len(bounds)] = left
	return out
}
