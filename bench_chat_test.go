package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAStormIsOneMessageAndACrowdIsAnswered(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for an edit, half a minute")
	}
	var out strings.Builder
	c := &benchChatCmd{JSON: true, Alerts: 8, Within: 4 * time.Second, People: 40}
	if err := c.Run(t.Context(), &environment{stdin: strings.NewReader(""), stdout: &out, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	var figures map[string]float64
	if err := json.Unmarshal([]byte(out.String()), &figures); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if figures["parents"] != 1 || figures["lost"] != 0 || figures["edits_in_5s"] > 1 || figures["edits"] < 1 {
		t.Errorf("the storm: %v", figures)
	}
	if figures["planner_p50_ms"] <= 0 || figures["planner_p95_ms"] < figures["planner_p50_ms"] || figures["message_p95_ms"] <= 0 {
		t.Errorf("the crowd: %v", figures)
	}
}
