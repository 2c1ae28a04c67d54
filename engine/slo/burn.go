package slo

import (
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/detect"
)

// Tier is one pair of windows of the multi-window, multi-burn-rate alert of the SRE Workbook, chapter 5, table 5-8.
//
// A burn rate of 1 spends the budget in exactly the window. Worked for 30 days, 720 hours: 14.4 for one hour spends
// 14.4/720 = 2 % of it, 6 for six hours 6·6/720 = 5 %, 1 for three days 72/720 = 10 %. The short window, a twelfth of
// the long one, ends the alert soon after the fault.
type Tier struct {
	Rate  float64
	Long  time.Duration
	Short time.Duration
}

// tiers are the alerts, the fastest first.
var tiers = []Tier{
	{14.4, time.Hour, 5 * time.Minute},
	{6, 6 * time.Hour, 30 * time.Minute},
	{1, 3 * 24 * time.Hour, 6 * time.Hour},
}

// Windows are those that burn rates are given for.
var Windows = []time.Duration{5 * time.Minute, 30 * time.Minute, time.Hour, 6 * time.Hour, 3 * 24 * time.Hour}

// An alert on five requests is none: of a service that is asked once a minute, one failure burns at 200. Nor may a window
// of which next to nothing is known stand for the whole of it.
const (
	leastBad   = 5
	leastShort = 0.4  // of the short window must be known
	leastLong  = 0.25 // of the long one
)

// Burn is the speed at which the budget is spent, as seen over a window: Share / (1 − target).
type Burn struct {
	Window time.Duration
	Rate   float64
	Counts Counts
}

// Known says whether anything is known of the window.
func (b Burn) Known() bool { return b.Counts.Known > 0 }

func (s *stream) burn(now time.Time, o Objective, d time.Duration) Burn {
	c := s.window(now, d, o.Kind, o.Threshold.Seconds())
	return Burn{Window: d, Rate: c.Share() / (1 - o.Target), Counts: c}
}

// alight gives the fastest tier that burns. Both windows must burn at its rate, enough of both must be known, and the
// short one must hold five bad requests.
func (s *stream) alight(now time.Time, o Objective) (Tier, bool) {
	k, end := promised{o.Kind, o.Target, o.Threshold}, s.end(now)
	if have, ok := s.lit[k]; ok && have.end == end && have.version == s.version {
		return have.tier, have.burns
	}
	t, burns := s.kindle(now, o)
	if len(s.lit) > 8 { // objectives that were changed
		clear(s.lit)
	}
	s.lit[k] = lit{end, s.version, t, burns}
	return t, burns
}

func (s *stream) kindle(now time.Time, o Objective) (Tier, bool) {
	for _, t := range tiers {
		short := s.burn(now, o, t.Short)
		if short.Rate < t.Rate || short.Counts.Bad < leastBad || short.Counts.Coverage() < leastShort {
			continue
		}
		if long := s.burn(now, o, t.Long); long.Rate >= t.Rate && long.Counts.Coverage() >= leastLong {
			return t, true
		}
	}
	return Tier{}, false
}

// Kinds and scores of the facts. Only the two tiers that the Workbook pages on are facts; the slowest is a ticket: a
// fact that lasts three days would keep every incident beside it open. See decision 0022.
const (
	FastBurn  = "BudgetBurn"
	SlowBurn  = "BudgetBurnSlow"
	fastScore = 0.95
	slowScore = 0.80
)

// episode is one burn of one objective, from its first evidence to its end.
type episode struct {
	since time.Time
	seen  time.Time
	tier  Tier
	fast  time.Time // when it last burned at the fastest tier
	fact  *detect.Fact
}

// blindFor is how long a burn is held when its counts stop coming: what is not seen has not ended, and nothing is held
// for ever.
const blindFor = 30 * time.Minute

// follow brings the episode of an objective up to date and gives its fact, nil when it does not burn.
//
// The fast fact is there while 5 minutes and an hour burn at 14.4, and gone when the 5 minutes do not. The slow fact is
// for what never burned fast: after a fast burn the half hour still holds its failures long after the end. It is gone
// too when the last 5 minutes spend less than the budget allows.
func (s *stream) follow(now time.Time, o Objective, ep *episode) *detect.Fact {
	if s.newest < s.minutes.index(now)-lag-1 && ep.fact != nil && now.Sub(ep.seen) <= blindFor {
		return ep.fact
	}
	t, burns := s.alight(now, o)
	switch {
	case burns && t == tiers[0]:
		ep.fast = now
	case burns && t == tiers[1]:
		five := s.burn(now, o, tiers[0].Short)
		burns = now.Sub(ep.fast) > tiers[1].Long && five.Known() && five.Rate >= 1
	default:
		burns = false
	}
	if !burns {
		ep.since, ep.fact = time.Time{}, nil
		return nil
	}
	if ep.since.IsZero() {
		ep.since = now.Add(-t.Short)
		if at := s.began(now, o, t.Short); !at.IsZero() {
			ep.since = at
		}
	}
	ep.seen, ep.tier = now, t
	f := &detect.Fact{Entity: o.Entity, Kind: FastBurn, Score: fastScore, Text: s.tell(now, o, t), Since: ep.since, Seen: now}
	if t != tiers[0] {
		f.Kind, f.Score = SlowBurn, slowScore
	}
	ep.fact = f
	return f
}

