package agent

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/bukahou/atlhyper/agent/command"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
)

// answers lets the runner ask a source for traces, logs and series; nil when it cannot be asked.
func answers(source telemetry.Source) command.Telemetry {
	if a, ok := source.(telemetry.Answerer); ok {
		return answerer{a}
	}
	return nil
}

type answerer struct{ source telemetry.Answerer }

// Answer turns an error into an outcome that says it.
func (a answerer) Answer(ctx context.Context, q *report.Query) *report.Outcome {
	o, err := a.source.Answer(ctx, q)
	switch {
	case err == nil:
		fit(o, int(q.GetMaxBytes()))
		return o
	case errors.Is(err, telemetry.ErrNotKept):
		return &report.Outcome{Status: report.Outcome_STATUS_REFUSED, Message: "no store of this cluster keeps that: " + missing(q)}
	case ctx.Err() != nil:
		return &report.Outcome{Status: report.Outcome_STATUS_FAILED, Message: "the telemetry store did not answer in time"}
	}
	return &report.Outcome{Status: report.Outcome_STATUS_FAILED, Message: err.Error()}
}

// mostBytes is what an answer may take on the link at most, and when nobody said how much.
const mostBytes = 4 << 20

// fit drops what an answer has too much of until it takes no more bytes than asked: lists from their end, where the less
// important stands, and counts from their beginning, which is the longest ago.
func fit(o *report.Outcome, bytes int) {
	if bytes <= 0 || bytes > mostBytes {
		bytes = mostBytes
	}
	for proto.Size(o) > bytes {
		before := proto.Size(o)
		o.Truncated = true
		o.Lines, o.Patterns, o.Operations, o.Traffic, o.Series = half(o.Lines), half(o.Patterns), half(o.Operations), half(o.Traffic), half(o.Series)
		o.Requests = o.Requests[len(o.Requests)-len(half(o.Requests)):]
		if len(o.Traces) == 1 {
			o.Traces[0].Spans = half(o.Traces[0].Spans)
		} else {
			o.Traces = half(o.Traces)
		}
		if proto.Size(o) == before {
			return // what is left is one of each
		}
	}
}

// half keeps the first half of a list, of one thing that.
func half[T any](list []T) []T { return list[:(len(list)+1)/2] }

// missing says what would have to be written for a question to be answered.
func missing(q *report.Query) string {
	switch q.GetAsk().(type) {
	case *report.Query_TraceSearch, *report.Query_Trace, *report.Query_Operations:
		return "let the collector write traces to ClickHouse"
	case *report.Query_LogSearch, *report.Query_LogPatterns:
		return "let the collector write logs to ClickHouse"
	}
	return "let the collector write metrics to ClickHouse"
}
