package lab

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
)

// ShopNamespace is where SeedShop puts the shop.
const ShopNamespace = "shop"

// shopServices are the shop's Deployments, each with a Service and a container of the same name.
var shopServices = []string{
	"frontend", "checkout", "payments", "cart", "catalog", "search",
	"inventory", "shipping", "email", "recommendations", "currency", "ads",
}

// SeedShop makes a shop of twelve Deployments with two or three replicas each, their Services, and an Ingress to the
// frontend, and waits until all of it is available. What is there already is left as it is.
func (l *Lab) SeedShop(ctx context.Context) error {
	if err := l.ensureNamespace(ctx, ShopNamespace); err != nil {
		return err
	}
	for i, name := range shopServices {
		if err := l.createDeployment(ctx, ShopNamespace, name, "shop/"+name+":1.0.0", int32(2+i%2)); err != nil {
			return err
		}
		_, err := l.client.CoreV1().Services(ShopNamespace).Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labelsOf(name)},
			Spec: corev1.ServiceSpec{
				Selector: labelsOf(name),
				Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
			},
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create service %s: %w", name, err)
		}
	}
	prefix := networkingv1.PathTypePrefix
	_, err := l.client.NetworkingV1().Ingresses(ShopNamespace).Create(ctx, &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: "shop"},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
			Host: "shop.example.com",
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{
					Path: "/", PathType: &prefix,
					Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
						Name: "frontend", Port: networkingv1.ServiceBackendPort{Name: "http"},
					}},
				}},
			}},
		}}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create ingress: %w", err)
	}
	for _, name := range shopServices {
		if err := l.waitAvailable(ctx, ShopNamespace, name); err != nil {
			return err
		}
	}
	return nil
}

// RunPods makes a Deployment "load" of n replicas in a namespace, with as many nodes as it needs, and waits until
// all of them are ready.
func (l *Lab) RunPods(ctx context.Context, namespace string, n int32) error {
	// Four in five of a node's 500 places, so that there is room for what else runs.
	if err := l.ensureNodes(ctx, max(l.cfg.Nodes, int(n)/400+1)); err != nil {
		return err
	}
	if err := l.ensureNamespace(ctx, namespace); err != nil {
		return err
	}
	if err := l.createDeployment(ctx, namespace, "load", "bench/load:1.0.0", n); err != nil {
		return err
	}
	return l.waitAvailable(ctx, namespace, "load")
}

func labelsOf(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": name}
}

func (l *Lab) ensureNamespace(ctx context.Context, name string) error {
	_, err := l.client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

func (l *Lab) createDeployment(ctx context.Context, namespace, name, image string, replicas int32) error {
	_, err := l.client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labelsOf(name)},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labelsOf(name)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(name)},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name:  name,
					Image: image,
					Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
						HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("http")},
					}},
					Resources: corev1.ResourceRequirements{
						Requests: corev1.ResourceList{
							corev1.ResourceCPU:    resource.MustParse("100m"),
							corev1.ResourceMemory: resource.MustParse("128Mi"),
						},
						Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
					},
				}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create deployment %s/%s: %w", namespace, name, err)
	}
	return nil
}

// stuckAfter bounds waitAvailable: pretended pods take seconds, and a test that waits for ever says nothing.
const stuckAfter = 3 * time.Minute

// waitAvailable waits until a Deployment's present template has all its replicas available, and no other has any.
func (l *Lab) waitAvailable(ctx context.Context, namespace, name string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(stuckAfter, func() { cancel(fmt.Errorf("nothing moved for %s", stuckAfter)) })
	defer stuck.Stop()
	var d *appsv1.Deployment
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		got, err := l.client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, nil // asked again
		}
		if d == nil || d.ResourceVersion != got.ResourceVersion {
			stuck.Reset(stuckAfter)
		}
		d = got
		s := d.Status
		return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == *d.Spec.Replicas &&
			s.AvailableReplicas == *d.Spec.Replicas && s.Replicas == *d.Spec.Replicas, nil
	})
	if err != nil && d != nil {
		return fmt.Errorf("wait for deployment %s/%s (%d of %d available): %w",
			namespace, name, d.Status.AvailableReplicas, *d.Spec.Replicas, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("wait for deployment %s/%s: %w", namespace, name, context.Cause(ctx))
	}
	return nil
}

// logOf names the log that a Deployment's container writes to.
func (l *Lab) logOf(deployment string) string {
	if slices.Contains(shopServices, deployment) {
		return deployment
	}
	return anyContainer
}
