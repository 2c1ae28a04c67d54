package command

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Read is what kubectl text asks to see. Verb is get, describe, logs, top, events, "rollout status" or "rollout history".
type Read struct {
	Verb          string
	Kind          string // as Kubernetes spells it; empty for events of a whole namespace
	Name          string // empty: all of the kind
	Namespace     string // empty: not said
	AllNamespaces bool
	YAML          bool // get with -o yaml
	Container     string
	Previous      bool
	Since         time.Duration // 0: not said
	Tail          int64         // 0: not said
}

// Parsed is what kubectl text means: exactly one of the two is set. Their cluster is not in the text, and neither is a
// namespace that the text leaves out: the caller fills them in.
type Parsed struct {
	Command *Command
	Read    *Read
}

// ParseKubectl reads "kubectl …" text into a typed command or a read. It returns a *Denied for everything else, which
// says why and what to do instead. The text is never run: it does not matter here what a shell would make of it.
func ParseKubectl(text string) (Parsed, error) {
	args, err := words(text)
	if err != nil {
		return Parsed{}, err
	}
	if len(args) == 0 || args[0] != "kubectl" && args[0] != "k" {
		return Parsed{}, denied("That is no kubectl command.")("Begin with kubectl.")
	}
	if len(args) > 1 { // before its flags: what is refused whatever they are should be told so
		if err := byDesign(args[1]); err != nil {
			return Parsed{}, err
		}
	}
	if len(args) > 1 && args[1] == "create" && (len(args) < 3 || args[2] != "job" && args[2] != "jobs") {
		return Parsed{}, denied("kubectl create is refused by design: a manifest cannot be previewed as one typed change.")("Only a job can be made, of a cronjob that is there: kubectl create job NAME --from=cronjob/NAME.")
	}
	l, err := scan(args[1:])
	if err != nil {
		return Parsed{}, err
	}
	if len(l.args) == 0 {
		return Parsed{}, denied("kubectl what?")("For example: kubectl get pods -n shop.")
	}
	verb := l.next()
	if verb == "rollout" || verb == "set" || verb == "create" {
		verb += " " + l.next()
	}
	var p Parsed
	switch verb {
	case "get", "describe", "logs", "log", "top", "events", "rollout status", "rollout history":
		p.Read, err = l.read(verb)
	case "rollout restart", "rollout undo", "rollout pause", "rollout resume", "scale", "set image", "delete", "cordon", "uncordon", "drain",
		"create job", "taint", "label", "annotate":
		p.Command, err = l.command(verb)
	default:
		if err = byDesign(verb); err == nil {
			err = denied("kubectl %s is not known to me.", verb)("I can get, describe, logs, top, events, rollout (status, history, restart, undo, pause, resume), scale, set image, delete (pod, job), create job --from, cordon, uncordon, drain, taint, label and annotate.")
		}
	}
	if err == nil {
		err = l.rest(verb)
	}
	if err != nil {
		return Parsed{}, err
	}
	return p, nil
}

// byDesign says why a kubectl verb is not offered, nil for any other.
func byDesign(verb string) error {
	switch verb {
	case "exec", "attach", "cp", "port-forward", "proxy", "debug", "run":
		return denied("kubectl %s is refused by design: it would open the cluster to whoever can type in this chat.", verb)("Use logs, describe and events to look; use kubectl itself for the rest.")
	case "apply", "replace", "patch", "edit", "kustomize", "expose", "autoscale":
		return denied("kubectl %s is refused by design: a manifest cannot be previewed as one typed change.", verb)("Use scale, set image, rollout restart or rollout undo, or change it where it is deployed from.")
	case "set env", "set resources":
		return denied("kubectl %s is not among the changes that I make.", verb)("I can %s.", offers)
	case "auth", "config", "certificate", "token", "plugin", "api-resources", "api-versions", "cluster-info", "version":
		return denied("kubectl %s is refused by design: who may do what is not asked through the chat.", verb)("Run it with your own kubeconfig.")
	}
	return nil
}

// line is a command line taken apart.
type line struct {
	args  []string
	flags map[string]string // long name → value; "true" for a switch
}

