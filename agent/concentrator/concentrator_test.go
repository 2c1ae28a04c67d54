package concentrator_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/concentrator"
	"github.com/bukahou/atlhyper/agent/report"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sample(name, metric string, value, count float64) *report.Sample {
	return &report.Sample{Entity: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: name}, Metric: metric, Value: value, Count: count}
}

func frame(at time.Time, samples ...*report.Sample) *report.TelemetryFrame {
	return &report.TelemetryFrame{Time: timestamppb.New(at), Window: durationpb.New(time.Minute), Samples: samples}
}

// tick adds one sample and closes what is due, as the agent does.
func tick(c *concentrator.Concentrator, now time.Time) {
	c.Add(frame(now, sample("cart", "request_rate", 1, 0)), now)
	if _, to, ok := c.Due(now); ok {
		c.Close(to, nil)
	}
}

func starts(minutes []*report.TelemetryMinute) []time.Time {
	var out []time.Time
	for _, m := range minutes {
		out = append(out, m.GetStart().AsTime())
	}
	return out
}

const all = 1 << 30

func TestAMinuteIsTheMeanOfItsSamplesWithTheRequestsCountedInIt(t *testing.T) {
	c := concentrator.New(concentrator.Config{})
	c.Add(frame(noon.Add(5*time.Second), sample("cart", "error_rate", 0.5, 10), sample("cart", "request_rate", 2, 0)), noon.Add(5*time.Second))
	c.Add(frame(noon.Add(35*time.Second), sample("cart", "error_rate", 0, 30), sample("cart", "request_rate", 4, 0), sample("cart", "avg_latency", math.NaN(), 1)), noon.Add(35*time.Second))
	if _, _, ok := c.Due(noon.Add(89 * time.Second)); ok {
		t.Error("the minute is due before its grace is over")
	}
	from, to, ok := c.Due(noon.Add(90 * time.Second))
	if !ok || !from.Equal(noon) || !to.Equal(noon.Add(time.Minute)) {
		t.Fatalf("due from %v to %v, %v", from, to, ok)
	}
	c.Close(to, []*report.RequestCount{
		{Entity: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: "cart"}, Layer: "mesh", Total: 40, Errors: 5, Start: timestamppb.New(noon), Span: durationpb.New(time.Minute)},
		{Layer: "mesh", Total: 7, Start: timestamppb.New(noon.Add(time.Minute))},
	})
	got := c.Pending(all)
	if len(got) != 1 || !got[0].GetStart().AsTime().Equal(noon) {
		t.Fatalf("pending %v", got)
	}
	m := got[0]
	if len(m.GetSamples()) != 2 || len(m.GetRequests()) != 1 || m.GetRequests()[0].GetTotal() != 40 || m.GetRequests()[0].GetStart() != nil {
		t.Fatalf("the minute is %v", m)
	}
	if s := m.GetSamples()[0]; s.GetMetric() != "error_rate" || s.GetValue() != 0.125 || s.GetCount() != 20 {
		t.Errorf("a ratio is %v, want the mean weighted by requests 0.125 of 20", s)
	}
	if s := m.GetSamples()[1]; s.GetValue() != 3 || s.GetCount() != 0 {
		t.Errorf("a rate is %v, want 3", s)
	}
}

func TestTheRequestsOfAShortWindowAreThoseOfAMinute(t *testing.T) {
	c := concentrator.New(concentrator.Config{})
	for i := range 6 {
		at := noon.Add(time.Duration(i) * 10 * time.Second)
		f := frame(at, sample("cart", "error_rate", 0.1, 5))
		f.Window = durationpb.New(10 * time.Second)
		c.Add(f, at)
	}
	c.Close(noon.Add(time.Minute), nil)
	if s := c.Pending(all)[0].GetSamples()[0]; math.Abs(s.GetValue()-0.1) > 1e-9 || s.GetCount() != 30 {
		t.Errorf("six windows of 5 requests are %v, want 30", s)
	}
}

func TestWhatComesLateForAClosedMinuteIsDropped(t *testing.T) {
	c := concentrator.New(concentrator.Config{})
	tick(c, noon)
	tick(c, noon.Add(90*time.Second)) // closes noon
	before := c.Pending(all)
	c.Add(frame(noon.Add(50*time.Second), sample("cart", "request_rate", 100, 0)), noon.Add(91*time.Second))
	if after := c.Pending(all); len(after) != 1 || after[0].GetSamples()[0].GetValue() != before[0].GetSamples()[0].GetValue() {
		t.Errorf("a closed minute became %v", after)
	}
	if n := c.Stats().Late; n != 1 {
		t.Errorf("%d late samples, want 1", n)
	}
}

func TestAMinuteIsGivenUntilItIsAcknowledged(t *testing.T) {
	c := concentrator.New(concentrator.Config{})
	for i := range 5 {
		tick(c, noon.Add(time.Duration(i)*time.Minute))
	}
	first := c.Pending(1)
	if len(first) != 1 || !first[0].GetStart().AsTime().Equal(noon) {
		t.Fatalf("with no room %v is pending, want the oldest alone", starts(first))
	}
	if again := c.Pending(1); len(again) != 1 || !again[0].GetStart().AsTime().Equal(noon) {
		t.Errorf("an unacknowledged minute is not given again: %v", starts(again))
	}
	c.Acknowledged(first)
	c.Acknowledged(first)
	if rest := starts(c.Pending(all)); len(rest) != 2 || !rest[0].Equal(noon.Add(time.Minute)) {
		t.Errorf("after the first was acknowledged %v are pending", rest)
	}
}

