package baseline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/bukahou/atlhyper/engine/entity"
)

// The blob of a checkpoint, little endian: magic, version, the number of entities; for each entity its names and its
// series; for each series its name, its fields and the values held; the CRC-32C of all before. Strings and lists are preceded by their length.
const (
	checkpointMagic   = "AHBL"
	checkpointVersion = 2
	least             = 24 // bytes that the smallest entity or series takes, which bounds what a false length can make us allocate
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checkpoint gives what was learned of a cluster as one blob; of an unknown cluster it is that of nothing learned.
func (l *Learner) Checkpoint(id string) ([]byte, error) {
	e := encoder{b: []byte(checkpointMagic)}
	e.uint(checkpointVersion)
	c := l.find(id)
	if c == nil {
		c = newCluster(&l.cfg)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.b = append(make([]byte, 0, 64+len(c.series)*176), e.b...)
	e.uint(uint64(len(c.ids)))
	for i := range c.entities {
		k := &c.entities[i]
		if len(k.metrics) == 0 {
			continue // forgotten
		}
		e.string(k.ref.Kind)
		e.string(k.ref.Namespace)
		e.string(k.ref.Name)
		e.uint(uint64(len(k.metrics)))
		for _, m := range k.metrics {
			e.string(m.name)
			c.encode(&e, &c.series[m.series])
		}
	}
	return seal(e.b), nil
}

func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (c *cluster) encode(e *encoder, s *series) {
	for _, f := range s.floats() {
		e.float(*f)
	}
	for _, n := range s.times() {
		e.uint(uint64(*n))
	}
	e.uint(uint64(s.samples))
	e.uint(flags(s.warm, s.below, s.buffer >= 0, s.counter >= 0))
	if s.buffer >= 0 {
		e.uint(uint64(len(c.buffers[s.buffer])))
		for _, x := range c.buffers[s.buffer] {
			e.float(x)
		}
	}
	if s.counter >= 0 {
		k := c.counters[s.counter]
		e.float(k.before)
		e.float(k.start)
		e.uint(uint64(k.epoch))
	}
}

func (s *series) floats() []*float64 {
	return []*float64{&s.mean, &s.variance, &s.usual, &s.wide, &s.off, &s.far, &s.value, &s.count, &s.z, &s.spread, &s.sum}
}

func (s *series) times() []*int64 {
	return []*int64{&s.born, &s.last, &s.onset, &s.overSince, &s.outSince, &s.outFor, &s.inFor}
}

func flags(set ...bool) uint64 {
	var n uint64
	for i, b := range set {
		if b {
			n |= 1 << i
		}
	}
	return n
}

var errDamaged = errors.New("the checkpoint is damaged; the cluster's baselines are learned anew")

// Restore replaces what is known of a cluster by a checkpoint. On an error nothing is replaced: the blob is damaged or of another
// version, and the cluster starts cold.
func (l *Learner) Restore(id string, blob []byte) error {
	c := newCluster(&l.cfg)
	if err := c.decode(id, blob); err != nil {
		return fmt.Errorf("restore baselines of %s: %w", id, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clusters[id] = c
	return nil
}

func (c *cluster) decode(id string, blob []byte) error {
	body := len(blob) - 4
	if body < len(checkpointMagic) || string(blob[:len(checkpointMagic)]) != checkpointMagic {
		return errDamaged
	}
	if crc32.Checksum(blob[:body], castagnoli) != binary.LittleEndian.Uint32(blob[body:]) {
		return errDamaged
	}
	d := decoder{b: blob[len(checkpointMagic):body]}
	if v := d.uint(); v != checkpointVersion {
		return fmt.Errorf("version %d, want %d; the cluster's baselines are learned anew", v, checkpointVersion)
	}
	for range d.length(len(d.b)/least + 1) {
		ref := entity.Ref{Cluster: id, Kind: d.string(), Namespace: d.string(), Name: d.string()}
		if _, twice := c.ids[ref]; twice || d.bad || ref.Name == "" {
			return errDamaged
		}
		owner := c.addEntity(ref)
		n := d.length(len(d.b)/least + 1)
		if n == 0 {
			return errDamaged
		}
		for range n {
			name := d.string()
			for _, m := range c.entities[owner].metrics {
				d.bad = d.bad || m.name == name
			}
			if d.bad || name == "" {
				return errDamaged
			}
			sid := c.addSeries(owner, name)
			c.decodeSeries(&d, &c.series[sid])
		}
	}
	if d.bad || len(d.b) > 0 {
		return errDamaged
	}
	return nil
}

func (c *cluster) decodeSeries(d *decoder, s *series) {
	for _, f := range s.floats() {
		*f = d.float()
	}
	for _, n := range s.times() {
		*n = d.time()
	}
	s.samples = uint32(min(d.uint(), math.MaxUint32))
	set := d.uint()
	s.warm, s.below = set&1 != 0, set&2 != 0
	if set&4 != 0 {
		s.buffer = c.acquire()
		for range d.length(bufferSize) {
			c.hold(s, d.float())
		}
	}
	d.bad = d.bad || set>>4 != 0 || (set&8 != 0) != (s.counter >= 0) || // the table may have changed since
		s.variance < 0 || s.wide < 0 || s.sum < 0 || s.warm && s.spread <= 0
	if s.counter >= 0 && !d.bad {
		c.counters[s.counter] = counter{before: d.float(), start: d.float(), epoch: d.time()}
	}
}

type encoder struct{ b []byte }

func (e *encoder) uint(n uint64)   { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) float(x float64) { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(x)) }
func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

// decoder reads until something does not fit; then it is bad and gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) length(most int) int {
	n := d.uint()
	if n > uint64(most) {
		d.bad = true
		return 0
	}
	return int(n)
}

// time reads what is never negative and below 2⁶².
func (d *decoder) time() int64 {
	n := d.uint()
	if n > 1<<62 {
		d.bad = true
		return 0
	}
	return int64(n)
}

func (d *decoder) float() float64 {
	if len(d.b) < 8 {
		d.bad, d.b = true, nil
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	if math.IsNaN(x) || math.IsInf(x, 0) {
		d.bad = true
		return 0
	}
	return x
}

func (d *decoder) string() string {
	n := d.length(len(d.b))
	if n > len(d.b) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
