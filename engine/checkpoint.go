package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/fleet"
)

// Save writes a checkpoint of every cluster.
func (e *Engine) Save(ctx context.Context) error {
	e.evaluating.Lock()
	defer e.evaluating.Unlock()
	e.nextHistory = time.Time{}
	return e.save(ctx, e.Now())
}

// historyEvery is how many checkpoints there are to one of the history.
const historyEvery = 5

func (e *Engine) save(ctx context.Context, now time.Time) error {
	var errs []error
	put := func(cluster, kind string, blob []byte, err error) {
		if err == nil {
			err = e.cfg.Store.PutCheckpoint(ctx, cluster, kind, blob, now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("checkpoint %s of %s: %w", kind, cluster, err))
		}
	}
	// What is long and dear to write is written less often: a crash costs charts a few minutes.
	long := !now.Before(e.nextHistory)
	if long {
		e.nextHistory = now.Add(historyEvery * e.cfg.Checkpoint)
	}
	for _, id := range e.Fleet.Clusters() {
		c, ok := e.Fleet.Cluster(id)
		if !ok {
			continue
		}
		errs = append(errs, e.SLO.Save(ctx, id))
		if long {
			put(id, "history", e.History.Checkpoint(id), nil)
			put(id, "requests", e.SLO.Checkpoint(id), nil)
		}
		if l, ok := e.learner.(checkpointer); ok {
			blob, err := l.Checkpoint(id)
			put(id, "baseline", blob, err)
		}
		blob, err := e.detector.Checkpoint(id)
		put(id, "detect", blob, err)
		blob, err = json.Marshal(c.Changes(time.Time{}))
		put(id, "changes", blob, err)
		blob, err = e.Graph(id).MarshalJSON()
		put(id, "topology", blob, err)
	}
	return errors.Join(errs...)
}

// restore reads the checkpoints of a cluster that joins for the first time in this process. What cannot be read is
// said and begun anew: a cold start is better than none.
func (e *Engine) restore(cluster string) {
	v := e.view(cluster)
	e.mu.Lock()
	known := v.restored
	v.restored = true
	e.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	get := func(kind string, use func([]byte) error) {
		blob, err := e.cfg.Store.Checkpoint(ctx, cluster, kind)
		if err == nil && len(blob) > 0 {
			err = use(blob)
		}
		if err != nil {
			e.log.Warn("checkpoint not restored", "cluster", cluster, "kind", kind, "err", err)
		}
	}
	if l, ok := e.learner.(checkpointer); ok {
		get("baseline", func(b []byte) error { return l.Restore(cluster, b) })
	}
	get("history", func(b []byte) error { return e.History.Restore(cluster, b) })
	if err := e.SLO.Load(ctx, cluster, e.Now()); err != nil {
		e.log.Warn("counts of requests not restored", "cluster", cluster, "err", err)
	}
	get("requests", func(b []byte) error { return e.SLO.Restore(cluster, b) })
	get("detect", func(b []byte) error { return e.detector.Restore(cluster, b) })
	get("changes", func(b []byte) error {
		var changes []fleet.Change
		if err := json.Unmarshal(b, &changes); err != nil {
			return err
		}
		e.Fleet.Join(cluster).RestoreChanges(changes) // newest first, as save had them from Changes
		return nil
	})
}

// Expect names the clusters that may report. Those that did so before this process began are missed from now on: an
// agent that died while the engine was away is told as silent, not forgotten.
func (e *Engine) Expect(ctx context.Context, clusters ...string) error {
	for _, id := range clusters {
		blob, err := e.cfg.Store.Checkpoint(ctx, id, "topology")
		if err != nil {
			return fmt.Errorf("look for what is known of %s: %w", id, err)
		}
		if len(blob) == 0 {
			continue // it has a token and was never seen
		}
		c := e.Fleet.Join(id)
		e.restore(id)
		c.SetStatus(func(s *fleet.Status) {
			if s.LastSeen.IsZero() {
				s.LastSeen = e.Now()
			}
		})
	}
	return nil
}
