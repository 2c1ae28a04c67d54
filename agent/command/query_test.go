package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/report"
)

// text is a LogReader over fixed logs, by pod.
type text map[string]string

func (l text) ReadLog(_ context.Context, _, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	s, ok := l[pod]
	if !ok {
		return nil, apierrors.NewBadRequest("no previous container of " + pod)
	}
	if o.TailLines != nil {
		lines := strings.SplitAfter(s, "\n")
		s = strings.Join(lines[max(0, len(lines)-1-int(*o.TailLines)):], "")
	}
	return io.NopCloser(strings.NewReader(s)), nil
}

func TestLogs(t *testing.T) {
	var big strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&big, "line %05d of a log that is about one megabyte\n", i)
	}
	logs := text{"web-bbb-1": "one\ntwo error\nthree\n", "web-bbb-2": "four\nfive error\n", "proxy-1": big.String()}
	r := newRunner(t, simulated(append(objects(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "silent"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}},
	})...), func(c *Config) { c.Logs = logs })
	pod := target("Pod", "shop", "web-bbb-1")
	ask := func(q *report.LogsQuery, size int64) *report.Outcome {
		return r.Query(t.Context(), &report.Query{Id: "q", MaxBytes: size, Ask: &report.Query_Logs{Logs: q}})
	}
	for name, c := range map[string]struct {
		query *report.LogsQuery
		want  string
	}{
		"of a pod":                      {&report.LogsQuery{Object: pod}, "one\ntwo error\nthree\n"},
		"of a pod's last line":          {&report.LogsQuery{Object: pod, Tail: 1}, "three\n"},
		"of a pod, filtered":            {&report.LogsQuery{Object: pod, Grep: "^t.*r$"}, "two error\n"},
		"of a pod, the last that match": {&report.LogsQuery{Object: pod, Grep: "e", Tail: 1}, "three\n"},
		"of a workload":                 {&report.LogsQuery{Object: web, Grep: "error"}, "web-bbb-1 | two error\nweb-bbb-2 | five error\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if o := ask(c.query, 0); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || string(o.GetText()) != c.want {
				t.Errorf("got %v %q %s", o.GetStatus(), o.GetText(), o.GetMessage())
			}
		})
	}
	t.Run("of a megabyte keep the beginning and the end", func(t *testing.T) {
		client := simulated(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "proxy-1"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}})
		r := newRunner(t, client, func(c *Config) { c.Logs = logs })
		o := r.Query(t.Context(), &report.Query{MaxBytes: 64 << 10, Ask: &report.Query_Logs{Logs: &report.LogsQuery{Object: target("Pod", "shop", "proxy-1"), Since: durationpb.New(time.Hour)}}})
		got := string(o.GetText())
		if !o.GetTruncated() || len(got) > 64<<10+100 || len(got) < 60<<10 || !strings.HasPrefix(got, "line 00000") || !strings.HasSuffix(got, "line 19999 of a log that is about one megabyte\n") {
			t.Errorf("truncated %v, %d bytes, %.20q … %q", o.GetTruncated(), len(got), got, got[max(0, len(got)-60):])
		}
	})
	t.Run("of a line without end are cut", func(t *testing.T) {
		logs["web-bbb-1"] = strings.Repeat("x", 3<<20)
		o := ask(&report.LogsQuery{Object: pod}, 0)
		if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(o.GetText()) > maxLine+2000 {
			t.Errorf("got %v, %d bytes", o.GetStatus(), len(o.GetText()))
		}
	})
	t.Run("with a bad expression are refused with the reason", func(t *testing.T) {
		o := ask(&report.LogsQuery{Object: pod, Grep: "a("}, 0)
		if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "missing closing )") {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
	t.Run("that cannot be read fail with the reason", func(t *testing.T) {
		o := ask(&report.LogsQuery{Object: target("Pod", "shop", "silent"), Previous: true}, 0)
		if o.GetStatus() != report.Outcome_STATUS_FAILED || !strings.Contains(o.GetMessage(), "no previous container") {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
	t.Run("of a container that is not there name those that are", func(t *testing.T) {
		o := ask(&report.LogsQuery{Object: pod, Container: "nope"}, 0)
		if o.GetStatus() != report.Outcome_STATUS_FAILED || !strings.Contains(o.GetMessage(), "web, proxy") {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
}

func TestQueriesOfRollouts(t *testing.T) {
	r := newRunner(t, simulated(objects()...))
	o := r.Query(t.Context(), &report.Query{Ask: &report.Query_RolloutHistory{RolloutHistory: &report.RolloutHistoryQuery{Object: web}}})
	if len(o.GetRevisions()) != 2 || !o.GetRevisions()[1].GetCurrent() || o.GetRevisions()[0].GetImages()["web"] != "web:v1" {
		t.Errorf("history: %v", o)
	}
	d, err := r.get(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	if want := r.cfg.Converter.Resource(d).GetWorkload().GetTemplateHash(); o.GetRevisions()[1].GetTemplateHash() != want {
		t.Errorf("the current revision's hash %s is not the deployment's %s", o.GetRevisions()[1].GetTemplateHash(), want)
	}
	o = r.Query(t.Context(), &report.Query{Ask: &report.Query_RolloutStatus{RolloutStatus: &report.RolloutStatusQuery{Object: web}}})
	if !strings.Contains(o.GetMessage(), "0 out of 3 new replicas") {
		t.Errorf("status: %v", o)
	}
	o = r.Query(t.Context(), &report.Query{Ask: &report.Query_Top{Top: &report.TopQuery{Kind: "Pod"}}})
	if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "metrics-server") {
		t.Errorf("top: %v", o)
	}
}