// began gives the start of the first minute of a window that spent more than its share at the alert's rate.
func (s *stream) began(now time.Time, o Objective, d time.Duration) time.Time {
	end := s.end(now)
	for i := end - int64(d/time.Minute); i < end; i++ {
		c := s.minutes.at(i)
		if c == nil {
			continue
		}
		if total, bad, ok := c.bad(o.Kind, o.Threshold.Seconds()); ok && total > 0 && bad/total >= tiers[0].Rate*(1-o.Target) {
			return time.Unix(i*60, 0).UTC()
		}
	}
	return time.Time{}
}

// tell is the burn in one sentence: "budget burning 22× over 5 min: 31 % of requests fail (1,240 of 4,020; the objective
// allows 1.4 %)".
func (s *stream) tell(now time.Time, o Objective, t Tier) string {
	short := s.burn(now, o, t.Short)
	what := "fail"
	if o.Kind == Latency {
		what = "take longer than " + Seconds(s.measuredAt(o))
	}
	return fmt.Sprintf("budget burning %s over %s: %s of requests %s (%s of %s; the objective allows %s)",
		Times(short.Rate), Span(t.Short), percent100(short.Counts.Share()), what, Number(short.Counts.Bad), Number(short.Counts.Total), Percent(1-o.Target))
}

// spent gives which fraction of the window's budget a number of bad requests is.
func (s *stream) spent(now time.Time, o Objective, bad float64) float64 {
	b := s.budget(now, o)
	if b.Allowed <= 0 {
		return 0
	}
	return bad / b.Allowed
}

// measuredAt gives the threshold that an objective is really measured at, in seconds: the nearest bound of the buckets.
func (s *stream) measuredAt(o Objective) float64 {
	for i := s.end(time.Unix(s.newest*60, 0)); i >= 0 && i > s.newest-minutesKept; i-- {
		if c := s.minutes.at(i); c != nil && len(c.bounds) > 0 {
			return c.bounds[nearest(c.bounds, o.Threshold.Seconds())]
		}
	}
	return o.Threshold.Seconds()
}

// Budget is the error budget of an objective over its window.
//
// Worked: 99.9 % over 30 days at 600 requests a minute is 25,920,000 requests, of which 25,920 may be bad. 1,240 bad
// ones spend 4.8 % of that. When only two of the thirty days are known, the requests of all thirty are estimated at the
// mean rate of what is known, so that a bad minute weighs on the first day what it weighs on the last; what the unknown
// minutes held is not known, so what is left is an upper bound (Counts.Coverage says how much is known).
type Budget struct {
	Counts  Counts  // of the window
	Allowed float64 // bad requests in a whole window
	Spent   float64 // fraction of Allowed; above 1 the objective is missed
}

// Left is the fraction that remains, at most; negative when the objective is missed.
func (b Budget) Left() float64 { return 1 - b.Spent }

func (s *stream) budget(now time.Time, o Objective) Budget {
	b := Budget{Counts: s.window(now, o.Window, o.Kind, o.Threshold.Seconds())}
	if b.Counts.Known <= 0 {
		return b
	}
	b.Allowed = (1 - o.Target) * b.Counts.Total * max(1, float64(o.Window)/float64(b.Counts.Known))
	if b.Allowed > 0 {
		b.Spent = b.Counts.Bad / b.Allowed
	}
	return b
}

// Forecast is how the budget ends at the pace of the last three days, or of what is known of them. The pace of less than
// an hour tells nothing about a month.
type Forecast struct {
	Known      bool
	Pace       float64   // burn rate
	Month      float64   // fraction of the calendar month's budget that is spent
	MonthEnd   float64   // fraction at the month's end
	Exhausted  time.Time // when the window's budget is gone; zero when the pace never spends it
	MonthUntil time.Time // the month's end
}

// forecast: with a burn rate b, a month of N days spends b/N of its budget a day. Worked: on the 11th of a month of 30
// days, 20 % spent, pace 0.5: 20 % + 0.5·20/30 = 53 % at the end. Past the budget the window itself is counted: with
// 70 % of 30 days' budget left and a pace of 2, it is gone in 0.7·30/2 = 10.5 days.
func (s *stream) forecast(now time.Time, o Objective, b Budget) Forecast {
	now = now.UTC()
	first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	f := Forecast{MonthUntil: first.AddDate(0, 1, 0)}
	pace := s.burn(now, o, 3*24*time.Hour)
	if pace.Counts.Known < time.Hour || pace.Counts.Total == 0 {
		return f
	}
	f.Known, f.Pace = true, pace.Rate
	whole := f.MonthUntil.Sub(first)
	month := s.days.sum(s.days.index(first), s.days.index(now)+1, o.Kind, o.Threshold.Seconds())
	if month.Known > 0 && month.Total > 0 {
		allowed := (1 - o.Target) * month.Total * float64(whole) / float64(month.Known)
		f.Month = month.Bad / allowed
	}
	f.MonthEnd = f.Month + f.Pace*float64(f.MonthUntil.Sub(now))/float64(whole)
	if left := b.Left(); f.Pace > 1 && left > 0 {
		f.Exhausted = now.Add(time.Duration(left / f.Pace * float64(o.Window)))
	}
	return f
}
