package controller

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// EventTTL is how long an event is kept after it was last seen: the API server's default.
const EventTTL = time.Hour

// Recorder writes events as their real authors do: the same words about the same object raise a count instead of
// making a new event. The scheduler writes new-style events, which carry eventTime and a series and no count.
type Recorder struct {
	known map[eventKey]types.NamespacedName
	swept time.Time
}

type eventKey struct {
	uid             types.UID
	reason, message string
}

// NewRecorder makes a recorder without memory.
func NewRecorder() *Recorder { return &Recorder{known: map[eventKey]types.NamespacedName{}} }

// Object is what an event may be about.
type Object interface {
	runtime.Object
	metav1.Object
}

// Record writes one event of a component such as "kubelet" about o. host is the node that the component runs on, if it
// matters. kind says what o is, because stored objects do not.
func (r *Recorder) Record(tx *apiserver.Tx, kind string, o metav1.Object, component, host, kindOfEvent, reason, message string) error {
	k := eventKey{o.GetUID(), reason, message}
	if at, ok := r.known[k]; ok {
		if old, ok := apiserver.Get[*corev1.Event](tx, apiserver.Events, at.Namespace, at.Name); ok {
			e := old.DeepCopy()
			if e.Series != nil || !e.EventTime.IsZero() {
				if e.Series == nil {
					e.Series = &corev1.EventSeries{Count: 1}
				}
				e.Series.Count++
				e.Series.LastObservedTime = metav1.NewMicroTime(tx.Now())
			} else {
				e.Count++
				e.LastTimestamp = tx.Stamp()
			}
			return tx.Update(apiserver.Events, e)
		}
	}
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault // where Kubernetes keeps events about cluster-scoped objects
	}
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: o.GetName() + "." + fmt.Sprintf("%x", tx.Now().UnixNano()/1e6) + tx.Suffix(5)},
		InvolvedObject: corev1.ObjectReference{
			Kind: kind, APIVersion: apiVersion(kind), Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(),
		},
		Type: kindOfEvent, Reason: reason, Message: message, ReportingController: component, ReportingInstance: host,
	}
	if component == schedulerName {
		e.EventTime = metav1.NewMicroTime(tx.Now())
		e.Action = "Scheduling"
		e.ReportingInstance = component + "-0"
	} else {
		e.Source = corev1.EventSource{Component: component, Host: host}
		e.FirstTimestamp, e.LastTimestamp, e.Count = tx.Stamp(), tx.Stamp(), 1
	}
	r.known[k] = types.NamespacedName{Namespace: namespace, Name: e.Name}
	return tx.Create(apiserver.Events, e)
}

func apiVersion(kind string) string {
	switch kind {
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet":
		return "apps/v1"
	}
	return "v1"
}

// Sweep removes events that are older than their time to live, at most once a minute.
func (r *Recorder) Sweep(tx *apiserver.Tx) {
	if tx.Now().Sub(r.swept) < time.Minute {
		return
	}
	r.swept = tx.Now()
	for e := range apiserver.All[*corev1.Event](tx, apiserver.Events) {
		if tx.Now().Sub(lastSeen(e)) > EventTTL {
			tx.Delete(apiserver.Events, e.Namespace, e.Name)
			delete(r.known, eventKey{e.InvolvedObject.UID, e.Reason, e.Message})
		}
	}
}

func lastSeen(e *corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	if e.LastTimestamp.After(last) {
		last = e.LastTimestamp.Time
	}
	if e.Series != nil && e.Series.LastObservedTime.After(last) {
		last = e.Series.LastObservedTime.Time
	}
	return last
}
