package detect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

func itoa(n int) string { return strconv.Itoa(n) }

// evidence is what one container shows now. Mark differs for each new occurrence of what is an occurrence rather than
// a state (an OOM kill), so that it is dated once and not renewed by every look.
type evidence struct {
	kind     string
	score    float64
	detail   string
	at       time.Time // zero: it is being shown at this moment
	mark     string
	restarts int32
}

// waiting maps a reason for which a container waits to its kind and score. ErrImagePull and ImagePullBackOff alternate
// every few seconds: they are one fault.
var waiting = map[string]struct {
	kind  string
	score float64
}{
	"CrashLoopBackOff":           {"CrashLoopBackOff", 0.90},
	"CreateContainerConfigError": {"CreateContainerConfigError", 0.80},
	"CreateContainerError":       {"CreateContainerError", 0.80},
	"InvalidImageName":           {"InvalidImageName", 0.80},
	"RunContainerError":          {"RunContainerError", 0.80},
	"ImagePullBackOff":           {"ImagePullBackOff", 0.80},
	"ErrImagePull":               {"ImagePullBackOff", 0.80},
	"ErrImageNeverPull":          {"ImagePullBackOff", 0.80},
}

func (p *pass) evidence(v *pod, ct *report.Container) []evidence {
	var out []evidence
	if w, ok := waiting[ct.GetReason()]; ok && ct.GetState() == "waiting" {
		e := evidence{kind: w.kind, score: w.score, restarts: ct.GetRestarts()}
		switch w.kind {
		case "CrashLoopBackOff":
			e.detail = fmt.Sprintf("exit code %d", ct.GetLastExitCode())
		case "ImagePullBackOff":
			e.detail = ct.GetImage()
			if m := pullError(ct.GetMessage()); m != "" {
				e.detail += " " + m
			}
		default:
			e.detail = cmp.Or(line(ct.GetMessage()), ct.GetImage())
		}
		out = append(out, e)
	}
	if ct.GetReason() != "OOMKilled" && ct.GetLastReason() != "OOMKilled" {
		return out
	}
	oom := evidence{kind: "OOMKilled", score: 0.95, restarts: ct.GetRestarts(), mark: itoa(int(ct.GetRestarts())), detail: "memory limit " + bytes(ct.GetLimits().GetMemoryBytes())}
	switch {
	case ct.GetReason() == "OOMKilled" && (ct.GetState() == "waiting" || ct.GetState() == "terminated"):
		// The killed container of a pod that is over stays in its status for ever: it is dated when it is first seen.
		if !v.done {
			oom.mark = ""
		}
		out = append(out, oom)
	case ct.GetLastReason() == "OOMKilled":
		oom.at = p.at(ct.GetLastFinished())
		if !oom.at.IsZero() && p.now.Sub(oom.at) < p.t.RecentKill {
			out = append(out, oom)
		}
	}
	return out
}

// containers finds what containers show and keeps it on hold: a fact lasts until the container has been Ready for two
// minutes, at most ten minutes after its last evidence, and does not flap with a crash loop's running moments. A pod
// that is being deleted shows nothing.
func (p *pass) containers() {
	held := map[string]bool{} // uids of pods with a hold: nearly all have none, and no key is made for them
	for key := range p.s.Holds {
		_, rest, _ := strings.Cut(key, "|")
		uid, _, _ := strings.Cut(rest, "|")
		held[uid] = true
	}
	for _, v := range p.pods {
		if v.deleting || v.GetPod().GetPhase() == "Succeeded" {
			continue
		}
		for _, ct := range v.GetPod().GetContainers() {
			evidence := p.evidence(v, ct)
			if len(evidence) == 0 && !held[v.GetUid()] {
				continue
			}
			base := "hold|" + v.GetUid() + "|" + ct.GetName() + "|"
			for _, e := range evidence {
				p.show(v, base+e.kind, e)
			}
			up := v.state.Started[ct.GetName()]
			for _, kind := range containerKinds {
				h := p.s.Holds[base+kind]
				if h == nil || p.now.Sub(h.Seen) > p.t.HoldMax {
					continue
				}
				if !up.IsZero() && p.now.Sub(up) >= p.t.HoldReady {
					continue
				}
				p.touched[base+kind] = true
				v.shows = p.look
				p.raise(Fact{
					Entity: v.ref, Kind: kind, Score: h.Score, Since: h.Since, Seen: h.Seen,
					Text: "container " + ct.GetName() + " " + tells(kind, false) + ": " + details(h.Detail, kind, h.Restarts),
				})
			}
		}
	}
	p.lift()
}

