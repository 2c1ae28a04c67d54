package tools

import (
	"fmt"
	"strings"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/engine/command"
)

// Words is a command as a person can type it behind /atl.
func Words(c command.Command) string {
	s := map[command.Verb]string{
		command.RolloutRestart: "restart", command.Scale: "scale", command.Rollback: "rollback", command.SetImage: "set-image",
		command.DeletePod: "delete", command.Cordon: "cordon", command.Uncordon: "uncordon", command.Drain: "drain",
		command.RolloutPause: "pause", command.RolloutResume: "resume", command.DeleteJob: "delete-job", command.RunCronJob: "run",
		command.Taint: "taint", command.Untaint: "untaint", command.Label: "label", command.Annotate: "annotate",
	}[c.Verb]
	if c.Bulk() {
		s += "-all " + strings.ToLower(c.Target.Kind) + " -l " + c.Selector
	} else {
		s += " " + c.Target.Short()
	}
	switch c.Verb {
	case command.Scale:
		s += fmt.Sprintf(" %d", c.Replicas)
	case command.Taint, command.Untaint, command.Label, command.Annotate:
		s += " " + c.Mark()
	case command.SetImage:
		s += " " + c.Image
		if c.Container != "" {
			s += " -c " + c.Container
		}
	case command.Drain:
		if c.DeleteEmptyDirData {
			s += " --delete-emptydir-data"
		}
	case command.Rollback:
		if c.Revision > 0 {
			s += fmt.Sprintf(" %d", c.Revision)
		}
	}
	if c.Target.Namespace != "" {
		s += " -n " + c.Target.Namespace
	}
	return s
}

// Confidence is how sure a verdict is, in words.
func Confidence(p *message.Printer, word string) string {
	switch word {
	case "high":
		return p.Sprintf("confidence high")
	case "medium":
		return p.Sprintf("confidence medium")
	case "low":
		return p.Sprintf("confidence low")
	}
	return p.Sprintf("confidence %s", word)
}
