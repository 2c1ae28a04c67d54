package sim

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// changeCause is where kubectl and pipelines say why a rollout was made.
const changeCause = "kubernetes.io/change-cause"

// edit changes a Deployment of the shop as a pipeline would. One that is gone is left alone.
func (s *Shop) edit(tx *apiserver.Tx, sv *service, change func(*appsv1.Deployment)) error {
	d, ok := apiserver.Get[*appsv1.Deployment](tx, apiserver.Deployments, s.plan.namespace, sv.name)
	if !ok {
		return nil
	}
	updated := d.DeepCopy()
	change(updated)
	return tx.Update(apiserver.Deployments, updated)
}

// setImage rolls a tag out.
func (s *Shop) setImage(tx *apiserver.Tx, sv *service, tag string) error {
	return s.edit(tx, sv, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = sv.image(s.plan.registry, tag)
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[changeCause] = "release " + tag
	})
}

// referToMissingKey rolls out a template that reads a key which its ConfigMap does not have.
func (s *Shop) referToMissingKey(tx *apiserver.Tx, f *fault) error {
	keys := []string{"RETRY_BUDGET", "CHECKOUT_V2_URL", "POOL_SIZE", "LOCALE_DEFAULT"}
	key := keys[int(f.strength*float64(len(keys)))]
	return s.edit(tx, f.target, func(d *appsv1.Deployment) {
		c := &d.Spec.Template.Spec.Containers[0]
		c.Env = append(c.Env, corev1.EnvVar{Name: key, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: f.target.name + "-config"}, Key: key,
		}}})
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[changeCause] = "read " + key + " from the configuration"
	})
}

// addReplica scales a service up by one.
func (s *Shop) addReplica(tx *apiserver.Tx, sv *service) error {
	return s.edit(tx, sv, func(d *appsv1.Deployment) {
		n := *d.Spec.Replicas + 1
		d.Spec.Replicas = &n
	})
}

// editConfig changes a value of a service's ConfigMap that nothing depends on.
func (s *Shop) editConfig(tx *apiserver.Tx, sv *service) error {
	m, ok := apiserver.Get[*corev1.ConfigMap](tx, apiserver.ConfigMaps, s.plan.namespace, sv.name+"-config")
	if !ok {
		return nil
	}
	updated := m.DeepCopy()
	updated.Data["TIMEOUT_MS"] = fmt.Sprint(2000 + 250*(1+int(sv.role)%3))
	return tx.Update(apiserver.ConfigMaps, updated)
}
