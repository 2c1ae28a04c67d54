package command

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Canonical gives the JSON of a valid command. Equal commands have equal bytes: the fields stand in a fixed order, and
// Validate refuses a field that its verb does not use.
func (c Command) Canonical() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	return b
}

// Digest is SHA-256 of the canonical JSON, in hexadecimal.
func (c Command) Digest() string {
	h := sha256.Sum256(c.Canonical())
	return hex.EncodeToString(h[:])
}

// kinds lists what a verb may be applied to, nil for an unknown verb.
func (v Verb) kinds() []string {
	switch v {
	case Scale:
		return []string{entity.Deployment, entity.StatefulSet}
	case RolloutRestart, Rollback, SetImage:
		return []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet}
	case DeletePod:
		return []string{entity.Pod}
	case Cordon, Uncordon, Drain, Taint, Untaint:
		return []string{entity.Node}
	case RolloutPause, RolloutResume:
		return []string{entity.Deployment}
	case DeleteJob:
		return []string{entity.Job}
	case RunCronJob:
		return []string{entity.CronJob}
	case Label, Annotate:
		return []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.Job, entity.CronJob, entity.Pod, entity.Service, "Namespace", entity.Node}
	}
	return nil
}

// phrase names a verb for a person.
func (v Verb) phrase() string {
	switch v {
	case RolloutRestart:
		return "restart"
	case Rollback:
		return "roll back"
	case SetImage:
		return "set the image of"
	case DeletePod, DeleteJob:
		return "delete"
	case RolloutPause:
		return "pause the rollouts of"
	case RolloutResume:
		return "resume the rollouts of"
	case RunCronJob:
		return "run now"
	}
	return string(v)
}

// The syntax of names (RFC 1123) and of image references (the grammar of the OCI distribution specification).
var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	image     = regexp.MustCompile(`^(?:(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*:[0-9]+)(?::[0-9]+)?/)?` + // registry
		`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*` + // repository
		`(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`) // tag, digest
)

// Validate says whether a command is well formed. It returns a *Denied.
func (c Command) Validate() error {
	kinds := c.Verb.kinds()
	t := c.Target
	switch {
	case kinds == nil:
		return denied("%q is not a change that I make.", c.Verb)("I can %s.", offers)
	case !slices.Contains(kinds, t.Kind):
		return denied("I cannot %s a %s.", c.Verb.phrase(), t.Kind)("That works on: %s.", strings.Join(kinds, ", "))
	case t.Cluster == "":
		return denied("The command names no cluster.")("Name one with --cluster.")
	case c.Bulk() && t.Namespace == "":
		return denied("The command names no namespace.")("Name one with -n: several namespaces at once are refused by design.")
	case c.Bulk():
		return c.validateBulk()
	case len(t.Name) > 253 || !subdomain.MatchString(t.Name):
		return denied("%q is not a name that Kubernetes allows.", t.Name)("Copy the name from a list.")
	case clusterScoped(t.Kind) && t.Namespace != "":
		return denied("A %s is in no namespace.", strings.ToLower(t.Kind))("Leave the namespace out.")
	case !clusterScoped(t.Kind) && (len(t.Namespace) > 63 || !label.MatchString(t.Namespace)):
		return denied("%q is not a namespace.", t.Namespace)("Name it with -n.")
	case c.Replicas < 0:
		return denied("A workload cannot have %d replicas.", c.Replicas)("Use 0 or more.")
	case c.Replicas > 10_000:
		return denied("%d replicas are more than I ask a cluster for.", c.Replicas)("At most 10000.")
	case c.Revision < 0:
		return denied("%d is not a revision.", c.Revision)("Look at the rollout's history.")
	}
	if c.Verb == SetImage {
		if len(c.Container) > 63 || !label.MatchString(c.Container) {
			return denied("%q is not a container's name.", c.Container)("Name the container as describe shows it.")
		}
		if len(c.Image) > 512 || !image.MatchString(c.Image) {
			return denied("%q is not an image reference.", c.Image)("Write it like registry.example.com/shop/cart:v2.3.1.")
		}
	}
	if err := c.validateMark(); err != nil {
		return err
	}
	bare := Command{Verb: c.Verb, Target: c.Target}
	switch c.Verb {
	case Scale:
		bare.Replicas = c.Replicas
	case Rollback:
		bare.Revision = c.Revision
	case SetImage:
		bare.Container, bare.Image = c.Container, c.Image
	case Drain:
		bare.DeleteEmptyDirData = c.DeleteEmptyDirData
	case Taint:
		bare.Key, bare.Value, bare.Effect = c.Key, c.Value, c.Effect
	case Untaint:
		bare.Key, bare.Effect = c.Key, c.Effect
	case Label, Annotate:
		bare.Key, bare.Value, bare.Remove = c.Key, c.Value, c.Remove
	}
	if c != bare {
		return denied("The command to %s %s says more than it can mean.", c.Verb.phrase(), t.Short())("Leave out what belongs to other commands.")
	}
	return nil
}

