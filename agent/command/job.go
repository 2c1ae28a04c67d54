package command

import (
	"context"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

// instantiate is the annotation that kubectl create job --from writes.
const instantiate = "cronjob.kubernetes.io/instantiate"

// deleteJob deletes a Job with its pods: without the background policy they would be left behind.
func (r *Runner) deleteJob(ctx context.Context, c *report.Command, o *report.Outcome) error {
	k := c.GetTarget()
	if k.GetKind() != "Job" {
		return refuse("nothing was changed: this deletes a Job, not a %s", k.GetKind())
	}
	jobs := r.cfg.Client.BatchV1().Jobs(k.GetNamespace())
	job, err := jobs.Get(ctx, k.GetName(), metav1.GetOptions{})
	if err != nil {
		return reading(k, err)
	}
	if err := r.precondition(c, job); err != nil {
		return err
	}
	pods, err := r.podsOf(ctx, job.Namespace, job.Spec.Selector)
	if err != nil {
		return fmt.Errorf("list pods of the job: %w", err)
	}
	o.Uid, o.ResourceVersion = string(job.UID), job.ResourceVersion
	o.Touched = []*report.ResourceKey{k}
	for i := range pods {
		o.Touched = append(o.Touched, podKey(&pods[i]))
	}
	o.Changes = []*report.FieldChange{{Path: "job " + job.Namespace + "/" + job.Name, Before: jobState(job), After: "deleted"}}
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	if job.UID != "" {
		options.Preconditions = &metav1.Preconditions{UID: &job.UID}
	}
	if c.GetDryRun() {
		options.DryRun = []string{metav1.DryRunAll}
		r.previews.add(job)
	}
	err = jobs.Delete(ctx, job.Name, options)
	switch {
	case apierrors.IsConflict(err):
		return refuse("nothing was changed: %s was deleted and made anew meanwhile", display(k))
	case err != nil && doubtful(err) && !c.GetDryRun():
		return &uncertain{fmt.Errorf("it is not known whether the job was deleted: %w", err)}
	case err != nil:
		return err
	}
	o.Message = done(c, fmt.Sprintf("%s and its %d pods deleted", display(k), len(pods)))
	return nil
}

func jobState(j *batchv1.Job) string {
	switch {
	case j.Status.CompletionTime != nil:
		return "complete"
	case j.Status.Active > 0:
		return "running"
	case j.Status.Failed > 0:
		return "failed"
	}
	return "waiting"
}

// runCronJob makes a Job of a CronJob's template, as kubectl create job --from does. The Job's name comes with the
// command, so that a command that is tried twice makes one Job.
func (r *Runner) runCronJob(ctx context.Context, c *report.Command, name string, o *report.Outcome) error {
	k := c.GetTarget()
	if k.GetKind() != "CronJob" {
		return refuse("nothing was changed: this runs a CronJob, not a %s", k.GetKind())
	}
	if name == "" {
		return refuse("nothing was changed: the command does not name the job to make")
	}
	cron, err := r.cfg.Client.BatchV1().CronJobs(k.GetNamespace()).Get(ctx, k.GetName(), metav1.GetOptions{})
	if err != nil {
		return reading(k, err)
	}
	if err := r.precondition(c, cron); err != nil {
		return err
	}
	template := cron.Spec.JobTemplate.DeepCopy()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cron.Namespace, Name: name, Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
		},
		Spec: template.Spec,
	}
	if job.Annotations == nil {
		job.Annotations = map[string]string{}
	}
	job.Annotations[instantiate] = "manual"
	o.Uid, o.ResourceVersion = string(cron.UID), cron.ResourceVersion
	o.Touched = []*report.ResourceKey{{Kind: "Job", Namespace: job.Namespace, Name: job.Name}}
	var images []string
	for i := range job.Spec.Template.Spec.Containers {
		images = append(images, job.Spec.Template.Spec.Containers[i].Image)
	}
	o.Changes = []*report.FieldChange{{Path: "job " + job.Namespace + "/" + job.Name, After: "created, runs " + strings.Join(images, ", ")}}
	options := metav1.CreateOptions{FieldManager: fieldManager}
	if c.GetDryRun() {
		options.DryRun = []string{metav1.DryRunAll}
		r.previews.add(cron)
	}
	_, err = r.cfg.Client.BatchV1().Jobs(job.Namespace).Create(ctx, job, options)
	switch {
	case apierrors.IsAlreadyExists(err) && !c.GetDryRun():
		return &uncertain{fmt.Errorf("job %s is there already: it may be of this very command", job.Name)}
	case err != nil && doubtful(err) && !c.GetDryRun():
		return &uncertain{fmt.Errorf("it is not known whether the job was made: %w", err)}
	case err != nil:
		return err
	}
	o.Message = done(c, "job "+job.Namespace+"/"+job.Name+" made of "+display(k))
	return nil
}
