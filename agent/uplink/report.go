package uplink

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

// pending is what waits to be sent.
type pending struct {
	keys  map[kube.Key]struct{}
	kinds bool
	spool []*report.TelemetryFrame // oldest first
	bytes int                      // of spool
	most  int                      // frames
	limit int                      // bytes
}

func newPending(frames, bytes int) pending {
	return pending{keys: map[kube.Key]struct{}{}, most: frames, limit: bytes}
}

// push adds a frame and gives how many old ones it displaced. The newest is kept however large it is.
func (p *pending) push(f *report.TelemetryFrame) (dropped uint64) {
	p.spool = append(p.spool, f)
	p.bytes += proto.Size(f)
	for len(p.spool) > 1 && (len(p.spool) > p.most || p.bytes > p.limit) {
		p.bytes -= proto.Size(p.spool[0])
		p.spool[0] = nil
		p.spool = p.spool[1:]
		dropped++
	}
	return dropped
}

// pop takes the oldest frames that fit into room bytes, at least one if there is any.
func (p *pending) pop(room int) []*report.TelemetryFrame {
	n := 0
	for n < len(p.spool) {
		size := proto.Size(p.spool[n])
		if n > 0 && size > room {
			break
		}
		room -= size
		p.bytes -= size
		n++
	}
	if n == 0 {
		return nil
	}
	out := p.spool[:n:n]
	p.spool = p.spool[n:]
	return out
}

// unpop puts frames back that were not acknowledged.
func (p *pending) unpop(frames []*report.TelemetryFrame) (dropped uint64) {
	later := p.spool
	p.spool, p.bytes = nil, 0
	for _, f := range append(frames[:len(frames):len(frames)], later...) {
		dropped += p.push(f)
	}
	return dropped
}

// report sends batches until the session is lost or ctx is done.
func (u *Uplink) report(ctx context.Context, s session) error {
	var sequence uint64
	settled := u.cfg.State.Settled()
	synced := false
	// Three quarters of the promise: a heartbeat that waits for a slow call must not be late.
	idle := s.heartbeat * 3 / 4
	send := func(b *report.ReportRequest) error {
		sequence++
		b.Session, b.Sequence = s.id, sequence
		err := u.deliver(ctx, b)
		if err != nil {
			u.mu.Lock()
			u.stats.DroppedFrames += u.pending.unpop(b.Frames)
			u.mu.Unlock()
		} else if len(b.Minutes) > 0 {
			u.cfg.Minutes.Acknowledged(b.Minutes)
		}
		return err
	}
	u.mu.Lock()
	u.pending.kinds = true // a new session knows nothing
	u.mu.Unlock()
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		u.mu.Lock()
		rejoin := u.rejoin
		u.mu.Unlock()
		if rejoin {
			return errRejoin
		}
		if !synced {
			select {
			case <-settled:
				if err := u.resync(send); err != nil {
					return err
				}
				synced = true
				continue
			default:
			}
		}
		b := u.batch(synced)
		if b == nil && sequence > 0 {
			timer.Reset(idle)
			wait := settled
			if synced {
				wait = nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-wait:
			case <-u.wake:
				sleep(ctx, u.cfg.Gather)
			case <-timer.C:
				b = &report.ReportRequest{}
			}
			if b == nil {
				continue
			}
		}
		if b == nil {
			b = &report.ReportRequest{}
		}
		if err := send(b); err != nil {
			return err
		}
	}
}

// batch takes what is pending, as much as fits; nil when there is nothing. Objects wait for the resync.
func (u *Uplink) batch(synced bool) *report.ReportRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := &report.ReportRequest{}
	room := u.cfg.MaxBatchBytes
	if u.pending.kinds {
		u.pending.kinds = false
		b.Kinds = u.cfg.State.Kinds()
	}
	if synced {
		for k := range u.pending.keys {
			if len(b.Upserts)+len(b.Deletes) >= u.cfg.MaxBatchResources || room <= 0 {
				u.poke() // the rest comes next
				break
			}
			delete(u.pending.keys, k)
			if r := u.cfg.State.Resource(k); r != nil {
				room -= proto.Size(r)
				b.Upserts = append(b.Upserts, r)
			} else {
				b.Deletes = append(b.Deletes, k.Report())
			}
		}
	}
	if room > 0 {
		b.Frames = u.pending.pop(room)
	}
	for _, f := range b.Frames {
		room -= proto.Size(f)
	}
	if synced && room > 0 && u.cfg.Minutes != nil {
		b.Minutes = u.cfg.Minutes.Pending(room)
	}
	if len(u.pending.spool) > 0 {
		u.poke()
	}
	if len(b.Kinds)+len(b.Upserts)+len(b.Deletes)+len(b.Frames)+len(b.Minutes) == 0 {
		return nil
	}
	return b
}

// resync sends everything. What changes meanwhile is pending again and follows as a delta.
func (u *Uplink) resync(send func(*report.ReportRequest) error) error {
	u.mu.Lock()
	clear(u.pending.keys)
	u.pending.kinds = false
	u.mu.Unlock()
	all := u.cfg.State.Snapshot()
	b := &report.ReportRequest{ResyncBegin: true, Kinds: u.cfg.State.Kinds()}
	room := u.cfg.MaxBatchBytes
	for _, r := range all {
		size := proto.Size(r)
		if len(b.Upserts) > 0 && (len(b.Upserts) >= u.cfg.MaxBatchResources || size > room) {
			if err := send(b); err != nil {
				return err
			}
			b, room = &report.ReportRequest{}, u.cfg.MaxBatchBytes
		}
		b.Upserts = append(b.Upserts, r)
		room -= size
	}
	b.ResyncEnd = true
	if err := send(b); err != nil {
		return err
	}
	u.mu.Lock()
	u.stats.Resyncs++
	u.mu.Unlock()
	u.once.Do(func() { close(u.synced) })
	u.cfg.Logger.Info("state reported", "objects", len(all))
	return nil
}

// deliver sends one batch until it is acknowledged, the same under the same number each time: the engine may have
// applied it although its answer was lost.
func (u *Uplink) deliver(ctx context.Context, b *report.ReportRequest) error {
	wait := u.cfg.Retry.Min
	for {
		b.SentAt = stamp(u.cfg.Now())
		size := proto.Size(b)
		call, cancel := context.WithTimeout(ctx, callTimeout)
		resp, err := u.client.Report(call, connect.NewRequest(b))
		cancel()
		u.mu.Lock()
		u.stats.Bytes += uint64(size)
		u.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && (resp.Msg.GetResync() || resp.Msg.GetAcknowledged() < b.Sequence):
			return errResync
		case err == nil:
			u.answered()
			u.mu.Lock()
			u.stats.Batches++
			u.stats.Upserts += uint64(len(b.Upserts))
			u.stats.Deletes += uint64(len(b.Deletes))
			u.stats.Frames += uint64(len(b.Frames))
			u.stats.Minutes += uint64(len(b.Minutes))
			u.stats.LastReport = u.cfg.Now()
			u.mu.Unlock()
			return nil
		case lost(err):
			return err
		}
		wait = u.failed("report", err, wait)
		sleep(ctx, wait)
	}
}
