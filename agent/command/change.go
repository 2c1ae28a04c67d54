package command

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

// fieldManager marks our changes in an object's managed fields.
const fieldManager = "atlhyper"

// editor is what every typed client of client-go can do with its kind.
type editor[T any] interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (T, error)
	Update(ctx context.Context, v T, o metav1.UpdateOptions) (T, error)
}

// object is a typed Kubernetes object.
type object interface {
	runtime.Object
	metav1.Object
}

// uncertain is an error after which it is not known whether the change was made.
type uncertain struct{ err error }

func (u *uncertain) Error() string { return u.err.Error() }
func (u *uncertain) Unwrap() error { return u.err }

// change makes one edit: read, check, edit a copy, update under the resource version that was read. A conflict with
// somebody else's change starts over, because what came between may only have been a status; if it was more, the
// command's own precondition says no. edit returns a refusal when the object does not allow it.
func change[T object](ctx context.Context, r *Runner, c *report.Command, api editor[T], o *report.Outcome, edit func(T) error) (before, after T, err error) {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		before, err = api.Get(ctx, c.GetTarget().GetName(), metav1.GetOptions{})
		if err != nil {
			return before, after, reading(c.GetTarget(), err)
		}
		if err = r.precondition(c, before); err != nil {
			return before, after, err
		}
		wanted := before.DeepCopyObject().(T)
		if err = edit(wanted); err != nil {
			return before, after, err
		}
		o.Uid, o.ResourceVersion = string(before.GetUID()), before.GetResourceVersion()
		if len(diff(before, wanted)) == 0 {
			o.Message = "nothing to change: it is so already"
			r.previews.add(before)
			return before, before, nil
		}
		options := metav1.UpdateOptions{FieldManager: fieldManager}
		if c.GetDryRun() {
			options.DryRun = []string{metav1.DryRunAll}
		}
		after, err = api.Update(ctx, wanted, options)
		switch {
		case err == nil:
		case apierrors.IsConflict(err) && attempt < attempts:
			continue
		case doubtful(err) && !c.GetDryRun():
			after, err = confirm(ctx, api, before, wanted, err)
		}
		if err != nil {
			return before, after, err
		}
		o.Changes = diff(before, after)
		if c.GetDryRun() {
			r.previews.add(before)
		} else {
			o.ResourceVersion = after.GetResourceVersion()
		}
		return before, after, nil
	}
}

// confirm reads an object after an update whose answer was lost, and says whether the update was made.
func confirm[T object](ctx context.Context, api editor[T], before, wanted T, cause error) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	is, err := api.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	switch {
	case err != nil:
		return is, &uncertain{fmt.Errorf("it is not known whether the change was made: %w", cause)}
	case len(diff(wanted, is)) == 0:
		return is, nil
	case is.GetResourceVersion() == before.GetResourceVersion():
		return is, fmt.Errorf("the change was not made: %w", cause)
	}
	return is, &uncertain{fmt.Errorf("the object changed, but not as asked: %w", cause)}
}