func TestOfALongLossTheLastHourIsKept(t *testing.T) {
	c := concentrator.New(concentrator.Config{})
	var now time.Time
	for i := range 3 * 60 * 6 {
		now = noon.Add(time.Duration(i) * 10 * time.Second)
		tick(c, now)
	}
	got := starts(c.Pending(all))
	if len(got) < concentrator.Kept-1 || len(got) > concentrator.Kept {
		t.Fatalf("%d minutes are kept", len(got))
	}
	for i := 1; i < len(got); i++ {
		if got[i].Sub(got[i-1]) != time.Minute {
			t.Errorf("after %v comes %v", got[i-1], got[i])
		}
	}
	if last := got[len(got)-1]; now.Sub(last) > 3*time.Minute {
		t.Errorf("at %v the newest kept is %v", now, last)
	}
}

func TestMemoryIsBoundedAndSeriesThatWentMakeRoom(t *testing.T) {
	c := concentrator.New(concentrator.Config{MaxSeries: 10, MaxCounts: 2})
	add := func(at time.Time, names ...string) {
		var list []*report.Sample
		for _, n := range names {
			list = append(list, sample(n, "request_rate", float64(n[0]), 0))
		}
		c.Add(frame(at, list...), at)
	}
	add(noon, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")
	if n := c.Stats().Excess; n != 2 {
		t.Errorf("%d samples were too many, want 2", n)
	}
	add(noon.Add(time.Minute), "j") // the last column stays while all before it go
	three := []*report.RequestCount{{Start: timestamppb.New(noon)}, {Start: timestamppb.New(noon)}, {Start: timestamppb.New(noon)}}
	c.Close(noon.Add(2*time.Minute), three)
	got := c.Pending(all)
	if len(got) != 2 || len(got[0].GetSamples()) != 10 || len(got[0].GetRequests()) != 2 {
		t.Fatalf("kept %v", got)
	}
	c.Acknowledged(got[:1])
	add(noon.Add(2*time.Minute), "x", "y", "z", "j")
	c.Close(noon.Add(3*time.Minute), nil)
	got = c.Pending(all)
	if len(got) != 2 || len(got[0].GetSamples()) != 1 || got[0].GetSamples()[0].GetEntity().GetName() != "j" || got[0].GetSamples()[0].GetValue() != 'j' {
		t.Fatalf("after room was made %v", got)
	}
	for _, s := range got[1].GetSamples() {
		if s.GetValue() != float64(s.GetEntity().GetName()[0]) {
			t.Errorf("a column was mixed up: %v", s)
		}
	}
	if len(got[1].GetSamples()) != 4 {
		t.Errorf("the newest minute is %v", got[1])
	}
}

func TestAClockThatIsSetBackSendsNothingTwice(t *testing.T) {
	c := concentrator.New(concentrator.Config{})
	seen := map[time.Time]int{}
	send := func() {
		m := c.Pending(all)
		for _, s := range starts(m) {
			seen[s]++
		}
		c.Acknowledged(m)
	}
	run := func(from time.Time, ticks int) {
		for i := range ticks {
			tick(c, from.Add(time.Duration(i)*10*time.Second))
			send()
		}
	}
	run(noon, 60)
	run(noon.Add(5*time.Minute), 120) // five minutes back, then on
	for s, n := range seen {
		if n != 1 {
			t.Errorf("minute %v was sent %d times", s, n)
		}
	}
	if len(seen) < 22 {
		t.Errorf("%d minutes came of 25", len(seen))
	}
	// A clock that was a day ahead is mended: it must not be silent for a day.
	run(noon.Add(24*time.Hour), 30)
	clear(seen)
	run(noon.Add(30*time.Minute), 30)
	if len(seen) < 3 {
		t.Errorf("after a day's step back %d minutes came of five", len(seen))
	}
}

// TestAnyLossOfTheLinkGivesEveryMinuteOfTheLastHourOnceInOrder plays minutes against a link that comes and goes, whose
// answers get lost, and an engine that forgets what it has by its start.
func TestAnyLossOfTheLinkGivesEveryMinuteOfTheLastHourOnceInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := concentrator.New(concentrator.Config{})
		now := noon
		up := true
		var taken []time.Time // as the engine applied them
		measured := map[time.Time]bool{}
		begin := now.Truncate(time.Minute)
		deliver := func(acknowledged bool) {
			batch := c.Pending(rapid.SampledFrom([]int{1, 200, all}).Draw(t, "room"))
			for _, s := range starts(batch) {
				if len(taken) == 0 || s.After(taken[len(taken)-1]) {
					taken = append(taken, s)
				} else if !slices.Contains(taken, s) {
					t.Fatalf("minute %v came after %v", s, taken[len(taken)-1])
				}
			}
			if acknowledged {
				c.Acknowledged(batch)
			}
		}
		for range rapid.IntRange(1, 600).Draw(t, "ticks") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				up = !up
			case 1:
				if up {
					deliver(false)
				}
			case 2:
				now = now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "gap")) * time.Second) // the agent was held up
			}
			tick(c, now)
			measured[now.Truncate(time.Minute)] = true
			if up {
				deliver(true)
			}
			now = now.Add(10 * time.Second)
		}
		for range 2 * concentrator.Kept {
			deliver(true)
		}
		oldest := now.Add(-59 * time.Minute)
		for m := range measured {
			over := m.Add(time.Minute + 40*time.Second).Before(now)
			if over && m.After(oldest) && !m.Before(begin) && !slices.Contains(taken, m) {
				t.Fatalf("at %v the minute %v is missing", now, m)
			}
		}
		if left := c.Pending(all); len(left) > 0 {
			t.Fatalf("%v are left", starts(left))
		}
	})
}