// offers are the changes that can be made, for a refusal.
const offers = "restart, scale, roll back, pause, resume, set an image, delete a pod or a job, run a cronjob, cordon, uncordon, taint, untaint, drain, label and annotate"

// clusterScoped says whether a kind that commands work on is in no namespace.
func clusterScoped(kind string) bool { return kind == entity.Node || kind == "Namespace" }

// effects are what a taint can do.
var effects = []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}

// reserved are the domains whose keys steer the cluster itself, its security and what it is deployed from; keys in their
// subdomains belong to them.
var reserved = []string{"kubernetes.io", "k8s.io", "argoproj.io", "fluxcd.io", "helm.sh", "atlhyper.io"}

// free are those of them that people set by hand.
func free(key string) bool {
	return strings.HasPrefix(key, "app.kubernetes.io/") || key == "kubernetes.io/change-cause"
}

// validateMark checks the key, the value and the effect of a taint, a label or an annotation.
func (c Command) validateMark() error {
	switch c.Verb {
	case Taint, Untaint, Label, Annotate:
	default:
		return nil
	}
	if len(validation.IsQualifiedName(c.Key)) > 0 {
		return denied("%q is not a key of a %s.", c.Key, c.Verb.noun())("Write it like team or example.com/team.")
	}
	if domain, _, ok := strings.Cut(c.Key, "/"); ok && !free(c.Key) {
		for _, r := range reserved {
			if domain == r || strings.HasSuffix(domain, "."+r) {
				return denied("Keys of %s steer the cluster itself and are not set from a chat.", r)("Use kubectl itself if it must be.")
			}
		}
	}
	switch {
	case c.Remove && c.Value != "":
		return denied("What is removed has no value.")("Write the key with a hyphen behind it, such as team-.")
	case c.Verb == Taint && !slices.Contains(effects, c.Effect), c.Verb == Untaint && c.Effect != "" && !slices.Contains(effects, c.Effect):
		return denied("%q is not an effect of a taint.", c.Effect)("It is one of %s.", strings.Join(effects, ", "))
	case c.Verb == Annotate:
		if len(c.Value) > 256 || strings.ContainsFunc(c.Value, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return denied("The annotation's value is too long or holds what cannot be printed.")("Use one line of at most 256 bytes.")
		}
	case len(validation.IsValidLabelValue(c.Value)) > 0:
		return denied("%q is not a value of a %s.", c.Value, c.Verb.noun())("Use at most 63 letters, digits, hyphens, underscores and dots.")
	}
	return nil
}

// exact says that a command runs only on the very object that the dry run saw, its status apart: what the engine keeps of
// it is not all that the command depends on.
func (v Verb) exact() bool {
	switch v {
	case DeleteJob, RunCronJob, Taint, Untaint, Label, Annotate, RolloutPause, RolloutResume:
		return true
	}
	return false
}

// noun is what a verb sets.
func (v Verb) noun() string {
	switch v {
	case Taint, Untaint:
		return "taint"
	case Annotate:
		return "annotation"
	}
	return string(v)
}

// Mark writes what a taint, a label or an annotation is set to as SetMark reads it: "team=shop", "team-",
// "gpu=yes:NoSchedule".
func (c Command) Mark() string {
	s := c.Key
	if c.Value != "" || c.Verb != Taint && c.Verb != Untaint && !c.Remove {
		s += "=" + c.Value
	}
	if c.Effect != "" {
		s += ":" + c.Effect
	}
	if c.Remove || c.Verb == Untaint {
		s += "-"
	}
	return s
}