// shorthands maps a short flag to its long name.
var shorthands = map[string]string{
	"n": "namespace", "A": "all-namespaces", "o": "output", "c": "container", "p": "previous", "l": "selector", "f": "follow",
	"s": "server", "v": "v", "R": "recursive", "w": "watch", "k": "kustomize", "L": "label-columns", "h": "help",
}

// switches are the flags that take no value.
var switches = []string{
	"all-namespaces", "previous", "follow", "watch", "ignore-daemonsets", "delete-emptydir-data", "delete-local-data", "all", "force", "now",
	"recursive", "insecure-skip-tls-verify", "all-containers", "timestamps", "show-labels", "no-headers", "containers", "wait", "help", "disable-eviction", "overwrite",
}

// scan takes flags and arguments apart. It knows each flag that any offered verb may have, and no other: a flag that it
// does not know could swallow the next word, and then a name would be taken for a value or a value for a name.
func scan(args []string) (*line, error) {
	l := &line{flags: map[string]string{}}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" || a == "-" || !strings.HasPrefix(a, "-") {
			if strings.HasPrefix(a, "-") {
				return nil, denied("%q is refused: what follows it is for another program.", a)("Leave it out.")
			}
			l.args = append(l.args, a)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !strings.HasPrefix(a, "--") {
			if name == "" {
				return nil, denied("%q is no flag.", a)("Leave it out.")
			}
			if len(name) > 1 && !hasValue { // -nshop
				name, value, hasValue = name[:1], name[1:], true
			}
			long, ok := shorthands[name]
			if !ok || len(name) > 1 {
				return nil, denied("The flag %s is not known to me.", a)("Leave it out.")
			}
			name = long
		}
		if err := offered(name); err != nil {
			return nil, err
		}
		switch {
		case slices.Contains(switches, name):
			if !hasValue {
				value = "true"
			}
			if value != "true" {
				return nil, denied("The flag --%s is either there or not.", name)("Leave it out, or give it without a value.")
			}
		case !hasValue:
			if i++; i >= len(args) {
				return nil, denied("The flag --%s has no value.", name)("Give one.")
			}
			value = args[i]
		}
		if _, twice := l.flags[name]; twice {
			return nil, denied("The flag --%s stands there twice.", name)("Give it once.")
		}
		if value == "" {
			return nil, denied("The flag --%s is empty.", name)("Give it a value, or leave it out.")
		}
		l.flags[name] = value
	}
	return l, nil
}

// offered refuses the flags that could change who asks or which cluster is asked, and those that nothing here has.
func offered(name string) error {
	switch name {
	case "namespace", "all-namespaces", "output", "container", "previous", "since", "tail", "for", "to-revision", "replicas", "ignore-daemonsets", "delete-emptydir-data",
		"selector", "from", "overwrite":
		return nil
	case "kubeconfig", "context", "cluster", "server", "token", "user", "username", "password", "as", "as-group", "as-uid", "as-user-extra",
		"client-certificate", "client-key", "certificate-authority", "insecure-skip-tls-verify", "tls-server-name", "cache-dir", "disable-compression":
		return denied("--%s is refused by design: the cluster and the rights are those of its agent and of your role.", name)("Leave it out; name the cluster outside the command.")
	case "field-selector":
		return denied("--%s is not supported: a selector can match more than anyone has seen.", name)("Name the object, or list the kind.")
	case "follow", "watch", "watch-only":
		return denied("--%s is refused: an answer is one message.", name)("Ask again for newer lines, or use --since.")
	case "filename", "kustomize", "raw", "template":
		return denied("--%s is refused by design: no file is read.", name)("Name the object.")
	case "all", "force", "grace-period", "now", "disable-eviction", "cascade":
		return denied("--%s is refused by design: it takes away what protects the cluster.", name)("Leave it out and name one object.")
	case "dry-run":
		return denied("--dry-run is not needed.")("Leave it out: every change is tried on the API server first, shown, and waits for approval.")
	case "delete-local-data":
		return denied("--delete-local-data is the old name.")("Use --delete-emptydir-data.")
	}
	return denied("The flag --%s is not known to me.", name)("Leave it out.")
}

// next takes the first argument, "" when there is none.
func (l *line) next() string {
	if len(l.args) == 0 {
		return ""
	}
	a := l.args[0]
	l.args = l.args[1:]
	return a
}

