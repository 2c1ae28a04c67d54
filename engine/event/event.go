// Package event holds what the engine concluded, as a numbered log. The engine writes events in the same
// transaction as the state that they tell of; the bot reads them by a stored cursor. So no conclusion is lost or
// told twice, whichever side dies first.
package event

import (
	"encoding/json"
	"time"
)

// Type says what an event tells of.
type Type string

// The types.
const (
	IncidentOpened   Type = "incident.opened"   // a record was made and its thread is to be opened
	IncidentChanged  Type = "incident.changed"  // stage, state, severity, root cause or members changed
	IncidentMerged   Type = "incident.merged"   // Note names the record that took this one in
	SilenceEnd       Type = "silence.end"       // an incident outgrew its silence; Data is a SilenceEnded
	ProposalMade     Type = "proposal.made"     // a write waits for a decision
	ProposalChanged  Type = "proposal.changed"  // approved, rejected, expired, running, done, verified
	GlassBroken      Type = "glass.broken"      // an admin approved alone what needs another operator; Note says why
	ClusterSilent    Type = "cluster.silent"    // no report for longer than the limit
	ClusterBack      Type = "cluster.back"      // the agent speaks again
	ClusterDegraded  Type = "cluster.degraded"  // a kind cannot be listed, telemetry lost, clock skew
	ClusterRecovered Type = "cluster.recovered" // the degradation named in Note is over
)

// Event is one line of the log. Seq is given by the store and rises without gaps a reader must care for.
type Event struct {
	Seq      int64           `json:"seq"`
	At       time.Time       `json:"at"`
	Type     Type            `json:"type"`
	Cluster  string          `json:"cluster"`
	Incident string          `json:"incident,omitempty"`
	Proposal string          `json:"proposal,omitempty"`
	Note     string          `json:"note,omitempty"` // one sentence for a person, in English
	Data     json.RawMessage `json:"data,omitempty"`
}

// SilenceEnded is the Data of SilenceEnd.
type SilenceEnded struct {
	By   string `json:"by"`             // name of who asked for it
	ID   string `json:"id"`             // and their id: "slack:U123"
	Lang string `json:"lang,omitempty"` // in which they asked
	Why  string `json:"why"`            // stage, severity, risk; "" when it has eased since
	From string `json:"from,omitempty"` // severity or risk when they asked
	To   string `json:"to,omitempty"`   // and now
}
