package storagetest

import (
	"slices"
	"sync"
	"testing"
)

func tokens(t *testing.T, s Store) {
	ctx := t.Context()
	if got := get(s.SpentTokens(ctx, "2026-03-03", "person/mia", "all"))(t); !slices.Equal(got, []int{0, 0}) {
		t.Errorf("before anything was spent: %v", got)
	}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if err := s.SpendTokens(ctx, "2026-03-03", 100, "person/mia", "all"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	must(t, s.SpendTokens(ctx, "2026-03-03", 7, "person/ken", "all"))
	must(t, s.SpendTokens(ctx, "2026-03-04", 1, "all"))
	if got := get(s.SpentTokens(ctx, "2026-03-03", "all", "person/ken", "person/mia", "person/eve"))(t); !slices.Equal(got, []int{1607, 7, 1600, 0}) {
		t.Errorf("spent: %v", got)
	}
}