// jobName is the name of the Job that a command makes of a CronJob: always the same for one proposal.
func jobName(cron, id string) string {
	id = strings.ToLower(strings.TrimSuffix(id, "-dry"))
	const room = 63 - len("-manual-") - 6 // a Job's name is a label's value too
	return strings.TrimRight(cron[:min(len(cron), room)], "-.") + "-manual-" + id[:min(len(id), 6)]
}

// drainTimeout is how long the agent waits for evictions before it gives up and says what is left.
const drainTimeout = 5 * time.Minute

// ToReport gives the command as it travels to the agent. uid and version are preconditions, empty for none; notAfter is
// the time on the engine's clock after which the agent must refuse it.
func ToReport(c Command, id, uid, version string, dryRun bool, notAfter time.Time) *report.Command {
	out := &report.Command{
		Id: id, Uid: uid, ResourceVersion: version, DryRun: dryRun, NotAfter: timestamppb.New(notAfter),
		Target: &report.ResourceKey{Kind: c.Target.Kind, Namespace: c.Target.Namespace, Name: c.Target.Name},
	}
	switch c.Verb {
	case RolloutRestart:
		out.Change = &report.Command_RolloutRestart{RolloutRestart: &report.RolloutRestart{}}
	case Scale:
		out.Change = &report.Command_Scale{Scale: &report.Scale{Replicas: c.Replicas}}
	case Rollback:
		out.Change = &report.Command_Rollback{Rollback: &report.Rollback{ToRevision: c.Revision}}
	case SetImage:
		out.Change = &report.Command_SetImage{SetImage: &report.SetImage{Container: c.Container, Image: c.Image}}
	case DeletePod:
		out.Change = &report.Command_DeletePod{DeletePod: &report.DeletePod{}}
	case Cordon:
		out.Change = &report.Command_Cordon{Cordon: &report.Cordon{}}
	case Uncordon:
		out.Change = &report.Command_Uncordon{Uncordon: &report.Uncordon{}}
	case Drain:
		out.Change = &report.Command_Drain{Drain: &report.Drain{DeleteEmptyDirData: c.DeleteEmptyDirData, Timeout: durationpb.New(drainTimeout)}}
	case RolloutPause:
		out.Change = &report.Command_RolloutPause{RolloutPause: &report.RolloutPause{}}
	case RolloutResume:
		out.Change = &report.Command_RolloutResume{RolloutResume: &report.RolloutResume{}}
	case DeleteJob:
		out.Change = &report.Command_DeleteJob{DeleteJob: &report.DeleteJob{}}
	case RunCronJob:
		out.Change = &report.Command_RunCronJob{RunCronJob: &report.RunCronJob{Job: jobName(c.Target.Name, id)}}
	case Taint:
		out.Change = &report.Command_SetTaint{SetTaint: &report.SetTaint{Taint: &report.Taint{Key: c.Key, Value: c.Value, Effect: c.Effect}}}
	case Untaint:
		out.Change = &report.Command_RemoveTaint{RemoveTaint: &report.RemoveTaint{Key: c.Key, Effect: c.Effect}}
	case Label:
		out.Change = &report.Command_SetLabel{SetLabel: &report.SetLabel{Key: c.Key, Value: c.Value, Remove: c.Remove}}
	case Annotate:
		out.Change = &report.Command_SetAnnotation{SetAnnotation: &report.SetAnnotation{Key: c.Key, Value: c.Value, Remove: c.Remove}}
	}
	return out
}

// Title says what the command does, as a card's first line continues: "roll back deployment/payments to revision 17".
func (c Command) Title() string {
	s := c.Verb.phrase() + " " + c.Target.Short()
	if c.Bulk() {
		s = c.Verb.phrase() + " " + count(len(c.Each()), strings.ToLower(c.Target.Kind)) + " with " + c.Selector
	}
	switch c.Verb {
	case Taint, Untaint, Label, Annotate:
		return s + " with " + c.Mark()
	case Scale:
		return fmt.Sprintf("%s to %d", s, c.Replicas)
	case Rollback:
		if c.Revision == 0 {
			return s + " to the revision before"
		}
		return fmt.Sprintf("%s to revision %d", s, c.Revision)
	case SetImage:
		return fmt.Sprintf("%s, container %s, to %s", s, c.Container, c.Image)
	}
	return s
}