// take takes a flag's value, "" when it is not there.
func (l *line) take(name string) string {
	v := l.flags[name]
	delete(l.flags, name)
	return v
}

// rest refuses what nobody took.
func (l *line) rest(verb string) error {
	if l.take("selector") != "" {
		return noSelector()
	}
	for name := range l.flags {
		return denied("kubectl %s does not take --%s here.", verb, name)("Leave it out.")
	}
	if len(l.args) > 0 {
		return denied("One object at a time: %q is one too many.", l.args[0])("Send a command for each.")
	}
	return nil
}

// object takes "KIND NAME" or "KIND/NAME". With a default kind, a lone word is a name.
func (l *line) object(verb, defaultKind string) (kind, name string, err error) {
	word := l.next()
	if word == "" {
		return "", "", denied("kubectl %s what?", verb)("Name an object, such as deployment/payments.")
	}
	k, n, slash := strings.Cut(word, "/")
	switch {
	case slash:
		name = n
	case defaultKind != "":
		k, name = defaultKind, word
	default:
		name = l.next()
	}
	kind, ok := entity.ParseKind(k)
	switch {
	case strings.Contains(k, ","):
		return "", "", denied("One kind at a time: %q are several.", k)("Send a command for each.")
	case k == "all":
		return "", "", denied("%q is not one kind.", k)("Name it: pods, deployments, services, …")
	case !ok:
		return "", "", denied("The kind %q is not known to me.", k)("Known are pods, deployments, statefulsets, daemonsets, services, nodes and the others that list shows.")
	case slash && name == "" || name != "" && (len(name) > 253 || !subdomain.MatchString(name)):
		return "", "", denied("%q is not a name that Kubernetes allows.", name)("Copy the name from a list.")
	}
	return kind, name, nil
}

// namespace takes -n and -A.
func (l *line) namespace() (ns string, all bool, err error) {
	ns, all = l.take("namespace"), l.take("all-namespaces") != ""
	if ns != "" && (len(ns) > 63 || !label.MatchString(ns)) {
		return "", false, denied("%q is not a namespace.", ns)("Copy it from kubectl get namespaces.")
	}
	if all && ns != "" {
		return "", false, denied("-n and -A exclude each other.")("Give one of them.")
	}
	return ns, all, nil
}

func (l *line) read(verb string) (*Read, error) {
	r := &Read{Verb: verb}
	var err error
	if r.Namespace, r.AllNamespaces, err = l.namespace(); err != nil {
		return nil, err
	}
	switch verb {
	case "get", "describe":
		if r.Kind, r.Name, err = l.object(verb, ""); err != nil {
			return nil, err
		}
		if verb == "describe" && r.Name == "" {
			return nil, denied("Describe which %s?", r.Kind)("Name it.")
		}
		if verb == "get" {
			err = l.output(r)
		}
	case "logs", "log":
		r.Verb = "logs"
		if r.Kind, r.Name, err = l.object(verb, entity.Pod); err != nil {
			return nil, err
		}
		err = l.logs(r)
	case "top":
		kind := l.next()
		if r.Kind, _ = entity.ParseKind(kind); r.Kind != entity.Pod && r.Kind != entity.Node {
			return nil, denied("kubectl top knows pods and nodes.")("For example: kubectl top pods -n shop.")
		}
		if r.Name = l.next(); r.Name != "" && !subdomain.MatchString(r.Name) {
			return nil, denied("%q is not a name that Kubernetes allows.", r.Name)("Copy the name from a list.")
		}
	case "events":
		if target := l.take("for"); target != "" {
			r.Kind, r.Name, err = (&line{args: []string{target}}).object("events --for", entity.Pod)
		}
	case "rollout status", "rollout history":
		r.Kind, r.Name, err = l.workload(verb)
	}
	if err != nil {
		return nil, err
	}
	if r.AllNamespaces && r.Name != "" {
		return nil, denied("A name with -A can mean several objects.")("Give its namespace with -n.")
	}
	return r, nil
}

