package clickhouse

import (
	"math"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	lab "github.com/bukahou/atlhyper/deploy/lab/telemetry"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

// epoch is far from now on purpose: nothing may read the wall clock where a tick's time is meant.
var epoch = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

const every = 15 * time.Second

// history is a shop whose scrapes are written into a database.
type history struct {
	t    *testing.T
	shop *shop.Shop
	db   *lab.ClickHouse
	late []lab.Records
}

func newHistory(t *testing.T, generation string) *history {
	t.Helper()
	db := shared.Database(t)
	if err := db.Create(t.Context(), generation); err != nil {
		t.Fatal(err)
	}
	return &history{t: t, shop: shop.New(shop.Config{Start: epoch, Seed: 1}), db: db}
}

// write puts what there is into the database.
func (h *history) write(r ...lab.Records) {
	h.t.Helper()
	conn, err := h.db.Open()
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	var all lab.Records
	for _, x := range r {
		all.Points, all.Spans, all.Lines = append(all.Points, x.Points...), append(all.Spans, x.Spans...), append(all.Lines, x.Lines...)
	}
	if err := lab.Write(h.t.Context(), conn, all); err != nil {
		h.t.Fatal(err)
	}
}

// run lets the shop run for a while and be scraped; skip says which scrapes are missed.
func (h *history) run(span time.Duration, skip func(i int) bool) []lab.Records {
	var out []lab.Records
	for i := range int(span / every) {
		h.shop.Advance(h.shop.Now().Add(every))
		out = append(out, h.shop.Drain())
		if skip == nil || !skip(i) {
			out = append(out, h.shop.Scrape())
		}
	}
	return out
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within*math.Abs(want)+1e-9 {
		t.Errorf("%s is %v, want %v within %v %%", what, got, want, within*100)
	}
}

// bucketOf gives the bounds of the bucket that a value falls into.
func bucketOf(bounds []float64, v float64) (low, high float64) {
	i, _ := slices.BinarySearch(bounds, v)
	if i > 0 {
		low = bounds[i-1]
	}
	high = math.Inf(1)
	if i < len(bounds) {
		high = bounds[i]
	}
	return low, high
}

var linkerd = []float64{.001, .002, .003, .004, .005, .01, .02, .03, .04, .05, .1, .2, .3, .4, .5, 1, 2, 3, 4, 5, 10, 20, 30, 40, 50}

func inBucket(t *testing.T, what string, bounds []float64, got float64, want time.Duration) {
	t.Helper()
	low, high := bucketOf(bounds, want.Seconds())
	if got < low || got > high {
		t.Errorf("%s is %v s, want it in the bucket of %v, %v to %v s", what, got, want, low, high)
	}
}

// truth compares a frame with what happened in the window.
func (h *history) truth(f *report.TelemetryFrame, begin, end time.Time) {
	h.t.Helper()
	seconds := end.Sub(begin).Seconds()
	got := found(f)
	if len(got) == 0 {
		h.t.Fatalf("no samples; sources: %v", f.GetSources())
	}
	for _, svc := range shop.Services {
		want := h.shop.Truth("*", svc, begin, end)
		near(h.t, svc+"'s rate", got["Service/"+svc+" request_rate"].GetValue(), float64(want.Requests)/seconds, 0.02)
		near(h.t, svc+"'s errors", got["Service/"+svc+" error_rate"].GetValue(), float64(want.Failed)/float64(want.Requests), 0.02)
		near(h.t, svc+"'s mean", got["Service/"+svc+" avg_latency"].GetValue(), want.Mean().Seconds(), 0.02)
		inBucket(h.t, svc+"'s p95", linkerd, got["Service/"+svc+" p95_latency"].GetValue(), want.Quantile(0.95))
	}
	door := h.shop.Truth("", "frontend", begin, end)
	near(h.t, "the Ingress's rate", got["Ingress/shop request_rate"].GetValue(), float64(door.Requests)/seconds, 0.02)
	inBucket(h.t, "the Ingress's p95", []float64{.1, .3, 1.2, 5}, got["Ingress/shop p95_latency"].GetValue(), door.Quantile(0.95))

	want := h.shop.Edges(begin, end)
	for _, e := range f.GetTraffic() {
		key := [2]string{e.GetFrom().GetName(), e.GetTo().GetName()}
		if !want[key] {
			h.t.Errorf("an edge that is not there: %v", key)
		}
		delete(want, key)
		truth := h.shop.Truth(key[0], key[1], begin, end)
		near(h.t, "the rate of "+key[0]+" → "+key[1], e.GetRequestsPerSecond(), float64(truth.Requests)/seconds, 0.02)
		near(h.t, "the mean of "+key[0]+" → "+key[1], e.GetLatencyAvgSeconds(), truth.Mean().Seconds(), 0.02)
		near(h.t, "the errors of "+key[0]+" → "+key[1], e.GetErrorRatio(), float64(truth.Failed)/float64(truth.Requests), 0.02)
		if e.GetTlsRatio() != 1 {
			h.t.Errorf("%v is %v secured, want all", key, e.GetTlsRatio())
		}
	}
	for key := range want {
		h.t.Errorf("an edge is missing: %v", key)
	}
}

func (h *history) sample(s *Source) *report.TelemetryFrame {
	h.t.Helper()
	f, err := s.Sample(h.t.Context(), h.shop.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	if !f.GetSources()[0].GetAvailable() {
		h.t.Fatalf("unavailable: %s", f.GetSources()[0].GetMessage())
	}
	return f
}

func TestATickTellsWhatHappenedInEveryGenerationOfTheSchema(t *testing.T) {
	for _, generation := range []string{"a", "b", "c"} {
		t.Run(generation, func(t *testing.T) {
			h := newHistory(t, generation)
			h.shop.Break("payments", shop.Fault{Fail: 0.2, Error: "card declined"})
			h.write(h.run(5*time.Minute, nil)...)
			now := h.shop.Now()
			f := h.sample(source(t, h.db))
			h.truth(f, now.Add(-90*time.Second), now)
			got := found(f)
			near(t, "node-b's CPU", got["Node/node-b cpu_usage"].GetValue(), 0.25, 0.001)
			near(t, "node-b's memory", got["Node/node-b memory_usage"].GetValue(), 3./8, 0.001)
			near(t, "node-b's disk", got["Node/node-b disk_usage"].GetValue(), 0.4, 0.001)
			near(t, "node-b's IO pressure", got["Node/node-b psi_io"].GetValue(), 0.02, 0.001)
			near(t, "node-b's temperature", got["Node/node-b temperature_ratio"].GetValue(), 0.525, 0.001)
			if v := got["Node/node-b psi_memory"]; v == nil || v.GetValue() != 0 {
				t.Errorf("memory pressure is %v, want a measured 0", v)
			}
		})
	}
}

func TestARestartLosesNoRequestThatWasScraped(t *testing.T) {
	h := newHistory(t, "c")
	h.write(h.run(2*time.Minute, nil)...)
	h.shop.Restart("cart")
	h.shop.Restart("frontend")
	h.write(h.run(45*time.Second, nil)...)
	now := h.shop.Now()
	h.truth(h.sample(source(t, h.db)), now.Add(-90*time.Second), now)
}

func TestAMissingScrapeMovesNoRate(t *testing.T) {
	h := newHistory(t, "c")
	h.write(h.run(3*time.Minute, func(i int) bool { return i == 8 })...) // of 12; the window holds the last 6 and the one before
	now := h.shop.Now()
	h.truth(h.sample(source(t, h.db)), now.Add(-90*time.Second), now)
}

func TestWithoutTheLastScrapeTheWindowEndsBeforeIt(t *testing.T) {
	h := newHistory(t, "c")
	h.write(h.run(3*time.Minute, func(i int) bool { return i == 11 })...)
	now := h.shop.Now()
	h.truth(h.sample(source(t, h.db)), now.Add(-90*time.Second), now.Add(-15*time.Second))
}

func TestALateBatchLowersNoRateAndCountsOnceItIsThere(t *testing.T) {
	h := newHistory(t, "c")
	records := h.run(3*time.Minute, nil)
	last := &records[len(records)-1]
	var early, late lab.Records
	for i, p := range last.Points {
		if i%2 == 0 {
			early.Points = append(early.Points, p)
		} else {
			late.Points = append(late.Points, p)
		}
	}
	*last = early
	h.write(records...)
	s := source(t, h.db)
	now := h.shop.Now()
	got := found(h.sample(s))
	for _, svc := range shop.Services {
		want := h.shop.Truth("*", svc, now.Add(-90*time.Second), now)
		near(t, svc+"'s rate before the batch", got["Service/"+svc+" request_rate"].GetValue(), float64(want.Requests)/90, 0.1)
	}
	h.write(late)
	h.truth(h.sample(s), now.Add(-90*time.Second), now)
}

func TestTwoCollectorsThatScrapeTheSameCountOnce(t *testing.T) {
	h := newHistory(t, "c")
	records := h.run(3*time.Minute, nil)
	h.write(records...)
	var again lab.Records
	for _, r := range records {
		again.Points = append(again.Points, r.Points...)
	}
	h.write(again)
	now := h.shop.Now()
	h.truth(h.sample(source(t, h.db)), now.Add(-90*time.Second), now)
}

func TestAnHourWithoutDataIsUnknownAndNoBurst(t *testing.T) {
	h := newHistory(t, "c")
	h.shop = shop.New(shop.Config{Start: epoch, Rate: 2})
	h.write(h.run(2*time.Minute, nil)...)
	begin := h.shop.Now()
	h.shop.Silent = true
	h.shop.Advance(begin.Add(time.Hour))
	s := source(t, h.db)
	f := h.sample(s)
	if len(f.GetSamples()) != 0 || len(f.GetTraffic()) != 0 {
		t.Errorf("%d samples and %d edges after an hour without data", len(f.GetSamples()), len(f.GetTraffic()))
	}
	h.write(h.run(every, nil)...)
	for id, x := range found(h.sample(s)) {
		if x.GetMetric() == "request_rate" {
			t.Errorf("%s is %v from one scrape after the gap", id, x.GetValue())
		}
	}
	h.write(h.run(75*time.Second, nil)...)
	now := h.shop.Now()
	h.truth(h.sample(s), now.Add(-75*time.Second), now)

	counts, err := s.Requests(t.Context(), epoch, now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		at := c.GetStart().AsTime()
		if at.After(begin.Add(-time.Second)) && at.Before(begin.Add(time.Hour)) {
			t.Fatalf("the gap has a count: %v", c)
		}
	}
}

func TestWhatAppearsWithinTheWindowCountsFromZero(t *testing.T) {
	h := newHistory(t, "c")
	h.write(h.run(3*time.Minute, nil)...)
	h.shop.Break("payments", shop.Fault{Fail: 1}) // its series of failures begin with this burst
	h.write(h.run(every, nil)...)
	now := h.shop.Now()
	h.truth(h.sample(source(t, h.db)), now.Add(-90*time.Second), now)
}

func TestAServiceWithoutAMeshIsMeasuredByItsOwnMetricsThenByItsSpans(t *testing.T) {
	for name, keep := range map[string]func(lab.Point) bool{
		"http":   func(p lab.Point) bool { return p.Name == "http.server.request.duration" },
		"traces": func(lab.Point) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, "c")
			h.shop.Break("payments", shop.Fault{Fail: 0.2})
			records := h.run(3*time.Minute, nil)
			for i := range records {
				records[i].Points = slices.DeleteFunc(records[i].Points, func(p lab.Point) bool { return !keep(p) })
			}
			h.write(records...)
			now := h.shop.Now()
			window, end := 90*time.Second, now
			bounds := []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
			if name == "traces" {
				window, end = time.Minute, now.Add(-15*time.Second) // later spans may still be on their way
			}
			f := h.sample(source(t, h.db))
			got := found(f)
			for _, svc := range shop.Services {
				want := h.shop.Truth("*", svc, end.Add(-window), end)
				near(t, svc+"'s rate", got["Service/"+svc+" request_rate"].GetValue(), float64(want.Requests)/window.Seconds(), 0.02)
				near(t, svc+"'s errors", got["Service/"+svc+" error_rate"].GetValue(), float64(want.Failed)/float64(want.Requests), 0.02)
				near(t, svc+"'s mean", got["Service/"+svc+" avg_latency"].GetValue(), want.Mean().Seconds(), 0.02)
				inBucket(t, svc+"'s p95", bounds, got["Service/"+svc+" p95_latency"].GetValue(), want.Quantile(0.95))
			}
			end = now.Add(-15 * time.Second)
			want := h.shop.Edges(end.Add(-time.Minute), end)
			for _, e := range f.GetTraffic() {
				delete(want, [2]string{e.GetFrom().GetName(), e.GetTo().GetName()})
				truth := h.shop.Truth(e.GetFrom().GetName(), e.GetTo().GetName(), end.Add(-time.Minute), end)
				near(t, e.GetFrom().GetName()+" → "+e.GetTo().GetName(), e.GetRequestsPerSecond(), float64(truth.Requests)/60, 0.02)
			}
			if len(want) > 0 {
				t.Errorf("edges are missing: %v", want)
			}
		})
	}
}

