package apiserver

import (
	"fmt"
	"slices"
	"strconv"

	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// react answers one request of the clientset. Requests of no kind known here (discovery) go to the clientset itself.
func (s *Server) react(action clienttesting.Action) (bool, runtime.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gvr, namespace := action.GetResource(), action.GetNamespace()
	var result runtime.Object
	var err error
	switch a := action.(type) {
	case clienttesting.GetActionImpl:
		result, err = s.tx.get(gvr, a.GetSubresource(), namespace, a.Name)
	case clienttesting.ListActionImpl:
		result, err = s.tx.list(gvr, a.Kind, namespace, a.ListRestrictions)
	case clienttesting.CreateActionImpl:
		result, err = s.tx.serveCreate(a)
	case clienttesting.UpdateActionImpl:
		result, err = s.tx.serveUpdate(gvr, a.GetSubresource(), namespace, a.Object, dry(a.UpdateOptions.DryRun))
	case clienttesting.PatchActionImpl:
		result, err = s.tx.servePatch(a)
	case clienttesting.DeleteActionImpl:
		err = s.tx.serveDelete(gvr, namespace, a.Name, a.DeleteOptions)
	case clienttesting.DeleteCollectionActionImpl:
		err = s.tx.serveDeleteCollection(gvr, namespace, a.ListRestrictions, a.DeleteOptions)
	case clienttesting.GenericActionImpl:
		err = apierrors.NewMethodNotSupported(gvr.GroupResource(), a.GetSubresource())
	default:
		return false, nil, nil
	}
	if err != nil {
		return true, nil, err
	}
	return true, result, nil
}

func dry(options []string) bool { return slices.Contains(options, metav1.DryRunAll) }

func (tx *Tx) stored(gvr schema.GroupVersionResource, namespace, name string) (Object, error) {
	o, ok := tx.table(gvr).objects[key{namespace, name}]
	if !ok {
		return nil, apierrors.NewNotFound(gvr.GroupResource(), name)
	}
	return o, nil
}

func (tx *Tx) get(gvr schema.GroupVersionResource, subresource, namespace, name string) (runtime.Object, error) {
	o, err := tx.stored(gvr, namespace, name)
	if err != nil {
		return nil, err
	}
	switch subresource {
	case "", "status":
		return o.DeepCopyObject(), nil
	case "scale":
		return scaleOf(gvr, o)
	}
	return nil, apierrors.NewMethodNotSupported(gvr.GroupResource(), "get "+subresource)
}

func (tx *Tx) list(gvr schema.GroupVersionResource, kind schema.GroupVersionKind, namespace string, restrict clienttesting.ListRestrictions) (runtime.Object, error) {
	match, err := matcher(gvr, namespace, restrict.Labels, restrict.Fields)
	if err != nil {
		return nil, err
	}
	list, err := scheme.Scheme.New(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", gvr.Resource, err)
	}
	var items []runtime.Object
	t := tx.table(gvr)
	for _, k := range t.order {
		if o := t.objects[k]; match(o) {
			items = append(items, o.DeepCopyObject())
		}
	}
	if err := meta.SetList(list, items); err != nil {
		return nil, fmt.Errorf("list %s: %w", gvr.Resource, err)
	}
	about, err := meta.ListAccessor(list)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", gvr.Resource, err)
	}
	about.SetResourceVersion(strconv.FormatInt(max(tx.version, 1), 10))
	return list, nil
}

func (tx *Tx) serveCreate(a clienttesting.CreateActionImpl) (runtime.Object, error) {
	switch o := a.Object.(type) {
	case *authorizationv1.SelfSubjectAccessReview:
		o.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "the simulated cluster allows everything"}
		return o, nil
	case *policyv1.Eviction:
		return o, tx.evict(o.Namespace, o.Name, o.DeleteOptions)
	}
	if a.GetSubresource() != "" {
		return nil, apierrors.NewMethodNotSupported(a.Resource.GroupResource(), "create "+a.GetSubresource())
	}
	o, ok := a.Object.(Object)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%T has no metadata", a.Object))
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(a.Namespace)
	}
	if o.GetNamespace() != a.Namespace {
		return nil, apierrors.NewBadRequest("the namespace of the object does not match the namespace of the request")
	}
	if o.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if o.GetName() == "" && o.GetGenerateName() != "" {
		o.SetName(o.GetGenerateName() + tx.Suffix(5))
	}
	o.SetUID("")
	o.SetCreationTimestamp(metav1.Time{})
	o.SetGeneration(0)
	fill(o)
	if err := validate(nil, o); err != nil {
		return nil, err
	}
	if dry(a.CreateOptions.DryRun) {
		if _, exists := tx.table(a.Resource).objects[keyOf(o)]; exists {
			return nil, apierrors.NewAlreadyExists(a.Resource.GroupResource(), o.GetName())
		}
		tx.prepare(a.Resource, o)
		return o, nil
	}
	if err := tx.Create(a.Resource, o); err != nil {
		return nil, err
	}
	return o.DeepCopyObject(), nil
}

