package storagetest

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/web/visit"
	"github.com/bukahou/atlhyper/engine/people"
)

func visits(t *testing.T, s Store) {
	key := func(token string) []byte { h := sha256.Sum256([]byte(token)); return h[:] }
	who := people.Person{ID: "client:mia", Name: "Mia", Groups: []string{"slack:S1"}, Given: people.Operator}
	link := visit.Link{Person: who, Path: "/incident/INC-7", Expires: now.Add(time.Minute)}
	for _, token := range []string{"once", "raced", "over"} {
		must(t, s.PutLink(t.Context(), key(token), link))
	}
	got, ok, err := s.TakeLink(t.Context(), key("once"), now)
	if diff := cmp.Diff(link, got); diff != "" || !ok || err != nil {
		t.Errorf("taken: %v, %v\n%s", ok, err, diff)
	}
	for name, token := range map[string]string{"used": "once", "unknown": "never"} {
		if _, ok, err := s.TakeLink(t.Context(), key(token), now); ok || err != nil {
			t.Errorf("a link that is %s: %v, %v", name, ok, err)
		}
	}
	if _, ok, err := s.TakeLink(t.Context(), key("over"), link.Expires); ok || err != nil {
		t.Errorf("a link that is over: %v, %v", ok, err)
	}
	var won atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			_, ok, err := s.TakeLink(t.Context(), key("raced"), now)
			if err != nil {
				t.Error(err)
			}
			if ok {
				won.Add(1)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 16 got the link", won.Load())
	}

	session := visit.Session{Person: who, Begun: now, Expires: now.Add(time.Hour)}
	must(t, s.PutSession(t.Context(), key("s"), session))
	have, ok, err := s.Session(t.Context(), key("s"), now)
	if diff := cmp.Diff(session, have); diff != "" || !ok || err != nil {
		t.Errorf("session: %v, %v\n%s", ok, err, diff)
	}
	if _, ok, err := s.Session(t.Context(), key("s"), session.Expires); ok || err != nil {
		t.Errorf("a session that is over: %v, %v", ok, err)
	}
	must(t, s.EndSession(t.Context(), key("s")))
	if _, ok, err := s.Session(t.Context(), key("s"), now); ok || err != nil {
		t.Errorf("a session that was left: %v, %v", ok, err)
	}
}
