package apiserver

import (
	"encoding/json"
	"fmt"
	"reflect"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	clienttesting "k8s.io/client-go/testing"
)

// servePatch changes the object as JSON and goes on as an update would. The patch may carry a resourceVersion as its
// precondition.
func (tx *Tx) servePatch(a clienttesting.PatchActionImpl) (runtime.Object, error) {
	old, err := tx.stored(a.Resource, a.Namespace, a.Name)
	if err != nil {
		return nil, err
	}
	if a.GetSubresource() == "scale" {
		scale, err := scaleOf(a.Resource, old)
		if err != nil {
			return nil, err
		}
		wanted := &autoscalingv1.Scale{}
		if err := patched(scale, wanted, a.PatchType, a.Patch); err != nil {
			return nil, err
		}
		return tx.rescale(a.Resource, a.Namespace, wanted, dry(a.PatchOptions.DryRun))
	}
	o, ok := reflect.New(reflect.TypeOf(old).Elem()).Interface().(Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%T has no metadata", old))
	}
	if err := patched(old, o, a.PatchType, a.Patch); err != nil {
		return nil, err
	}
	if keyOf(o) != keyOf(old) {
		return nil, apierrors.NewBadRequest("a patch cannot rename an object")
	}
	return tx.replace(a.Resource, a.GetSubresource(), old, o, dry(a.PatchOptions.DryRun))
}

func patched(from, into runtime.Object, kind types.PatchType, patch []byte) error {
	before, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("encode object to patch: %w", err)
	}
	var after []byte
	switch kind {
	case types.JSONPatchType:
		var steps jsonpatch.Patch
		if steps, err = jsonpatch.DecodePatch(patch); err == nil {
			after, err = steps.Apply(before)
		}
	case types.MergePatchType:
		after, err = jsonpatch.MergePatch(before, patch)
	case types.StrategicMergePatchType:
		after, err = strategicpatch.StrategicMergePatch(before, patch, from)
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("the simulated cluster takes no patch of type %s", kind))
	}
	if err == nil {
		err = json.Unmarshal(after, into)
	}
	if err != nil {
		return apierrors.NewBadRequest("patch: " + err.Error())
	}
	return nil
}