// doubtful says that an update may have been made although it gave this error: the API server did not say no.
func doubtful(err error) bool {
	if utilnet.IsConnectionRefused(err) {
		return false // it never left
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsInternalError(err) || apierrors.IsUnexpectedServerError(err)
}

// precondition checks that the object is the one, and still as, it was when the command was previewed.
func (r *Runner) precondition(c *report.Command, is object) error {
	name := display(c.GetTarget())
	if c.GetUid() != "" && c.GetUid() != string(is.GetUID()) {
		return refuse("nothing was changed: %s was deleted and made anew since the preview; look at it and propose again", name)
	}
	if v := c.GetResourceVersion(); v != "" && v != is.GetResourceVersion() && !r.previews.same(v, is, c.GetRollback() != nil) {
		return refuse("nothing was changed: %s changed since the preview; look at it and propose again", name)
	}
	return nil
}

// previews remembers what objects looked like, status apart, at the resource versions that dry runs gave. A failing
// workload's status changes every few seconds; without this hardly a fix could be approved in time. After a restart
// of the agent the resource version itself must match, which errs on the safe side.
type previews struct {
	mu     sync.Mutex
	prints map[string]print // by uid and resource version
	order  []string         // oldest first
}

// print is what an object looked like: a hash of it, and the number that its controller gave its template.
type print struct {
	hash     [sha256.Size]byte
	revision string
}

const maxPreviews = 512

func newPreviews() *previews { return &previews{prints: map[string]print{}} }

func previewKey(o object, version string) string { return string(o.GetUID()) + "/" + version }

func (p *previews) add(o object) {
	was, ok := essence(o)
	if !ok || o.GetResourceVersion() == "" {
		return
	}
	key := previewKey(o, o.GetResourceVersion())
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.prints[key]; !known {
		p.order = append(p.order, key)
	}
	p.prints[key] = was
	for len(p.order) > maxPreviews {
		delete(p.prints, p.order[0])
		p.order = p.order[1:]
	}
}

// same says whether an object is as it was at a version. The controller numbers a new template some time after it was
// written; that changes what a rollback goes back to, and nothing else.
func (p *previews) same(version string, o object, numbered bool) bool {
	p.mu.Lock()
	was, known := p.prints[previewKey(o, version)]
	p.mu.Unlock()
	is, ok := essence(o)
	return known && ok && was.hash == is.hash && (!numbered || was.revision == is.revision)
}

// essence is an object without its status and bookkeeping.
func essence(o object) (print, bool) {
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return print{}, false
	}
	bare(u)
	unstructured.RemoveNestedField(u, "metadata", "annotations", revisionAnnotation)
	if a, ok, _ := unstructured.NestedMap(u, "metadata", "annotations"); ok && len(a) == 0 {
		unstructured.RemoveNestedField(u, "metadata", "annotations")
	}
	b, err := json.Marshal(u)
	return print{sha256.Sum256(b), o.GetAnnotations()[revisionAnnotation]}, err == nil
}

// bare removes what changes without anybody's intent.
func bare(u map[string]any) {
	delete(u, "status")
	if m, ok := u["metadata"].(map[string]any); ok {
		delete(m, "resourceVersion")
		delete(m, "managedFields")
	}
}

// reading gives the verdict on an error of the first read: nothing was tried.
func reading(k *report.ResourceKey, err error) error {
	if apierrors.IsNotFound(err) {
		return refuse("%s does not exist", display(k))
	}
	return err
}

// verdict turns an error into a status and a sentence.
func verdict(err error) (report.Outcome_Status, string) {
	var no *refusal
	var doubt *uncertain
	switch {
	case errors.As(err, &no):
		return report.Outcome_STATUS_REFUSED, no.sentence
	case errors.As(err, &doubt):
		return report.Outcome_STATUS_UNKNOWN, doubt.Error()
	case apierrors.IsForbidden(err):
		return report.Outcome_STATUS_REFUSED, fmt.Sprintf("the agent's own rights do not allow it, or an admission rule forbids it: %v", err)
	case apierrors.IsNotFound(err):
		return report.Outcome_STATUS_REFUSED, kube.Reason(err)
	case errors.Is(err, context.DeadlineExceeded):
		return report.Outcome_STATUS_FAILED, "it ran out of time"
	case errors.Is(err, context.Canceled):
		return report.Outcome_STATUS_FAILED, "the agent was stopped before it was done"
	}
	return report.Outcome_STATUS_FAILED, kube.Reason(err)
}

// display gives "deployment shop/payments", or "node worker-1".
func display(k *report.ResourceKey) string {
	s := strings.ToLower(k.GetKind()) + " "
	if k.GetNamespace() != "" {
		s += k.GetNamespace() + "/"
	}
	return s + k.GetName()
}
