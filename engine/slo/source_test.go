package slo_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/slo"
)

func seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(append([]byte{}, body...), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func TestATargetIsWrittenInPercent(t *testing.T) {
	for text, want := range map[string]float64{"99.9": 0.999, "99.95%": 0.9995, " 99 % ": 0.99, "90": 0.9} {
		if got, err := slo.ParseTarget(text); err != nil || got != want {
			t.Errorf("%q is %g, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"0.999": "such as 99.9", "100": "no budget", "50": "no budget", "high": "no percentage", "": "no percentage", "NaN": "no percentage", "1": "such as 100"} {
		if got, err := slo.ParseTarget(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %g, %v", text, got, err)
		}
	}
	for text, want := range map[string]time.Duration{"": 30 * 24 * time.Hour, "7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "36h": 36 * time.Hour} {
		if got, err := slo.ParseWindow(text); err != nil || got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"d", "-1d", "30", "0d", "month"} {
		if got, err := slo.ParseWindow(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func TestFiguresOfObjectivesKeepTheirNines(t *testing.T) {
	for x, want := range map[float64]string{0.999: "99.9 %", 0.9995: "99.95 %", 0.99996: "99.996 %", 0.999999: "99.999 %", 0.99: "99 %", 0.021: "2.1 %", 0.001: "0.1 %", 0: "0 %", 0.0005: "0.05 %", 12: "1200 %", 1: "100 %", 1.5: "150 %", 0.31: "31 %"} {
		if got := slo.Percent(x); got != want {
			t.Errorf("%g is %q, want %q", x, got, want)
		}
	}
}

const file = `
objectives:
- service: shop/checkout
  layer: mesh
  availability: 99.9
  latency: {threshold: 300ms, target: "99"}
- ingress: shop/shop
  cluster: prod
  route: shop.example.com/
  availability: 99.5
  window: 7d
`

func TestObjectivesAreReadFromAFile(t *testing.T) {
	os, err := slo.ParseFile([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range os {
		got = append(got, o.Entity.Cluster+" "+o.Layer+" "+o.Name())
	}
	want := []string{" mesh checkout availability 99.9 % over 30 d", " mesh checkout latency 99 % within 300 ms over 30 d", "prod  shop shop.example.com/ availability 99.5 % over 7 d"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("read %q", got)
	}
	for name, c := range map[string]struct{ raw, want string }{
		"a fraction":         {"objectives: [{service: a/b, availability: 0.999}]", "such as 99.9"},
		"no namespace":       {"objectives: [{service: b, availability: 99}]", "NAMESPACE/NAME"},
		"nothing promised":   {"objectives: [{service: a/b}]", "neither"},
		"twice":              {"objectives: [{service: a/b, availability: 99}, {service: a/b, availability: 99.9}]", "stands there twice"},
		"a misspelt key":     {"objectives: [{service: a/b, availabilty: 99}]", "availabilty"},
		"both":               {"objectives: [{service: a/b, ingress: a/c, availability: 99}]", "not both"},
		"a service's route":  {"objectives: [{service: a/b, route: /x, availability: 99}]", "route of an ingress"},
		"an unknown layer":   {"objectives: [{service: a/b, layer: moon, availability: 99}]", "no layer"},
		"a year":             {"objectives: [{service: a/b, window: 365d, availability: 99}]", "cannot be kept"},
		"no threshold":       {"objectives: [{service: a/b, latency: {target: 99}}]", "no threshold"},
		"not YAML":           {"{", "read objectives"},
		"a list of numbers?": {"objectives: [1]", "read objectives"},
	} {
		if _, err := slo.ParseFile([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(file))
	f.Fuzz(func(t *testing.T, raw []byte) {
		os, err := slo.ParseFile(raw)
		if err != nil {
			return
		}
		for _, o := range os {
			if !(o.Target > 0 && o.Target < 1) || o.Window <= 0 || o.Entity.Name == "" {
				t.Errorf("read %+v", o)
			}
		}
	})
}

func TestObjectivesAreReadFromAnnotations(t *testing.T) {
	os, refused := slo.FromAnnotations(checkout, map[string]string{
		"atlhyper.io/slo-availability": "99.9", "atlhyper.io/slo-latency": "300ms", "atlhyper.io/slo-window": "7d", "other": "x",
	})
	if len(refused) != 0 || len(os) != 2 || os[0].Name() != "checkout availability 99.9 % over 7 d" || os[1].Name() != "checkout latency 99 % within 300 ms over 7 d" {
		t.Errorf("%v, refused %q", os, refused)
	}
	os, refused = slo.FromAnnotations(checkout, map[string]string{"atlhyper.io/slo-availability": "0.999", "atlhyper.io/slo-latency": "300ms", "atlhyper.io/slo-latncy": "1s"})
	if len(os) != 1 || len(refused) != 2 || !strings.Contains(refused[0], "slo-latncy is not taken") || !strings.Contains(refused[1], "such as 99.9") {
		t.Errorf("%v, refused %q", os, refused)
	}
	if os, refused := slo.FromAnnotations(checkout, map[string]string{"x": "y"}); os != nil || refused != nil {
		t.Errorf("%v, %q", os, refused)
	}
}

func TestTheFileCountsBeforeTheChatAndTheChatBeforeAnnotations(t *testing.T) {
	os, err := slo.ParseFile([]byte("objectives: [{service: shop/checkout, layer: mesh, availability: 99.9}]"))
	if err != nil {
		t.Fatal(err)
	}
	tr, m := newTracker(t, os...)
	if _, err := tr.Set(t.Context(), available(0.99)); !errors.Is(err, slo.ErrByFile) {
		t.Errorf("the file is overruled: %v", err)
	}
	if err := tr.Remove(t.Context(), available(0.99).Key()); !errors.Is(err, slo.ErrByFile) {
		t.Errorf("the file is overruled: %v", err)
	}
	cart := checkout
	cart.Name = "cart"
	declared, _ := slo.FromAnnotations(cart, map[string]string{"atlhyper.io/slo-availability": "99"})
	tr.Declare("prod", declared, nil)
	target := func() (out []string) {
		for _, o := range tr.Objectives("prod") {
			out = append(out, o.Entity.Name+" "+slo.Percent(o.Target)+" "+string(o.Source))
		}
		return out
	}
	want := func(w ...string) {
		t.Helper()
		if got := target(); strings.Join(got, "; ") != strings.Join(w, "; ") {
			t.Errorf("objectives are %q, want %q", got, w)
		}
	}
	want("cart 99 % annotation", "checkout 99.9 % file")
	o := available(0.995)
	o.Entity = cart
	o = set(t, tr, o)
	want("cart 99.5 % chat", "checkout 99.9 % file")
	if len(m.objectives) != 1 {
		t.Errorf("stored: %v", m.objectives)
	}
	if err := tr.Remove(t.Context(), o.Key()); err != nil {
		t.Fatal(err)
	}
	want("cart 99 % annotation", "checkout 99.9 % file")
	if err := tr.Remove(t.Context(), o.Key()); !errors.Is(err, slo.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if os := tr.Objectives("staging"); len(os) != 1 || os[0].Entity.Cluster != "staging" {
		t.Errorf("an entry of the file without a cluster counts in each: %v", os)
	}
}

func TestAServiceIsMeasuredByTheMeshAndElseAtTheIngress(t *testing.T) {
	tr, _ := newTracker(t)
	o := available(0.99)
	o.Layer = ""
	if got := set(t, tr, o).Layer; got != slo.Mesh {
		t.Errorf("unmeasured: %s", got)
	}
	c := count(1, 0)
	c.Layer = slo.Ingress
	feed(tr, noon, noon.Add(time.Minute), c)
	if got := set(t, tr, o).Layer; got != slo.Ingress {
		t.Errorf("measured at the ingress alone: %s", got)
	}
	feed(tr, noon, noon.Add(time.Minute), count(1, 0))
	if got := set(t, tr, o).Layer; got != slo.Mesh {
		t.Errorf("measured by both: %s", got)
	}
	o.Entity = entity.Ref{Cluster: "prod", Kind: entity.Ingress, Namespace: "shop", Name: "shop"}
	if got := set(t, tr, o).Layer; got != slo.Ingress {
		t.Errorf("an ingress: %s", got)
	}
}