func TestMinutesCountEveryRequestOnce(t *testing.T) {
	for _, generation := range []string{"a", "c"} {
		t.Run(generation, func(t *testing.T) {
			h := newHistory(t, generation)
			h.shop.Break("payments", shop.Fault{Fail: 0.1})
			records := h.run(3*time.Minute, nil)
			h.shop.Restart("payments")
			h.write(append(records, h.run(3*time.Minute, nil)...)...)
			counts, err := source(t, h.db).Requests(t.Context(), epoch.Add(time.Minute), h.shop.Now(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, c := range counts {
				begin := c.GetStart().AsTime()
				end := begin.Add(c.GetSpan().AsDuration())
				e := c.GetEntity()
				seen[c.GetLayer()+" "+e.GetKind()+"/"+e.GetName()+" "+c.GetRoute()]++
				from, to := "*", e.GetName()
				if c.GetLayer() == "ingress" {
					from, to = "", "frontend"
				}
				want := h.shop.Truth(from, to, begin, end)
				what := c.GetLayer() + " " + e.GetName() + " at " + begin.Format(time.TimeOnly)
				near(t, what, c.GetTotal(), float64(want.Requests), 1e-9)
				near(t, what+", failed", c.GetErrors(), float64(want.Failed), 1e-9)
				near(t, what+", code 500", c.GetCodes()["500"], float64(want.Failed), 1e-9)
				if len(c.GetBuckets()) != len(c.GetBounds())+1 {
					t.Fatalf("%s has %d buckets for %d bounds", what, len(c.GetBuckets()), len(c.GetBounds()))
				}
				buckets := make([]float64, len(c.GetBuckets()))
				for _, d := range want.Took {
					i, _ := slices.BinarySearch(c.GetBounds(), d.Seconds())
					buckets[i]++
				}
				for i := range buckets {
					near(t, what+", bucket", c.GetBuckets()[i], buckets[i], 1e-9)
				}
			}
			for _, svc := range shop.Services {
				if n := seen["mesh Service/"+svc+" "]; n != 5 {
					t.Errorf("%s has %d minutes, want 5", svc, n)
				}
			}
			for _, id := range []string{"ingress Service/frontend ", "ingress Ingress/shop ", "ingress Ingress/shop " + shop.RouterLabel} {
				if seen[id] != 5 {
					t.Errorf("%s has %d minutes, want 5: %v", id, seen[id], seen)
				}
			}
		})
	}
}

func TestALongPastIsCountedInPiecesWithNoSeam(t *testing.T) {
	h := newHistory(t, "c")
	h.shop = shop.New(shop.Config{Start: epoch, Rate: 1})
	h.shop.Silent = true
	var records []lab.Records
	for range 13 * 60 { // thirteen hours by the minute: three pieces
		h.shop.Advance(h.shop.Now().Add(time.Minute))
		r := h.shop.Scrape()
		r.Points = slices.DeleteFunc(r.Points, func(p lab.Point) bool { return p.Name != "traefik_service_request_duration_seconds" })
		records = append(records, r)
	}
	h.write(records...)
	o, err := source(t, h.db).Answer(t.Context(), &report.Query{Ask: &report.Query_Requests{Requests: &report.RequestsQuery{
		From: timestamppb.New(epoch.Add(time.Hour)), To: timestamppb.New(h.shop.Now()), Step: durationpb.New(time.Hour),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	hours := 0
	for _, c := range o.GetRequests() {
		if c.GetEntity().GetKind() == "Service" {
			near(t, c.GetStart().AsTime().String(), c.GetTotal(), 3600, 1e-9)
			hours++
		}
	}
	if hours != 12 || o.GetTruncated() {
		t.Errorf("%d hours, want 12", hours)
	}
}

// differences turns what an SDK counts since its start into what it sends with delta temporality: only what changed,
// since the last time.
func differences(records []lab.Records) {
	last := map[string]lab.Point{}
	for i := range records {
		var out []lab.Point
		for _, p := range records[i].Points {
			if p.Name != "http.server.request.duration" {
				continue
			}
			key := p.Resource["service.instance.id"] + p.Attributes["http.response.status_code"]
			before, known := last[key]
			last[key] = p
			if !known {
				before = lab.Point{Time: p.Time.Add(-every), Buckets: make([]uint64, len(p.Buckets))}
			}
			d := p
			d.Delta, d.Start, d.Count, d.Total, d.Buckets = true, before.Time, p.Count-before.Count, p.Total-before.Total, slices.Clone(p.Buckets)
			for b := range d.Buckets {
				d.Buckets[b] -= before.Buckets[b]
			}
			if d.Count > 0 {
				out = append(out, d)
			}
		}
		records[i].Points, records[i].Spans = out, nil
	}
}

func TestWhatAnSDKSendsAsDifferencesIsAddedUp(t *testing.T) {
	h := newHistory(t, "c")
	h.shop.Break("payments", shop.Fault{Fail: 0.02}) // seldom: some intervals have no failure, and no point
	records := h.run(3*time.Minute, nil)
	differences(records)
	h.write(records...)
	now := h.shop.Now()
	s := source(t, h.db)
	got := found(h.sample(s))
	for _, svc := range shop.Services {
		want := h.shop.Truth("*", svc, now.Add(-90*time.Second), now)
		near(t, svc+"'s rate", got["Service/"+svc+" request_rate"].GetValue(), float64(want.Requests)/90, 0.02)
		near(t, svc+"'s mean", got["Service/"+svc+" avg_latency"].GetValue(), want.Mean().Seconds(), 0.02)
	}
	counts, err := s.Requests(t.Context(), epoch.Add(time.Minute), now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		begin := c.GetStart().AsTime()
		want := h.shop.Truth("*", c.GetEntity().GetName(), begin, begin.Add(time.Minute))
		near(t, c.GetEntity().GetName()+" at "+begin.Format(time.TimeOnly), c.GetTotal(), float64(want.Requests), 1e-9)
		near(t, c.GetEntity().GetName()+"'s failures", c.GetErrors(), float64(want.Failed), 1e-9)
	}
	if len(counts) != 2*len(shop.Services) {
		t.Errorf("%d counts, want %d", len(counts), 2*len(shop.Services))
	}
}

// otherwise sends what http.server.request.duration says in another form: as exponential histograms, whose scale falls on
// the way as an SDK's does, or as summaries.
func (h *history) otherwise(records []lab.Records, form lab.Kind) {
	for i := range records {
		var out []lab.Point
		for _, p := range records[i].Points {
			if p.Name != "http.server.request.duration" {
				continue
			}
			p.Kind, p.Bounds, p.Buckets = form, nil, nil
			if form == lab.Exponential {
				p.Scale = 5
				if p.Time.After(epoch.Add(2 * time.Minute)) {
					p.Scale = 1
				}
				at := map[int32]uint64{}
				low, high := int32(math.MaxInt32), int32(math.MinInt32)
				for _, v := range h.shop.Visits(p.Resource["service.name"]) {
					code := "200"
					if v.Failed {
						code = "500"
					}
					if v.At.Before(p.Time) && shop.PodName(v.To, v.Pod) == p.Resource["service.instance.id"] && code == p.Attributes["http.response.status_code"] {
						n := int32(math.Ceil(math.Log2(v.Took.Seconds())*math.Exp2(float64(p.Scale)))) - 1
						at[n]++
						low, high = min(low, n), max(high, n)
					}
				}
				p.Offset = low
				for n := low; n <= high; n++ {
					p.Buckets = append(p.Buckets, at[n])
				}
			}
			out = append(out, p)
		}
		records[i].Points, records[i].Spans = out, nil
	}
}

func TestADurationIsReadInEveryFormInWhichItIsSent(t *testing.T) {
	roots := make([]float64, 86)
	for k := range roots {
		roots[k] = math.Exp2(float64(k-56) / 4)
	}
	for _, generation := range []string{"a", "c"} {
		for name, form := range map[string]lab.Kind{"exponential histogram": lab.Exponential, "summary": lab.Summary} {
			t.Run(name+" in "+generation, func(t *testing.T) {
				h := newHistory(t, generation)
				h.shop.Break("payments", shop.Fault{Fail: 0.2})
				records := h.run(4*time.Minute, nil)
				h.otherwise(records, form)
				h.write(records...)
				now := h.shop.Now()
				s := source(t, h.db)
				got := found(h.sample(s))
				for _, svc := range shop.Services {
					want := h.shop.Truth("*", svc, now.Add(-90*time.Second), now)
					near(t, svc+"'s rate", got["Service/"+svc+" request_rate"].GetValue(), float64(want.Requests)/90, 0.02)
					near(t, svc+"'s errors", got["Service/"+svc+" error_rate"].GetValue(), float64(want.Failed)/float64(want.Requests), 0.02)
					near(t, svc+"'s mean", got["Service/"+svc+" avg_latency"].GetValue(), want.Mean().Seconds(), 0.02)
					p95, ok := got["Service/"+svc+" p95_latency"]
					if form == lab.Summary && ok {
						t.Errorf("a percentile of %s, %v, out of summaries, which have none in common", svc, p95.GetValue())
					}
					if form == lab.Exponential {
						inBucket(t, svc+"'s p95", every2(roots), p95.GetValue(), want.Quantile(0.95))
					}
				}
				counts, err := s.Requests(t.Context(), epoch.Add(time.Minute), now, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range counts {
					begin := c.GetStart().AsTime()
					want := h.shop.Truth("*", c.GetEntity().GetName(), begin, begin.Add(time.Minute))
					near(t, c.GetEntity().GetName()+" at "+begin.Format(time.TimeOnly), c.GetTotal(), float64(want.Requests), 1e-9)
					near(t, c.GetEntity().GetName()+"'s failures", c.GetErrors(), float64(want.Failed), 1e-9)
				}
				if len(counts) != 3*len(shop.Services) {
					t.Errorf("%d counts, want %d", len(counts), 3*len(shop.Services))
				}
			})
		}
	}
}

// every2 keeps the bounds of scale 1, the coarsest that was sent.
func every2(roots []float64) (out []float64) {
	for k := 0; k < len(roots); k += 2 {
		out = append(out, roots[k])
	}
	return out
}

func TestTheOrderOfAttributesMakesNoSeries(t *testing.T) {
	h := newHistory(t, "c")
	h.write(h.run(3*time.Minute, nil)...)
	// Every other row with its attributes turned round, as SDKs that do not sort them send.
	for _, table := range []string{"otel_metrics_sum", "otel_metrics_histogram"} {
		reversed := "mapFromArrays(arrayReverse(mapKeys(Attributes)), arrayReverse(mapValues(Attributes)))"
		if err := h.db.Exec(t.Context(),
			"CREATE TABLE turned AS "+table,
			"INSERT INTO turned SELECT * REPLACE (if(intDiv(toUnixTimestamp(TimeUnix), 15) % 2 = 0, Attributes, "+reversed+") AS Attributes) FROM "+table,
			"DROP TABLE "+table, "RENAME TABLE turned TO "+table); err != nil {
			t.Fatal(err)
		}
	}
	now := h.shop.Now()
	h.truth(h.sample(source(t, h.db)), now.Add(-90*time.Second), now)
}

func TestSeriesThatEndedAreNotCountedOn(t *testing.T) {
	h := newHistory(t, "c")
	records := h.run(3*time.Minute, nil)
	// The collector marks what is gone: a row with a flag and the value 0, which is neither a reset nor a level.
	last := &records[len(records)-1]
	for _, p := range records[len(records)-3].Points {
		if p.Resource["service.name"] == "linkerd-proxy" && p.Attributes["deployment"] == "ads" {
			p.Stale, p.Value, p.Count, p.Total, p.Buckets, p.Time = true, 0, 0, 0, make([]uint64, len(p.Buckets)), h.shop.Now()
			last.Points = append(slices.DeleteFunc(last.Points, func(x lab.Point) bool {
				return x.Resource["service.name"] == "linkerd-proxy" && x.Attributes["deployment"] == "ads" && !x.Stale
			}), p)
		}
	}
	h.write(records...)
	now := h.shop.Now()
	got := found(h.sample(source(t, h.db)))
	want := h.shop.Truth("*", "ads", now.Add(-90*time.Second), now.Add(-15*time.Second))
	near(t, "the rate of what just ended", got["Service/ads request_rate"].GetValue(), float64(want.Requests)/75, 0.02)
}