// containerKinds are the kinds that are held, in the order of their names.
var containerKinds = func() []string {
	kinds := []string{"OOMKilled"}
	for _, w := range waiting {
		if !slices.Contains(kinds, w.kind) {
			kinds = append(kinds, w.kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}()

func (p *pass) show(v *pod, key string, e evidence) {
	h := p.s.Holds[key]
	if h == nil {
		since := cmp.Or(e.at, p.now)
		// A pod that is not Ready has been failing since it stopped being so, or never was.
		if !v.ready {
			since = earlier(since, v.state.NotReady)
		}
		h = &hold{Since: since, Seen: cmp.Or(e.at, p.now), Mark: e.mark}
		p.s.Holds[key] = h
	}
	p.touched[key] = true // a hold that ran out is kept while its evidence lies around, or it would begin anew
	switch {
	case !e.at.IsZero():
		h.Seen = later(h.Seen, e.at)
	case e.mark == "" || e.mark != h.Mark:
		h.Seen = p.now
	}
	h.Mark, h.Score, h.Detail, h.Restarts = e.mark, e.score, e.detail, e.restarts
}

// lift puts the facts of containers on the workloads of their pods, with how many of them show it. A workload keeps a
// kind that no pod shows any more until it is fully available, at most as long as a hold: the hold is against a
// container that flaps, and one that was replaced by a working one, as by a rollback, cannot.
func (p *pass) lift() {
	type shown struct {
		pods     int
		restarts int32
		worst    *Fact
		detail   string
		since    time.Time
		seen     time.Time
	}
	for _, w := range p.workloads {
		pods := p.byWorkload[w]
		if len(pods) == 1 && pods[0].ref == w {
			continue // bare
		}
		kinds := map[string]*shown{}
		for _, v := range pods {
			if v.shows != p.look {
				continue
			}
			for _, kind := range containerKinds {
				f := p.facts[factKey{v.ref, kind}]
				if f == nil {
					continue
				}
				s := kinds[kind]
				if s == nil {
					s = &shown{worst: f, since: f.Since, seen: f.Seen}
					kinds[kind] = s
				}
				s.pods++
				s.since, s.seen = earlier(s.since, f.Since), later(s.seen, f.Seen)
				for _, ct := range v.GetPod().GetContainers() {
					if h := p.s.Holds["hold|"+v.GetUid()+"|"+ct.GetName()+"|"+kind]; h != nil && p.touched["hold|"+v.GetUid()+"|"+ct.GetName()+"|"+kind] {
						s.restarts += h.Restarts
						s.detail = cmp.Or(s.detail, h.Detail)
					}
				}
			}
		}
		total := len(p.live[w])
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			s := kinds[kind]
			key := kindKey(w, kind)
			h := p.s.Kinds[key]
			if h == nil {
				h = &hold{Since: s.since}
				p.s.Kinds[key] = h
			}
			h.Seen, h.Score = s.seen, s.worst.Score
			h.Text = of(s.pods, total) + " " + tells(kind, s.pods != 1) + ": " + details(s.detail, kind, s.restarts)
			p.touched[key] = true
			p.raise(Fact{Entity: w, Kind: kind, Score: h.Score, Text: h.Text, Source: s.worst.Entity, Since: h.Since, Seen: h.Seen})
		}
	}
}

// held raises again what a workload's replaced pods showed, see lift.
func (p *pass) held() {
	for _, key := range slices.Sorted(maps.Keys(p.s.Kinds)) {
		h := p.s.Kinds[key]
		if p.touched[key] || p.now.Sub(h.Seen) > p.t.HoldMax {
			continue
		}
		w, kind, ok := p.parseKindKey(key)
		if !ok || p.fullyAvailable(w) {
			continue
		}
		p.touched[key] = true
		p.raise(Fact{Entity: w, Kind: kind, Score: h.Score, Text: h.Text + " (those pods are gone, the workload is not available yet)", Since: h.Since, Seen: h.Seen})
	}
}

func kindKey(w entity.Ref, kind string) string {
	return strings.Join([]string{"kind", w.Kind, w.Namespace, w.Name, kind}, "|")
}

// parseKindKey reads a key back; ok is false when the workload is gone.
func (p *pass) parseKindKey(key string) (w entity.Ref, kind string, ok bool) {
	f := strings.Split(key, "|")
	if len(f) != 5 {
		return entity.Ref{}, "", false
	}
	w = entity.Ref{Cluster: p.c.ID(), Kind: f[1], Namespace: f[2], Name: f[3]}
	return w, f[4], p.c.Find(w) != nil
}

// tells is the verb phrase of a kind.
func tells(kind string, many bool) string {
	switch {
	case kind == "OOMKilled" && many:
		return "were OOMKilled"
	case kind == "OOMKilled":
		return "was OOMKilled"
	case many:
		return "wait in " + kind
	}
	return "waits in " + kind
}

func details(detail, kind string, restarts int32) string {
	if kind == "CrashLoopBackOff" || kind == "OOMKilled" {
		return detail + ", " + plural(int(restarts), "restart", "restarts")
	}
	return detail
}

// pullError takes the reason out of a runtime's long message about a pull.
func pullError(m string) string {
	low := strings.ToLower(m)
	switch {
	case strings.Contains(low, "not found"), strings.Contains(low, "manifest unknown"):
		return "not found"
	case strings.Contains(low, "unauthorized"), strings.Contains(low, "denied"), strings.Contains(low, "forbidden"):
		return "access denied"
	case strings.Contains(low, "no such host"), strings.Contains(low, "timeout"), strings.Contains(low, "connection refused"):
		return "registry not reachable"
	}
	return ""
}

func bytes(n float64) string {
	switch {
	case n <= 0:
		return "not set"
	case n >= 1<<30:
		return strconv.FormatFloat(n/(1<<30), 'g', 3, 64) + " GiB"
	}
	return strconv.FormatFloat(n/(1<<20), 'g', 4, 64) + " MiB"
}
