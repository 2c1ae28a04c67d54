package kube

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

func persistentVolume(v *corev1.PersistentVolume) *report.Resource {
	r := resource("PersistentVolume", &v.ObjectMeta)
	d := &report.PersistentVolume{
		Phase: string(v.Status.Phase), StorageClass: v.Spec.StorageClassName, ReclaimPolicy: string(v.Spec.PersistentVolumeReclaimPolicy),
		CapacityBytes: v.Spec.Capacity.Storage().AsApproximateFloat64(),
	}
	if c := v.Spec.ClaimRef; c != nil {
		d.Claim = c.Namespace + "/" + c.Name
	}
	r.Detail = &report.Resource_PersistentVolume{PersistentVolume: d}
	return r
}

func persistentVolumeClaim(v *corev1.PersistentVolumeClaim) *report.Resource {
	r := resource("PersistentVolumeClaim", &v.ObjectMeta)
	r.Detail = &report.Resource_PersistentVolumeClaim{PersistentVolumeClaim: &report.PersistentVolumeClaim{
		Phase: string(v.Status.Phase), StorageClass: value(v.Spec.StorageClassName), Volume: v.Spec.VolumeName,
		RequestedBytes: v.Spec.Resources.Requests.Storage().AsApproximateFloat64(),
	}}
	return r
}

func serviceAccount(s *corev1.ServiceAccount) *report.Resource {
	r := resource("ServiceAccount", &s.ObjectMeta)
	r.Detail = &report.Resource_ServiceAccount{ServiceAccount: &report.ServiceAccount{
		Secrets:        int32(len(s.Secrets)),
		AutomountToken: s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken, // unset means true
	}}
	return r
}

func resourceQuota(q *corev1.ResourceQuota) *report.Resource {
	r := resource("ResourceQuota", &q.ObjectMeta)
	amounts := func(l corev1.ResourceList) map[string]string {
		out := make(map[string]string, len(l))
		for k, v := range l {
			out[string(k)] = v.String()
		}
		return out
	}
	r.Detail = &report.Resource_ResourceQuota{ResourceQuota: &report.ResourceQuota{Hard: amounts(q.Spec.Hard), Used: amounts(q.Status.Used)}}
	return r
}

// event converts both generations of events: old ones count in count and lastTimestamp, new ones in series and have
// only an eventTime. Counts are totals.
func event(e *corev1.Event) *report.Resource {
	r := resource("Event", &e.ObjectMeta)
	d := &report.Event{
		Type: intern(e.Type), Reason: intern(e.Reason), Message: clean(e.Message), Count: max(e.Count, 1),
		Regarding: &report.ResourceKey{Kind: intern(e.InvolvedObject.Kind), Namespace: intern(e.InvolvedObject.Namespace), Name: e.InvolvedObject.Name},
	}
	d.Source = e.Source.Component
	if d.Source == "" {
		d.Source = e.ReportingController
	}
	if e.Source.Host != "" && !strings.Contains(d.Source, e.Source.Host) {
		d.Source += " on " + e.Source.Host
	}
	d.Source = intern(d.Source)
	first, last := e.FirstTimestamp.Time, e.LastTimestamp.Time
	if first.IsZero() {
		first = e.EventTime.Time
	}
	if e.EventTime.After(last) {
		last = e.EventTime.Time
	}
	if e.Series != nil {
		d.Count = max(d.Count, e.Series.Count)
		if e.Series.LastObservedTime.After(last) {
			last = e.Series.LastObservedTime.Time
		}
	}
	if last.IsZero() {
		last = e.CreationTimestamp.Time
	}
	if first.IsZero() {
		first = earlier(last, e.CreationTimestamp.Time)
	}
	d.First, d.Last = stamp(first), stamp(last)
	r.Detail = &report.Resource_Event{Event: d}
	return r
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
