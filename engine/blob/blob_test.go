package blob_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/blob"
)

func TestWhatWasWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, f, s := rapid.Uint64().Draw(t, "n"), rapid.Float64Range(-1e300, 1e300).Draw(t, "f"), rapid.String().Draw(t, "s")
		counts := rapid.SliceOf(rapid.OneOf(rapid.Float64Range(0, 1e18), rapid.Map(rapid.Uint32(), func(n uint32) float64 { return float64(n) }))).Draw(t, "counts")
		e := blob.NewEncoder("TEST", 3)
		e.Uint(n)
		e.Float(f)
		e.Float32(float32(math.NaN()))
		e.String(s)
		e.Uint(uint64(len(counts)))
		for _, c := range counts {
			e.Count(c)
		}
		raw := e.Seal()
		d, err := blob.NewDecoder(raw, "TEST", 3)
		if err != nil {
			t.Fatal(err)
		}
		if d.Uint() != n || d.Float() != f || !math.IsNaN(float64(d.Float32())) || d.String() != s || d.Length(1) != len(counts) {
			t.Fatal("it comes back as something else")
		}
		for _, c := range counts {
			if got := d.Count(); got != c {
				t.Fatalf("%g comes back as %g", c, got)
			}
		}
		if err := d.End(); err != nil {
			t.Fatal(err)
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "place")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := blob.NewDecoder(raw, "TEST", 3); err == nil {
			t.Fatal("a flipped bit is not seen")
		}
	})
}

func TestAnotherKindOrVersionIsRefused(t *testing.T) {
	raw := blob.NewEncoder("TEST", 3).Seal()
	if _, err := blob.NewDecoder(raw, "ELSE", 3); !errors.Is(err, blob.ErrDamaged) {
		t.Errorf("another kind: %v", err)
	}
	if _, err := blob.NewDecoder(raw, "TEST", 4); err == nil {
		t.Error("another version is read")
	}
	if _, err := blob.NewDecoder(nil, "TEST", 3); !errors.Is(err, blob.ErrDamaged) {
		t.Errorf("nothing: %v", err)
	}
}
