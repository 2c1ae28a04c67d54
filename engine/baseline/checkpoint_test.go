package baseline

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/engine/entity"
)

// lived is a learner with series in every state: warm, warming up, outside, counting, forgotten.
func lived() (*Learner, time.Time) {
	r := rand.New(rand.NewPCG(1, 2))
	l := New(Config{})
	pod := entity.Ref{Cluster: "prod", Kind: entity.Pod, Namespace: "shop", Name: "cart-1"}
	gone := entity.Ref{Cluster: "prod", Kind: entity.Pod, Namespace: "shop", Name: "cart-0"}
	feed(l, start, gone, "cpu_usage", 20, noise(r, 0.3, 0.02), nil)
	feed(l, start, pod, "restart_count", 100, func(i int) float64 { return float64(i / 40) }, nil)
	feed(l, start, cart, "avg_latency", 90, noise(r, 0.1, 0.01), nil)
	feed(l, start.Add(90*tick), cart, "avg_latency", 10, noise(r, 0.4, 0.01), nil)
	feed(l, start.Add(80*tick), cart, "error_rate", 20, noise(r, 0.01, 0.001), nil)
	l.Forget(gone)
	return l, start.Add(100 * tick)
}

func TestACheckpointContinuesWhereItWas(t *testing.T) {
	l, now := lived()
	blob, err := l.Checkpoint("prod")
	if err != nil {
		t.Fatal(err)
	}
	again := New(Config{})
	if err := again.Restore("prod", blob); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		now = now.Add(tick)
		x := 0.4 + 0.01*float64(i%3)
		for _, l := range []*Learner{l, again} {
			l.Observe(now, cart, "avg_latency", x, 0)
			l.Observe(now, cart, "error_rate", 0.01, 0)
		}
		if diff := cmp.Diff(l.Anomalies("prod", now, nil), again.Anomalies("prod", now, nil)); diff != "" {
			t.Fatalf("tick %d: %s", i, diff)
		}
	}
	if diff := cmp.Diff(l.Rebased("prod"), again.Rebased("prod")); diff != "" {
		t.Error(diff)
	}
}

func TestNothingLearnedCanBeStoredToo(t *testing.T) {
	blob, err := New(Config{}).Checkpoint("prod")
	if err != nil {
		t.Fatal(err)
	}
	if err := New(Config{}).Restore("prod", blob); err != nil {
		t.Error(err)
	}
}

func TestADamagedCheckpointIsRefused(t *testing.T) {
	l, now := lived()
	blob, _ := l.Checkpoint("prod")
	for i := range blob {
		bad := bytes.Clone(blob)
		bad[i] ^= 0x10
		if err := l.Restore("prod", bad); err == nil {
			t.Fatalf("byte %d flipped and nobody noticed", i)
		}
		if err := l.Restore("prod", blob[:i]); err == nil {
			t.Fatalf("cut at %d and nobody noticed", i)
		}
	}
	if len(l.Anomalies("prod", now, nil)) == 0 {
		t.Error("a refused checkpoint replaced what was there")
	}
}

func FuzzRestore(f *testing.F) {
	l, _ := lived()
	blob, _ := l.Checkpoint("prod")
	f.Add(blob[len(checkpointMagic) : len(blob)-4])
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		if New(Config{}).Restore("prod", body) == nil {
			t.Fatal("a body without magic and sum was taken")
		}
		l := New(Config{})
		whole := append([]byte(checkpointMagic), body...)
		whole = binary.LittleEndian.AppendUint32(whole, crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)))
		if err := l.Restore("prod", whole); err != nil {
			return
		}
		now := start.Add(1000 * tick)
		l.Observe(now, cart, "avg_latency", 0.1, 1)
		for range 3 {
			now = now.Add(tick)
			l.Observe(now, cart, "avg_latency", 0.9, 1)
			l.Anomalies("prod", now, nil)
		}
		if _, err := l.Checkpoint("prod"); err != nil {
			t.Fatal(err)
		}
	})
}