func (l *line) output(r *Read) error {
	switch o := l.take("output"); o {
	case "", "wide", "name":
	case "yaml", "json":
		if r.Kind == "Secret" {
			return denied("Reading the values of a Secret is refused by design.")("kubectl describe secret shows its keys.")
		}
		if r.Name == "" {
			return denied("-o %s shows one object.", o)("Name it.")
		}
		r.YAML = true
	default:
		return denied("-o %s is not supported.", o)("Use -o wide or -o yaml.")
	}
	return nil
}

func (l *line) logs(r *Read) error {
	r.Container, r.Previous = l.take("container"), l.take("previous") != ""
	if r.Container != "" && (len(r.Container) > 63 || !label.MatchString(r.Container)) {
		return denied("%q is not a container's name.", r.Container)("Name the container as describe shows it.")
	}
	if r.Name == "" || r.AllNamespaces {
		return denied("Logs of what?")("Name a pod or a workload, and its namespace with -n.")
	}
	if s := l.take("since"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 || d > 30*24*time.Hour {
			return denied("--since=%s is no time that I can look back.", s)("Write it like 10m or 2h.")
		}
		r.Since = d
	}
	if s := l.take("tail"); s != "" {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 1 {
			return denied("--tail=%s is not a number of lines.", s)("Write it like --tail=100.")
		}
		r.Tail = n
	}
	return nil
}

func (l *line) workload(verb string) (kind, name string, err error) {
	if kind, name, err = l.object(verb, ""); err != nil {
		return "", "", err
	}
	if kind != entity.Deployment && kind != entity.StatefulSet && kind != entity.DaemonSet {
		return "", "", denied("kubectl %s works on a Deployment, a StatefulSet or a DaemonSet, not on a %s.", verb, kind)("Name one of those.")
	}
	if name == "" {
		return "", "", denied("kubectl %s of which %s?", verb, kind)("Name it.")
	}
	return kind, name, nil
}

func (l *line) command(verb string) (*Command, error) {
	ns, all, err := l.namespace()
	if err != nil {
		return nil, err
	}
	if all {
		return nil, denied("A change in all namespaces at once is refused by design.")("Name one object and its namespace.")
	}
	c := &Command{}
	c.Target.Namespace = ns
	switch verb {
	case "rollout restart":
		c.Verb = RolloutRestart
		err = l.several(verb, c)
	case "rollout pause", "rollout resume":
		c.Verb = map[string]Verb{"rollout pause": RolloutPause, "rollout resume": RolloutResume}[verb]
		c.Target.Kind, c.Target.Name, err = l.workload(verb)
	case "rollout undo":
		c.Verb = Rollback
		if c.Target.Kind, c.Target.Name, err = l.workload(verb); err == nil {
			c.Revision, err = l.number("to-revision", 0, false)
		}
	case "scale":
		c.Verb = Scale
		if err = l.several(verb, c); err == nil {
			var n int64
			n, err = l.number("replicas", 0, true)
			c.Replicas = int32(n) // number gives none above 31 bits
		}
	case "set image":
		c.Verb = SetImage
		if c.Target.Kind, c.Target.Name, err = l.workload(verb); err != nil {
			break
		}
		container, image, ok := strings.Cut(l.next(), "=")
		if !ok || container == "" || image == "" {
			return nil, denied("kubectl set image to what?")("Write container=image, such as app=shop/cart:v2.3.1.")
		}
		c.Container, c.Image = container, image
	case "delete":
		c.Verb = DeletePod
		c.Target.Kind, c.Target.Name, err = l.object(verb, "")
		switch {
		case err != nil:
		case c.Target.Kind == entity.Job:
			c.Verb = DeleteJob
		case c.Target.Kind != entity.Pod:
			return nil, denied("Deleting a %s is refused by design: only a pod or a job can be deleted here.", c.Target.Kind)("To stop a workload, scale it to zero.")
		}
	case "create job":
		c.Verb = RunCronJob
		l.next() // the name: ours is one that tells whose proposal made it
		if kind, name, ok := strings.Cut(l.take("from"), "/"); ok && (kind == "cronjob" || kind == "cj" || kind == "cronjobs") {
			c.Target.Kind, c.Target.Name = entity.CronJob, name
			break
		}
		return nil, denied("A job is only made of a cronjob that is there.")("Write kubectl create job NAME --from=cronjob/NAME.")
	case "taint":
		c.Verb = Taint
		kind := l.next()
		if k, ok := entity.ParseKind(kind); !ok || k != entity.Node {
			return nil, denied("kubectl taint works on nodes.")("For example: kubectl taint node worker-1 gpu=yes:NoSchedule.")
		}
		c.Target.Kind, c.Target.Name = entity.Node, l.next()
		err = c.SetMark(l.next())
		l.take("overwrite") // the preview shows what was there
	case "label", "annotate":
		c.Verb = Verb(verb)
		if c.Target.Kind, c.Target.Name, err = l.object(verb, ""); err == nil {
			err = c.SetMark(l.next())
		}
		l.take("overwrite")
	case "cordon", "uncordon", "drain":
		c.Verb = Verb(verb)
		if c.Target.Kind, c.Target.Name, err = l.object(verb, entity.Node); err == nil && ns != "" {
			return nil, denied("A node is in no namespace.")("Leave -n out.")
		}
		if verb == "drain" {
			l.take("ignore-daemonsets") // always so: their pods would come back at once
			c.DeleteEmptyDirData = l.take("delete-emptydir-data") != ""
		}
	}
	if err != nil {
		return nil, err
	}
	if c.Target.Name == "" && l.take("selector") != "" {
		return nil, noSelector()
	}
	if c.Target.Name == "" && !c.Bulk() {
		return nil, denied("kubectl %s which %s?", verb, c.Target.Kind)("Name one.")
	}
	// What the caller fills in later must not hide what is wrong now.
	probe := *c
	probe.Target.Cluster = "any"
	if probe.Target.Namespace == "" && !clusterScoped(probe.Target.Kind) {
		probe.Target.Namespace = "any"
	}
	return c, probe.Validate()
}

