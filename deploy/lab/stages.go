package lab

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed stages/*.yaml
var stages embed.FS

// faultAnnotation on a pod says what its first container does wrong: crash-loop, oom-kill, not-ready, config-error.
// On a Deployment's template it comes with a rollout; on a living pod it strikes without one, and is healed by
// taking it away.
const faultAnnotation = "lab.atlhyper.io/fault"

// faultExpression (jq) names what is wrong with a pod. An image that cannot be pulled comes first, because its
// container never gets as far as the others.
const faultExpression = `if any(.spec.containers[]; .image | test(":[^/]*missing")) then "image-pull" ` +
	`elif .metadata.annotations["` + faultAnnotation + `"] != null then .metadata.annotations["` + faultAnnotation + `"] ` +
	`elif any(.spec.containers[].envFrom[]?; .configMapRef.name // "" | test("missing")) then "config-error" ` +
	`else "none" end`

func (l *Lab) stagesFile() string { return filepath.Join(l.cfg.Dir, "kwok.yaml") }

// writeStages writes kwok's configuration: the stages, and where the logs of containers are read from.
func (l *Lab) writeStages() error {
	var out strings.Builder
	for _, name := range []string{"node", "pod", "fault"} {
		data, err := stages.ReadFile("stages/" + name + ".yaml")
		if err != nil {
			return err
		}
		out.Write(data)
		out.WriteString("---\n")
	}
	out.WriteString("apiVersion: kwok.x-k8s.io/v1alpha1\nkind: ClusterLogs\nmetadata: {name: containers}\nspec:\n  logs:\n")
	for _, container := range append(slices.Clone(shopServices), anyContainer) {
		for _, previous := range []bool{false, true} {
			if err := l.createLog(container, previous); err != nil {
				return err
			}
		}
		fmt.Fprintf(&out, "  - logsFile: %q\n    previousLogsFile: %q\n    follow: true\n",
			l.containerLog(container, false), l.containerLog(container, true))
		if container != anyContainer {
			fmt.Fprintf(&out, "    containers: [%q]\n", container)
		}
	}
	text := strings.NewReplacer("@FAULT@", faultExpression, "@VERSION@", kubernetesVersion).Replace(out.String())
	return os.WriteFile(l.stagesFile(), []byte(text), 0o600)
}

// anyContainer is the log of all containers outside the shop.
const anyContainer = "any"

// containerLog is in the kubelet's format, one file for all containers of a name.
func (l *Lab) containerLog(container string, previous bool) string {
	if previous {
		container += ".previous"
	}
	return filepath.Join(l.cfg.Dir, "pods", container+".log")
}

func (l *Lab) createLog(container string, previous bool) error {
	if _, err := os.Stat(l.containerLog(container, previous)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.AppendLog(container, previous, `level=info msg="starting" version=1`, `level=info msg="listening" port=8080`)
}

// AppendLog adds lines, at the present time, to what the containers of this name have written: one of the shop's
// services, or "any" for all others. With previous, they are what the ended container wrote (kubectl logs --previous).
func (l *Lab) AppendLog(container string, previous bool, lines ...string) error {
	f, err := os.OpenFile(l.containerLog(container, previous), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("append to log of %s: %w", container, err)
	}
	var text strings.Builder
	now := time.Now().UTC()
	for i, line := range lines {
		fmt.Fprintf(&text, "%s stdout F %s\n", now.Add(time.Duration(i)).Format("2006-01-02T15:04:05.000000000Z07:00"), line)
	}
	_, err = f.WriteString(text.String())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("append to log of %s: %w", container, err)
	}
	return nil
}
