package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bukahou/atlhyper/agent/report"
)

const (
	defaultTail = 1000     // lines of one container when neither tail nor since was asked for
	maxLine     = 16 << 10 // a longer line is cut
	maxScan     = 32 << 20 // how much of one container's log is read
	maxLogPods  = 20       // of a workload
	logReaders  = 4        // pods read at once
)

// LogReader opens the log of one container. The caller closes it. Read errors end the log.
type LogReader interface {
	ReadLog(ctx context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error)
}

// apiLogs reads logs through the API server, which gets them from the kubelet.
type apiLogs struct{ client kubernetes.Interface }

func (l apiLogs) ReadLog(ctx context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	return l.client.CoreV1().Pods(namespace).GetLogs(pod, o).Stream(ctx)
}

func (r *Runner) logs(ctx context.Context, q *report.LogsQuery, size int, o *report.Outcome) error {
	var grep *regexp.Regexp
	if q.GetGrep() != "" {
		var err error
		if grep, err = regexp.Compile(q.GetGrep()); err != nil {
			return refuse("the expression to filter by is not valid: %v", err)
		}
	}
	pods, err := r.podsBehind(ctx, q.GetObject())
	if err != nil {
		return reading(q.GetObject(), err)
	}
	if len(pods) == 0 {
		o.Message = display(q.GetObject()) + " has no pods now"
		return nil
	}
	var notes []string
	if len(pods) > maxLogPods {
		notes = append(notes, fmt.Sprintf("%d of %d pods", maxLogPods, len(pods)))
		pods = pods[:maxLogPods]
	}
	tail := int(q.GetTail())
	if tail <= 0 && q.GetSince().AsDuration() <= 0 {
		tail = defaultTail
		notes = append(notes, fmt.Sprintf("the last %d lines", tail))
	}
	// One cap a pod, so that a talkative one does not push the others out.
	share := max(size/len(pods), 1)
	clips := make([]*clip, len(pods))
	errs := make([]error, len(pods))
	slots := make(chan struct{}, logReaders)
	var reading sync.WaitGroup
	for i := range pods {
		reading.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			clips[i] = newClip(share)
			prefix := ""
			if q.GetObject().GetKind() != "Pod" {
				prefix = pods[i].Name + " | "
			}
			errs[i] = r.readPod(ctx, &pods[i], q, tail, grep, prefix, clips[i])
		})
	}
	reading.Wait()
	var lines int
	for i, c := range clips {
		if errs[i] != nil {
			notes = append(notes, fmt.Sprintf("%s: %v", pods[i].Name, errs[i]))
		}
		lines += c.lines
		o.Truncated = o.Truncated || c.dropped > 0
		o.Text = append(o.Text, c.bytes()...)
	}
	if lines == 0 && !slices.Contains(errs, nil) {
		return fmt.Errorf("no log could be read: %w", errors.Join(errs...))
	}
	if lines == 0 && grep != nil {
		notes = append([]string{"no line matches"}, notes...)
	}
	if o.Truncated {
		notes = append(notes, "cut in the middle to fit")
	}
	if len(pods) == 1 && q.GetContainer() == "" && len(pods[0].Spec.Containers) > 1 {
		notes = append(notes, "container "+defaultContainer(&pods[0])+" of "+containerNames(&pods[0].Spec))
	}
	o.Message = strings.Join(notes, "; ")
	return nil
}

// readPod reads one container's log into c.
func (r *Runner) readPod(ctx context.Context, pod *corev1.Pod, q *report.LogsQuery, tail int, grep *regexp.Regexp, prefix string, c *clip) error {
	name := q.GetContainer()
	if name == "" {
		name = defaultContainer(pod)
	}
	if !slices.Contains(strings.Split(containerNames(&pod.Spec), ", "), name) {
		return fmt.Errorf("there is no container %q, only %s", name, containerNames(&pod.Spec))
	}
	options := &corev1.PodLogOptions{Container: name, Previous: q.GetPrevious()}
	if s := q.GetSince().AsDuration(); s > 0 {
		seconds := int64(max(s.Round(time.Second)/time.Second, 1))
		options.SinceSeconds = &seconds
	}
	if tail > 0 && grep == nil {
		n := int64(tail) // with a filter the last lines that match are wanted, which the server cannot count
		options.TailLines = &n
	}
	if tail > 0 {
		c.keepLines(tail)
	}
	in, err := r.cfg.Logs.ReadLog(ctx, pod.Namespace, pod.Name, options)
	if err != nil {
		return err
	}
	err = eachLine(io.LimitReader(in, maxScan), func(line string) {
		if grep == nil || grep.MatchString(line) {
			c.add(prefix + line)
		}
	})
	if closing := in.Close(); err == nil && ctx.Err() == nil {
		err = closing
	}
	return err
}

// eachLine calls f with each line, cut at maxLine.
func eachLine(r io.Reader, f func(string)) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "�")
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
				if !errors.Is(err, bufio.ErrBufferFull) {
					text += "…"
				}
			}
			f(text)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// defaultContainer is the one that kubectl would read.
func defaultContainer(p *corev1.Pod) string {
	if name := p.Annotations["kubectl.kubernetes.io/default-container"]; name != "" {
		return name
	}
	if len(p.Spec.Containers) == 0 {
		return ""
	}
	return p.Spec.Containers[0].Name
}

// clip keeps the first quarter and the last three quarters of what fits into a size, in whole lines: the beginning
// says what it is, the end what happened.
type clip struct {
	head, tail       []string
	headRoom         int
	tailSize, tailed int // how much the tail may hold, and holds
	most             int // lines; 0: any
	lines            int // kept
	dropped          int // lines that did not fit
}

func newClip(size int) *clip { return &clip{headRoom: size / 4, tailSize: size - size/4} }

// keepLines keeps only the last n lines.
func (c *clip) keepLines(n int) {
	c.most = n
	c.tailSize += c.headRoom
	c.headRoom = 0
}

func (c *clip) add(line string) {
	c.lines++
	if c.headRoom >= len(line)+1 {
		c.head = append(c.head, line)
		c.headRoom -= len(line) + 1
		return
	}
	c.headRoom = 0 // what follows a line that did not fit belongs to the tail
	if over := len(line) + 1 - c.tailSize; over > 0 {
		line = strings.ToValidUTF8(line[:max(len(line)-over-len("…"), 0)], "") + "…"
		c.dropped++
	}
	c.tail = append(c.tail, line)
	c.tailed += len(line) + 1
	for len(c.tail) > 1 && (c.tailed > c.tailSize || c.most > 0 && len(c.tail) > c.most) {
		if c.tailed > c.tailSize {
			c.dropped++
		}
		c.tailed -= len(c.tail[0]) + 1
		c.tail = c.tail[1:]
		c.lines--
	}
}

func (c *clip) bytes() []byte {
	var b strings.Builder
	for _, l := range c.head {
		b.WriteString(l + "\n")
	}
	if c.dropped > 0 {
		fmt.Fprintf(&b, "… %d lines cut …\n", c.dropped)
	}
	for _, l := range c.tail {
		b.WriteString(l + "\n")
	}
	return []byte(b.String())
}

// capped cuts a text that is too long, in the middle and at line ends.
func capped(text []byte, size int) ([]byte, bool) {
	if len(text) <= size {
		return text, false
	}
	c := newClip(size)
	for line := range strings.Lines(string(text)) {
		c.add(strings.TrimSuffix(line, "\n"))
	}
	return c.bytes(), true
}