func noSelector() error {
	return denied("--selector is not supported here: a selector can match more than anyone has seen.")("Name the object, or list the kind. Restarting and scaling by selector shows every object first.")
}

// several takes one workload, or all of a kind that -l selects.
func (l *line) several(verb string, c *Command) (err error) {
	selector := l.take("selector")
	if selector == "" {
		c.Target.Kind, c.Target.Name, err = l.workload(verb)
		return err
	}
	if c.Target.Kind, c.Target.Name, err = l.object(verb, ""); err != nil {
		return err
	}
	if c.Target.Name != "" {
		return denied("A name and a selector exclude each other.")("Leave one of them out.")
	}
	return c.Select(selector)
}

// Select makes a command one for all objects with certain labels; the selector is put into its plain form.
func (c *Command) Select(selector string) error {
	s, err := labels.Parse(selector)
	if err != nil || s.Empty() {
		return denied("%q is not a label selector.", selector)("Write it like app=cart,tier!=db.")
	}
	c.Selector = s.String()
	return nil
}

// SetMark reads what a taint, a label or an annotation is set to, as kubectl writes it: "team=shop", "team-",
// "gpu=yes:NoSchedule", "gpu:NoSchedule-". A taint with a hyphen behind it makes the command one that removes it.
func (c *Command) SetMark(text string) error {
	if text == "" {
		return denied("It is not said what is to be set.")("Write KEY=VALUE, or KEY- to remove it.")
	}
	taint := c.Verb == Taint || c.Verb == Untaint
	removed := strings.HasSuffix(text, "-") && (taint || !strings.Contains(text, "="))
	if removed {
		text = strings.TrimSuffix(text, "-")
	}
	if taint {
		text, c.Effect, _ = strings.Cut(text, ":")
	}
	var has bool
	if c.Key, c.Value, has = strings.Cut(text, "="); removed {
		if taint {
			c.Verb, c.Value = Untaint, ""
		} else {
			c.Remove = true
		}
		return nil
	}
	switch {
	case taint && c.Verb == Untaint:
		c.Value = ""
	case !has && !taint:
		return denied("%q has no value.", text)("Write KEY=VALUE, or KEY- to remove it.")
	}
	return nil
}

// number takes a flag that counts something.
func (l *line) number(name string, least int64, needed bool) (int64, error) {
	s := l.take(name)
	if s == "" && !needed {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < least {
		return 0, denied("--%s=%s is not a number that fits.", name, s)("Write it like --%s=3.", name)
	}
	return n, nil
}
