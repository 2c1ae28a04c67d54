package tools

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// severities are OpenTelemetry's severity numbers by the words that people use.
var severities = map[string]int32{"trace": 1, "debug": 5, "info": 9, "warn": 13, "warning": 13, "error": 17, "fatal": 21}

func severity(word string) (int32, error) {
	if word == "" {
		return 0, nil
	}
	if n, ok := severities[strings.ToLower(word)]; ok {
		return n, nil
	}
	return 0, &Problem{Sentence: fmt.Sprintf("%q is no level.", word), Remedy: "Levels are debug, info, warn, error and fatal."}
}

type searchLogsArgs struct {
	Target    string `json:"target,omitempty" jsonschema:"workload, service or pod whose logs are searched; every one when left out"`
	Text      string `json:"text,omitempty" jsonschema:"part of the line, in any case"`
	Level     string `json:"level,omitempty" jsonschema:"this level or worse: debug, info, warn, error, fatal"`
	TraceID   string `json:"trace_id,omitempty" jsonschema:"only lines of this trace"`
	Since     string `json:"since,omitempty" jsonschema:"how far back, such as 15m or 1h; 15m when left out"`
	Limit     int64  `json:"limit,omitempty" jsonschema:"how many lines; 50 when left out"`
	Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

// logged are the kinds that logs are kept of.
var logged = []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.Job, entity.CronJob, entity.Service, entity.Pod}

func searchLogsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "search_logs", verb: "search", usage: "search [TARGET] [TEXT] [--level error] [--trace_id ID] [--since 15m] [--limit 50] [-n NAMESPACE] [--cluster C]", pos: []string{"target", "text…"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a searchLogsArgs) (*Result, error) {
		span, err := duration(a.Since, 15*time.Minute)
		if err != nil {
			return nil, err
		}
		least, err := severity(a.Level)
		if err != nil {
			return nil, err
		}
		c, name, ns, err := subject(e, caller, a.Target, a.Namespace, a.Cluster, logged...)
		if err != nil {
			return nil, err
		}
		now := e.Now()
		q := &report.LogSearchQuery{Namespace: ns, MinSeverity: least, Text: a.Text, TraceId: strings.ToLower(a.TraceID), Limit: min(cmp.Or(max(0, a.Limit), 50), 500)}
		q.From, q.To = window(now, span)
		if q.Workload = name; c.Get(entity.Pod, ns, name) != nil {
			q.Workload, q.Pod = "", name
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_LogSearch{LogSearch: q}})
		if err != nil {
			return nil, err
		}
		var body strings.Builder
		for _, l := range o.GetLines() {
			fmt.Fprintf(&body, "%s %-5s ", l.GetTime().AsTime().Format("15:04:05.000"), l.GetSeverity())
			if q.Pod == "" {
				body.WriteString(cmp.Or(l.GetPod(), l.GetWorkload()) + " ")
			}
			body.WriteString(strings.TrimRight(l.GetBody(), "\n") + "\n")
		}
		p := phrase.For(caller.Lang)
		res := &Result{Cluster: c.ID(), Observed: now, Headline: p.Sprintf("%s: the newest %d log lines of the last %s that fit.", where(c, name, ns), len(o.GetLines()), Age(span))}
		if len(o.GetLines()) == 0 {
			res.Headline = p.Sprintf("%s: no log line of the last %s fits.", where(c, name, ns), Age(span))
			return res, nil
		}
		res.Texts = []Text{{Body: body.String(), Truncated: o.GetTruncated()}}
		return res, nil
	}))
}

type logPatternsArgs struct {
	Target    string `json:"target,omitempty" jsonschema:"workload or service; every one when left out"`
	Level     string `json:"level,omitempty" jsonschema:"this level or worse"`
	Since     string `json:"since,omitempty" jsonschema:"how far back, such as 1h; 1h when left out"`
	NewSince  string `json:"new_since,omitempty" jsonschema:"only patterns that were not there before this long ago, such as 10m, or 'rollout' for the target's last rollout"`
	Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

func logPatternsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "log_patterns", verb: "patterns", usage: "patterns [TARGET] [--level error] [--since 1h] [--new_since 10m|rollout] [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a logPatternsArgs) (*Result, error) {
		span, err := duration(a.Since, time.Hour)
		if err != nil {
			return nil, err
		}
		least, err := severity(a.Level)
		if err != nil {
			return nil, err
		}
		c, name, ns, err := subject(e, caller, a.Target, a.Namespace, a.Cluster, logged...)
		if err != nil {
			return nil, err
		}
		now := e.Now()
		var fresh time.Duration
		switch a.NewSince {
		case "":
		case "rollout":
			at, ok := lastRollout(c, now, name, ns)
			if !ok {
				return nil, &Problem{Sentence: fmt.Sprintf("No rollout of %s is known in the last hour.", cmp.Or(name, c.ID())), Remedy: "Say since when, such as --new_since 10m."}
			}
			fresh = now.Sub(at)
		default:
			if fresh, err = duration(a.NewSince, 0); err != nil {
				return nil, err
			}
		}
		q := &report.LogPatternsQuery{Namespace: ns, Workload: name, MinSeverity: least, Limit: 20}
		q.From, q.To = window(now, max(span, fresh+30*time.Minute)) // what is new is told from what was there before
		if fresh > 0 {
			q.NewSince = timestamppb.New(now.Add(-fresh))
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_LogPatterns{LogPatterns: q}})
		if err != nil {
			return nil, err
		}
		t := Table{Columns: []string{"COUNT", "LEVEL", "FIRST", "LAST", "PATTERN"}}
		for _, x := range o.GetPatterns() {
			t.Rows = append(t.Rows, []string{fmt.Sprint(x.GetCount()), x.GetSeverity(), since(x.GetFirst(), now), since(x.GetLast(), now), x.GetTemplate()})
		}
		p := phrase.For(caller.Lang)
		res := &Result{Cluster: c.ID(), Observed: now}
		switch n := len(t.Rows); {
		case n == 0 && fresh > 0:
			res.Headline = p.Sprintf("%s: no log pattern is new in the last %s.", where(c, name, ns), Age(fresh))
		case n == 0:
			res.Headline = p.Sprintf("%s: no log line of the last %s fits.", where(c, name, ns), Age(span))
		case fresh > 0:
			res.Headline = p.Sprintf("%s: %d log patterns are new in the last %s.", where(c, name, ns), n, Age(fresh))
		default:
			res.Headline = p.Sprintf("%s: %d log patterns in the last %s.", where(c, name, ns), n, Age(span))
		}
		if len(t.Rows) > 0 {
			res.Tables = []Table{t}
		}
		return res, nil
	}))
}

// lastRollout is when the pods' template of a workload, or of anything in the cluster, was last changed.
func lastRollout(c *fleet.Cluster, now time.Time, name, namespace string) (at time.Time, ok bool) {
	for _, change := range c.Changes(now.Add(-time.Hour)) { // newest first
		if name != "" && (change.Entity.Name != name || change.Entity.Namespace != namespace) {
			continue
		}
		switch change.Kind {
		case "image", "rollout", "restart":
			return change.At, true
		}
	}
	return time.Time{}, false
}
