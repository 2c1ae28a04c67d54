// Package command is the only way in which AtlHyper changes a cluster: a typed command is proposed, approved by the
// people that its class demands, dispatched once, verified and recorded. The zero value of every verdict denies.
package command

import (
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
)

// Verb is what a command does.
type Verb string

// The verbs.
const (
	RolloutRestart Verb = "rollout_restart"
	Scale          Verb = "scale"
	Rollback       Verb = "rollback"
	SetImage       Verb = "set_image"
	DeletePod      Verb = "delete_pod"
	Cordon         Verb = "cordon"
	Uncordon       Verb = "uncordon"
	Drain          Verb = "drain"
	RolloutPause   Verb = "rollout_pause"
	RolloutResume  Verb = "rollout_resume"
	DeleteJob      Verb = "delete_job"
	RunCronJob     Verb = "run_cronjob"
	Taint          Verb = "taint"
	Untaint        Verb = "untaint"
	Label          Verb = "label"
	Annotate       Verb = "annotate"
)

// Command is one typed change, in canonical form: equal commands have equal JSON.
type Command struct {
	Verb      Verb       `json:"verb"`
	Target    entity.Ref `json:"target"`
	Replicas  int32      `json:"replicas,omitempty"`
	Revision  int64      `json:"revision,omitempty"` // of a rollback; 0 is the one before the current
	Container string     `json:"container,omitempty"`
	Image     string     `json:"image,omitempty"`
	// DeleteEmptyDirData lets a drain evict pods with emptyDir volumes, whose content is lost.
	DeleteEmptyDirData bool   `json:"delete_empty_dir_data,omitempty"`
	Key                string `json:"key,omitempty"` // of a taint, a label or an annotation
	Value              string `json:"value,omitempty"`
	Effect             string `json:"effect,omitempty"` // of a taint; when one is removed, empty for all of its key
	Remove             bool   `json:"remove,omitempty"` // of a label or an annotation
	// Selector makes a bulk command: Target then has no name, and Names holds those that matched when it was proposed,
	// in order, separated by commas.
	Selector string `json:"selector,omitempty"`
	Names    string `json:"names,omitempty"`
}

// Class says who must approve: W1 the operator who asks, W2 another operator, W3 another operator and the name typed.
// The zero class is never approved.
type Class int

// The classes.
const (
	Refused Class = iota
	W1
	W2
	W3
)

// String gives "W1".
func (c Class) String() string { return [...]string{"refused", "W1", "W2", "W3"}[c] }

// State is a proposal's.
type State string

// The states: proposed → approved → running → verified | unverified | failed | unknown, or rejected, expired, superseded.
const (
	Proposed   State = "proposed"
	Approved   State = "approved"
	Running    State = "running"
	Done       State = "done" // the change was made; verification is still watching
	Verified   State = "verified"
	Unverified State = "unverified" // it ran and did not help, or not in time
	Failed     State = "failed"
	Unsure     State = "unknown" // nobody can tell whether it ran; read from the cluster, never run again
	Rejected   State = "rejected"
	Expired    State = "expired"
	Superseded State = "superseded" // the object changed after the preview
)

// Final says whether no transition leaves s.
func (s State) Final() bool {
	switch s {
	case Proposed, Approved, Running, Done:
		return false
	}
	return true
}

// FieldChange is one line of the dry run's diff.
type FieldChange struct {
	Path   string `json:"path"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Preview is what the command will touch, computed by the engine from the live topology and by the API server's dry run.
type Preview struct {
	Touches   []string      `json:"touches,omitempty"`   // "6 pods, rolling, at least 5 stay up"
	Objects   []string      `json:"objects,omitempty"`   // of a bulk command: every object, with what it means there
	Callers   []entity.Ref  `json:"callers,omitempty"`   // who depends on the target
	Budget    string        `json:"budget,omitempty"`    // what a PodDisruptionBudget allows
	Changes   []FieldChange `json:"changes,omitempty"`   // the dry run's diff
	DryRun    string        `json:"dry_run"`             // "accepted by the API server", or why not
	Accepted  bool          `json:"accepted"`            // the dry run passed; without it there is nothing to approve
	Warnings  []string      `json:"warnings,omitempty"`  // "Argo CD will revert this"
	Protected bool          `json:"protected,omitempty"` // namespace or cluster
}

// Approval is one person's yes.
type Approval struct {
	By people.Person `json:"by"`
	At time.Time     `json:"at"`
	// BreakGlass is the reason for which an admin approved alone what needs another operator; empty otherwise.
	BreakGlass string `json:"break_glass,omitempty"`
}

// Seen is what the object was like at the preview, as far as a command depends on it. Status is not in it: an object
// that is failing changes its status all the time.
type Seen struct {
	Template      string            `json:"template,omitempty"` // hash of the pod template
	Revision      string            `json:"revision,omitempty"`
	Images        map[string]string `json:"images,omitempty"`
	Generation    int64             `json:"generation,omitempty"`
	Replicas      int32             `json:"replicas,omitempty"`
	Unschedulable bool              `json:"unschedulable,omitempty"`
	Restarted     time.Time         `json:"restarted,omitzero"`
	Owner         entity.Ref        `json:"owner,omitzero"` // of a pod: the workload that makes a new one
	Paused        bool              `json:"paused,omitempty"`
	Mark          string            `json:"mark,omitempty"` // of a label, or the taints of a key: what stood there
	Marked        bool              `json:"marked,omitempty"`
}

// Proposal is a command on its way. ID is random and opaque: a button carries nothing else.
type Proposal struct {
	ID        string             `json:"id"`
	Command   Command            `json:"command"`
	Digest    string             `json:"digest"` // SHA-256 of the canonical command
	UID       string             `json:"uid"`
	Version   string             `json:"resource_version"`
	Seen      Seen               `json:"seen"`
	Members   []Member           `json:"members,omitempty"` // of a bulk command, in the order of its names
	Title     string             `json:"title"`             // "roll back deployment/payments to revision 17"
	Button    string             `json:"button"`            // "Roll back to v2.3.1"
	Reason    string             `json:"reason,omitempty"`
	Class     Class              `json:"class"`
	Why       string             `json:"why"` // the rule that made the class
	Incident  string             `json:"incident,omitempty"`
	By        people.Person      `json:"by"`
	Question  string             `json:"question,omitempty"` // the exact words that were asked
	Preview   Preview            `json:"preview"`
	Approvals []Approval         `json:"approvals,omitempty"`
	State     State              `json:"state"`
	Created   time.Time          `json:"created"`
	Expires   time.Time          `json:"expires"`
	RanAt     time.Time          `json:"ran_at,omitzero"`
	EndedAt   time.Time          `json:"ended_at,omitzero"`
	Result    string             `json:"result,omitempty"`  // one sentence: "6/6 ready, errors 31 % → 0.3 %"
	Decided   string             `json:"decided,omitempty"` // who rejected it
	Undo      *Command           `json:"undo,omitempty"`
	Before    map[string]float64 `json:"before,omitempty"` // readings before it ran, for verification: "service/payments error_rate"
	Doubt     string             `json:"doubt,omitempty"`  // why nobody knows whether it ran; the cluster is being read instead
}
