package apiserver

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// Object is what is stored: any API object with metadata.
type Object interface {
	runtime.Object
	metav1.Object
}

type key struct{ namespace, name string }

func keyOf(o metav1.Object) key { return key{o.GetNamespace(), o.GetName()} }

func compareKeys(a, b key) int {
	if c := strings.Compare(a.namespace, b.namespace); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// table holds the objects of one resource. order is sorted by key and replaced, never changed in place, when an object
// comes or goes, so that a loop over it may write.
type table struct {
	objects map[key]Object
	order   []key
	history []change
	dropped int64 // resourceVersion of the newest change that history no longer holds
	watches []*watcher
}

// change is one step of a table's history. Either side is nil when the object came or went.
type change struct {
	version  int64
	old, now Object
}

const historyLength = 4096 // changes a table keeps for a watch that comes back

// Tx is sole access to the objects for the length of one Do.
type Tx struct {
	now     time.Time
	version int64
	uids    *rand.Rand
	tables  map[schema.GroupVersionResource]*table
}

// Now is the server's clock, in whole seconds.
func (tx *Tx) Now() time.Time { return tx.now }

// Stamp is the server's clock as objects keep it.
func (tx *Tx) Stamp() metav1.Time { return metav1.NewTime(tx.now) }

// Version is the resourceVersion of the newest change: as long as it stands still, nothing was written.
func (tx *Tx) Version() int64 { return tx.version }

func (tx *Tx) table(gvr schema.GroupVersionResource) *table {
	t := tx.tables[gvr]
	if t == nil {
		t = &table{objects: map[key]Object{}}
		tx.tables[gvr] = t
	}
	return t
}

// All gives the objects of a resource ordered by namespace and name. The loop may write; objects that come meanwhile
// are not seen, objects that go are skipped, objects that change are seen as they are when their turn comes.
func All[T Object](tx *Tx, gvr schema.GroupVersionResource) iter.Seq[T] {
	return func(yield func(T) bool) {
		t := tx.table(gvr)
		for _, k := range t.order {
			if o, ok := t.objects[k].(T); ok && !yield(o) {
				return
			}
		}
	}
}

// Get gives one object.
func Get[T Object](tx *Tx, gvr schema.GroupVersionResource, namespace, name string) (T, bool) {
	o, ok := tx.table(gvr).objects[key{namespace, name}].(T)
	return o, ok
}

// Create stores o, which the server owns from then on, with a uid, a resourceVersion, a creation time unless it carries
// one, and generation 1 where the resource counts generations.
func (tx *Tx) Create(gvr schema.GroupVersionResource, o Object) error {
	t := tx.table(gvr)
	k := keyOf(o)
	if _, exists := t.objects[k]; exists {
		return apierrors.NewAlreadyExists(gvr.GroupResource(), k.name)
	}
	tx.prepare(gvr, o)
	at, _ := slices.BinarySearchFunc(t.order, k, compareKeys)
	order := make([]key, 0, len(t.order)+1)
	order = append(append(append(order, t.order[:at]...), k), t.order[at:]...)
	t.order, t.objects[k] = order, o
	tx.commit(t, o, nil, o)
	return nil
}

// prepare fills what the server sets on a new object.
func (tx *Tx) prepare(gvr schema.GroupVersionResource, o Object) {
	if o.GetUID() == "" {
		o.SetUID(tx.UID())
	}
	if created := o.GetCreationTimestamp(); created.IsZero() {
		o.SetCreationTimestamp(tx.Stamp())
	}
	if o.GetGeneration() == 0 && generational(gvr) {
		o.SetGeneration(1)
	}
}

// Update replaces a stored object by o, which the server owns from then on. The generation moves when the spec did.
// It is for the cluster's own controllers, which hold sole access and so cannot be stale; an object that is gone is an error.
func (tx *Tx) Update(gvr schema.GroupVersionResource, o Object) error {
	t := tx.table(gvr)
	k := keyOf(o)
	old, exists := t.objects[k]
	if !exists {
		return apierrors.NewNotFound(gvr.GroupResource(), k.name)
	}
	carry(gvr, old, o)
	t.objects[k] = o
	tx.commit(t, o, old, o)
	return nil
}

// carry keeps what an update cannot change and moves the generation when the spec differs.
func carry(gvr schema.GroupVersionResource, old, o Object) {
	o.SetUID(old.GetUID())
	o.SetCreationTimestamp(old.GetCreationTimestamp())
	o.SetDeletionTimestamp(old.GetDeletionTimestamp())
	o.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	o.SetGeneration(old.GetGeneration())
	if generational(gvr) && !equality.Semantic.DeepEqual(field(old, "Spec"), field(o, "Spec")) {
		o.SetGeneration(old.GetGeneration() + 1)
	}
}

// field gives a pointer to a field of an API object such as Spec or Status, or nil where the kind has none.
func field(o Object, name string) any {
	v := reflect.ValueOf(o).Elem().FieldByName(name)
	if !v.IsValid() {
		return nil
	}
	return v.Addr().Interface()
}

// copyField sets a field of to from the same field of from; kinds without it are left alone.
func copyField(from, to Object, name string) {
	if v := reflect.ValueOf(to).Elem().FieldByName(name); v.IsValid() {
		v.Set(reflect.ValueOf(from).Elem().FieldByName(name))
	}
}

// Delete removes an object at once, whatever its grace period or finalizers. A missing one is no error.
func (tx *Tx) Delete(gvr schema.GroupVersionResource, namespace, name string) {
	t := tx.table(gvr)
	k := key{namespace, name}
	old, exists := t.objects[k]
	if !exists {
		return
	}
	delete(t.objects, k)
	at, _ := slices.BinarySearchFunc(t.order, k, compareKeys)
	t.order = slices.Concat(t.order[:at], t.order[at+1:])
	last, ok := old.DeepCopyObject().(Object)
	if !ok {
		return
	}
	tx.commit(t, last, old, nil)
}

// Terminate asks a pod to end: it gets a deletion time, and the kubelet removes it when its processes are gone. A pod
// without a node, or a grace of 0, goes at once.
func (tx *Tx) Terminate(gvr schema.GroupVersionResource, namespace, name string, grace int64) {
	old, exists := tx.table(gvr).objects[key{namespace, name}]
	if !exists || old.GetDeletionTimestamp() != nil && grace > 0 {
		return
	}
	if grace <= 0 {
		tx.Delete(gvr, namespace, name)
		return
	}
	o, ok := old.DeepCopyObject().(Object)
	if !ok {
		return
	}
	// The time of deletion is when the grace ends, as Kubernetes counts it.
	end := metav1.NewTime(tx.now.Add(time.Duration(grace) * time.Second))
	t := tx.table(gvr)
	o.SetDeletionTimestamp(&end)
	o.SetDeletionGracePeriodSeconds(&grace)
	t.objects[keyOf(o)] = o
	tx.commit(t, o, old, o)
}

// commit gives the object its resourceVersion, records the step and tells the watchers. object is old's last state
// when now is nil.
func (tx *Tx) commit(t *table, object, old, now Object) {
	tx.version++
	object.SetResourceVersion(strconv.FormatInt(tx.version, 10))
	step := change{version: tx.version, old: old, now: now}
	if now == nil {
		step.old = object
	}
	if len(t.history) >= historyLength {
		half := historyLength / 2
		t.dropped = t.history[half-1].version
		t.history = slices.Clone(t.history[half:])
	}
	t.history = append(t.history, step)
	open := t.watches[:0:0]
	for _, w := range t.watches {
		if w.send(step) {
			open = append(open, w)
		}
	}
	if len(open) != len(t.watches) {
		t.watches = open
	}
}

// UID gives a new uid from the server's own sequence.
func (tx *Tx) UID() types.UID {
	a, b := tx.uids.Uint64(), tx.uids.Uint64()
	return types.UID(fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff))
}

func (c change) event(match func(Object) bool) (watch.Event, bool) {
	before, after := c.old != nil && match(c.old), c.now != nil && match(c.now)
	switch {
	case after && before && c.old != c.now:
		return watch.Event{Type: watch.Modified, Object: c.now.DeepCopyObject()}, true
	case after:
		return watch.Event{Type: watch.Added, Object: c.now.DeepCopyObject()}, true
	case before:
		last, ok := c.old.DeepCopyObject().(Object)
		if !ok {
			return watch.Event{}, false
		}
		// A watcher goes on from the version of the last event that it saw, so the event carries its own.
		last.SetResourceVersion(strconv.FormatInt(c.version, 10))
		return watch.Event{Type: watch.Deleted, Object: last}, true
	}
	return watch.Event{}, false
}
