package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/people"
)

// memory is a Store with the duties of the interface, that a test can tamper with.
type memory struct {
	mu          sync.Mutex
	entries     []audit.Entry
	start, head audit.Mark
	broken      bool
}

func (m *memory) AppendAudit(_ context.Context, e audit.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken || e.Seq != m.head.Seq+1 {
		return errors.New("disk failure")
	}
	m.entries = append(m.entries, e)
	m.head = audit.Mark{Seq: e.Seq, Hash: e.Hash}
	return nil
}

func (m *memory) AuditEntries(_ context.Context, after int64, limit int) ([]audit.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []audit.Entry
	for _, e := range m.entries {
		if e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) AuditMarks(context.Context) (start, head audit.Mark, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.start, m.head, nil
}

func filled(t *testing.T, n int) (*memory, *audit.Log) {
	t.Helper()
	m := &memory{}
	at := time.Date(2026, 11, 5, 3, 0, 0, 123456789, time.FixedZone("JST", 9*3600))
	l, err := audit.New(t.Context(), audit.Config{Store: m, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := l.Append(t.Context(), people.Person{ID: "slack:MIA", Name: "Mia"}, "command.run", "prod-eu",
			"deployment/payments", map[string]int{"i": i}); err != nil {
			t.Fatal(err)
		}
	}
	return m, l
}

func TestVerifyNamesTheFirstBrokenEntry(t *testing.T) {
	for name, c := range map[string]struct {
		tamper func(m *memory)
		want   string // "" when the log is sound
	}{
		"an untouched log is sound": {func(*memory) {}, ""},
		"another target":            {func(m *memory) { m.entries[2].Target = "deployment/cart" }, "entry 3 was changed"},
		"another actor":             {func(m *memory) { m.entries[4].Actor.ID = "slack:KEN" }, "entry 5 was changed"},
		"another time":              {func(m *memory) { m.entries[0].At = m.entries[0].At.Add(time.Second) }, "entry 1 was changed"},
		"another detail":            {func(m *memory) { m.entries[1].Detail = json.RawMessage(`{"i":7}`) }, "entry 2 was changed"},
		"a rewritten hash": {func(m *memory) {
			m.entries[2].Target, m.entries[2].Hash = "x", strings.Repeat("0", 64)
		}, "entry 3 was changed"},
		"a missing entry":      {func(m *memory) { m.entries = slices.Delete(m.entries, 1, 2) }, "entry 2 is missing"},
		"a tail cut off":       {func(m *memory) { m.entries = m.entries[:4] }, "entry 5 is missing"},
		"a beginning cut off":  {func(m *memory) { m.entries = m.entries[2:] }, "entry 1 is missing"},
		"another newest entry": {func(m *memory) { m.head.Hash = "x" }, "entry 6 is not the newest one"},
		"a beginning removed by retention is sound": {func(m *memory) {
			m.start = audit.Mark{Seq: 2, Hash: m.entries[1].Hash}
			m.entries = m.entries[2:]
		}, ""},
		"two entries exchanged": {func(m *memory) {
			m.entries[2], m.entries[3] = m.entries[3], m.entries[2]
			m.entries[2].Seq, m.entries[3].Seq = 3, 4
		}, "entry 3 does not follow entry 2"},
	} {
		t.Run(name, func(t *testing.T) {
			m, l := filled(t, 6)
			c.tamper(m)
			err := l.Verify(t.Context())
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (!errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Whatever single character of the stored entries is altered, Verify sees it.
func TestAnyChangeShows(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m, l := filled(t, 4)
		i := rapid.IntRange(0, 3).Draw(r, "entry")
		raw, err := json.Marshal(m.entries[i])
		if err != nil {
			r.Fatal(err)
		}
		at := rapid.IntRange(0, len(raw)-1).Draw(r, "byte")
		old := raw[at]
		raw[at] = rapid.ByteRange(' ', '~').Draw(r, "value")
		var changed audit.Entry
		if raw[at] == old || json.Unmarshal(raw, &changed) != nil || fmt.Sprint(changed) == fmt.Sprint(m.entries[i]) {
			r.Skip("no other entry")
		}
		m.entries[i] = changed
		if err := l.Verify(t.Context()); !errors.Is(err, audit.ErrBroken) {
			r.Fatalf("entry %d changed to %s: %v", i+1, raw, err)
		}
	})
}

func TestAnEntryThatWasNotStoredLeavesTheChainSound(t *testing.T) {
	m, l := filled(t, 2)
	m.broken = true
	if _, err := l.Append(t.Context(), people.Person{}, "x", "", "", nil); err == nil {
		t.Fatal("a failed write went unnoticed")
	}
	m.broken = false
	e, err := l.Append(t.Context(), people.Person{}, "x", "", "", nil)
	if err != nil || e.Seq != 3 {
		t.Fatalf("entry %d, %v", e.Seq, err)
	}
	if err := l.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestConcurrentAppendsMakeOneChain(t *testing.T) {
	_, l := filled(t, 0)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := l.Append(t.Context(), people.Person{ID: "slack:U"}, "x", "", "", i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if l.Head().Seq != 50 {
		t.Errorf("head %d", l.Head().Seq)
	}
	if err := l.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