func (tx *Tx) serveUpdate(gvr schema.GroupVersionResource, subresource, namespace string, object runtime.Object, dryRun bool) (runtime.Object, error) {
	if wanted, ok := object.(*autoscalingv1.Scale); ok && subresource == "scale" {
		return tx.rescale(gvr, namespace, wanted, dryRun)
	}
	o, ok := object.(Object)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%T has no metadata", object))
	}
	old, err := tx.stored(gvr, namespace, o.GetName())
	if err != nil {
		return nil, err
	}
	return tx.replace(gvr, subresource, old, o, dryRun)
}

// replace is the common end of update and patch: preconditions, what the subresource may touch, validation, storing.
func (tx *Tx) replace(gvr schema.GroupVersionResource, subresource string, old, o Object, dryRun bool) (runtime.Object, error) {
	gr := gvr.GroupResource()
	if uid := o.GetUID(); uid != "" && uid != old.GetUID() {
		return nil, apierrors.NewConflict(gr, o.GetName(), fmt.Errorf("uid mismatch: the uid in the request (%s) is not the uid of the object (%s)", uid, old.GetUID()))
	}
	if version := o.GetResourceVersion(); version != "" && version != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(gr, o.GetName(), fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
	}
	switch subresource {
	case "":
		if field(o, "Status") != nil && gvr != Events {
			copyField(old, o, "Status")
		}
	case "status":
		merged, ok := old.DeepCopyObject().(Object)
		if !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("%T lost its metadata", old))
		}
		copyField(o, merged, "Status")
		o = merged
	default:
		return nil, apierrors.NewMethodNotSupported(gr, "update "+subresource)
	}
	fill(o)
	if err := validate(old, o); err != nil {
		return nil, err
	}
	if dryRun {
		carry(gvr, old, o)
		o.SetResourceVersion(old.GetResourceVersion())
		return o, nil
	}
	if err := tx.Update(gvr, o); err != nil {
		return nil, err
	}
	if o.GetDeletionTimestamp() != nil && len(o.GetFinalizers()) == 0 && gvr != Pods {
		tx.Delete(gvr, o.GetNamespace(), o.GetName())
	}
	return o.DeepCopyObject(), nil
}

func (tx *Tx) serveDelete(gvr schema.GroupVersionResource, namespace, name string, options metav1.DeleteOptions) error {
	o, err := tx.stored(gvr, namespace, name)
	if err != nil {
		return err
	}
	if p := options.Preconditions; p != nil {
		if p.UID != nil && *p.UID != o.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != o.GetResourceVersion() {
			return apierrors.NewConflict(gvr.GroupResource(), name, fmt.Errorf("the precondition of the deletion does not hold"))
		}
	}
	if dry(options.DryRun) {
		return nil
	}
	var grace int64
	if pod, ok := o.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		grace = 30
		if pod.Spec.TerminationGracePeriodSeconds != nil {
			grace = *pod.Spec.TerminationGracePeriodSeconds
		}
		if options.GracePeriodSeconds != nil {
			grace = *options.GracePeriodSeconds
		}
	} else if len(o.GetFinalizers()) > 0 {
		grace = 1
	}
	tx.Terminate(gvr, namespace, name, grace)
	return nil
}

func (tx *Tx) serveDeleteCollection(gvr schema.GroupVersionResource, namespace string, restrict clienttesting.ListRestrictions, options metav1.DeleteOptions) error {
	match, err := matcher(gvr, namespace, restrict.Labels, restrict.Fields)
	if err != nil {
		return err
	}
	t := tx.table(gvr)
	for _, k := range t.order {
		if o, ok := t.objects[k]; ok && match(o) {
			if err := tx.serveDelete(gvr, k.namespace, k.name, options); err != nil {
				return err
			}
		}
	}
	return nil
}

// Suffix gives n letters of the alphabet that Kubernetes ends generated names with.
func (tx *Tx) Suffix(n int) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[tx.uids.IntN(len(alphabet))]
	}
	return string(b)
}
