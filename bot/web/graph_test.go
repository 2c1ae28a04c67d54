package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/bot/web/visit"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/history"
	"github.com/bukahou/atlhyper/tools"
)

func TestADrawingOfAnIncidentHasNoTwoBoxesInOnePlaceWhateverDependsOnWhat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "vertices")
		d := &drawing{}
		for i := range n {
			d.Vertices = append(d.Vertices, vertex{ref: entity.Ref{Cluster: "c", Kind: entity.Service, Namespace: "n", Name: fmt.Sprint("s", i)}, Name: fmt.Sprint("s", i), Risk: rapid.Float64Range(0, 1).Draw(t, "risk")})
		}
		for range rapid.IntRange(0, 3*n).Draw(t, "edges") { // cycles and self-loops too
			a, b := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")
			d.Edges = append(d.Edges, edge{from: d.Vertices[a].ref, to: d.Vertices[b].ref})
		}
		cause := entity.Ref{}
		if rapid.Bool().Draw(t, "cause is known") {
			cause = d.Vertices[rapid.IntRange(0, n-1).Draw(t, "cause")].ref
		}
		d.fall(cause)
		top := d.Height
		for _, v := range d.Vertices {
			top = min(top, v.Y)
		}
		for i, v := range d.Vertices {
			if v.X < 0 || v.Y < 0 || v.X+v.W > d.Width || v.Y+v.H > d.Height {
				t.Fatalf("%s stands outside: %+v of %d×%d", v.Name, v, d.Width, d.Height)
			}
			if v.ref == cause && v.Y != top {
				t.Fatalf("the cause stands at %d, the top is %d", v.Y, top)
			}
			for _, o := range d.Vertices[:i] {
				if v.X < o.X+o.W && o.X < v.X+v.W && v.Y < o.Y+o.H && o.Y < v.Y+v.H {
					t.Fatalf("%s and %s cover each other", v.Name, o.Name)
				}
			}
		}
		for _, e := range d.Edges {
			if e.Path == "" {
				t.Fatal("an edge is not drawn")
			}
		}
	})
}

func TestWhateverIsMeasuredIsDrawnWithinItsFrame(t *testing.T) {
	from := time.Date(2026, 3, 3, 2, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		c := tools.Chart{Unit: rapid.SampledFrom([]string{"ratio", "s", "1/s", "By", "Cel", ""}).Draw(t, "unit"), From: from, To: from.Add(time.Hour), Step: time.Minute}
		value := rapid.Float64Range(0, 1e12)
		for m := range 60 {
			if rapid.Bool().Draw(t, "measured") {
				c.Points = append(c.Points, history.Point{At: from.Add(time.Duration(m) * time.Minute), Value: value.Draw(t, "value")})
			}
		}
		if rapid.Bool().Draw(t, "band is known") {
			c.Low, c.High = 0.1, value.Draw(t, "high")+0.2
		}
		c.Begun = from.Add(time.Duration(rapid.IntRange(-30, 90).Draw(t, "begun")) * time.Minute)
		p, ok := plotOf(c)
		if ok != (len(c.Points) > 0) {
			t.Fatalf("drawn is %v with %d points", ok, len(c.Points))
		}
		if !ok {
			return
		}
		n := len(p.Dots)
		for _, l := range p.Lines {
			for _, at := range strings.Fields(l) {
				n++
				var x, y float64
				if _, err := fmt.Sscanf(at, "%f,%f", &x, &y); err != nil || x < plotLeft || x > plotW-plotRight || y < plotTop-0.1 || y > float64(p.Base)+0.1 {
					t.Fatalf("%s lies outside (%v)", at, err)
				}
			}
		}
		if n != len(c.Points) {
			t.Fatalf("%d of %d points are drawn", n, len(c.Points))
		}
		if (p.Begun != nil) != (!c.Begun.Before(c.From) && !c.Begun.After(c.To)) {
			t.Fatalf("the incident's start is marked: %v", p.Begun)
		}
	})
}

func TestAPlotsFootSpeaksTheVisitorsLanguage(t *testing.T) {
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	to := time.Date(2026, 3, 3, 2, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		lang string
		span time.Duration
		want []string
	}{
		{"en", 7 * 24 * time.Hour, []string{">24 Feb<", ">3 Mar UTC<"}},
		{"zh", 7 * 24 * time.Hour, []string{">2月24日<", ">3月3日 UTC<"}},
		{"ja", 7 * 24 * time.Hour, []string{">2月24日<", ">3月3日 UTC<"}},
		{"ja", time.Hour, []string{">01:00<", ">01:30<", ">02:00 UTC<"}},
	} {
		p, ok := plotOf(tools.Chart{From: to.Add(-c.span), To: to, Step: time.Minute, Points: []history.Point{{At: to, Value: 1}}})
		var out strings.Builder
		if err := all[c.lang]["entity"].ExecuteTemplate(&out, "plot", p); err != nil || !ok {
			t.Fatal(err, ok)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %s in\n%s", c.lang, want, out.String())
			}
		}
	}
}

func TestAGapIsNoLine(t *testing.T) {
	from := time.Date(2026, 3, 3, 2, 0, 0, 0, time.UTC)
	c := tools.Chart{Unit: "ratio", From: from, To: from.Add(time.Hour), Step: time.Minute, Limit: 0.01}
	for _, m := range []int{0, 1, 2, 20, 40, 41} {
		c.Points = append(c.Points, history.Point{At: from.Add(time.Duration(m) * time.Minute), Value: 0.2})
	}
	p, ok := plotOf(c)
	if !ok || len(p.Lines) != 2 || len(p.Dots) != 1 || p.Limit == nil {
		t.Errorf("%+v", p)
	}
	if p.Ticks[2].Text != "20 %" || !p.From.Equal(c.From) || !p.To.Equal(c.To) || p.Days {
		t.Errorf("axes: %+v, %s to %s", p.Ticks, p.From, p.To)
	}
}

func TestANameIsShortenedInItsMiddle(t *testing.T) {
	for name, want := range map[string]string{"cart": "cart", "checkout-7f8d697bdc-rmr6s": "checkout-7…dc-rmr6s", "日本語の長い名前のサービスです日本語の長い": "日本語の長い名前のサ…サービスです日本語の長い"} {
		got := middle(name, 20)
		if len([]rune(got)) > 20 {
			t.Errorf("%q becomes %q of %d", name, got, len([]rune(got)))
		}
		if name == "cart" && got != want {
			t.Errorf("%q becomes %q", name, got)
		}
		if got != name && (!strings.HasPrefix(name, strings.Split(got, "…")[0]) || !strings.HasSuffix(name, strings.Split(got, "…")[1])) {
			t.Errorf("%q becomes %q", name, got)
		}
	}
}

func FuzzTheAddressOfAnEntityIsReadBack(f *testing.F) {
	f.Add("prod-eu", "shop", "checkout", true)
	f.Add("prod", "", "worker-1", false)
	f.Add("a b", "x", "../../%2e<script>", true)
	f.Fuzz(func(t *testing.T, cluster, namespace, name string, namespaced bool) {
		r := entity.Ref{Cluster: cluster, Kind: entity.Deployment, Namespace: namespace, Name: name}
		if !namespaced {
			r.Kind, r.Namespace = entity.Node, ""
		}
		path := href(r)
		if path == "" {
			return
		}
		u, err := url.Parse(path)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(path, "/entity/") {
			t.Fatalf("%+v has the address %q", r, path)
		}
		if strings.Contains(cluster+namespace+name, "/") || namespaced && namespace == "" {
			return // no such name exists in Kubernetes
		}
		if back, ok := parseRef(strings.TrimPrefix(u.Path, "/entity/")); !ok || back != r {
			t.Errorf("%+v is read back as %+v, %v", r, back, ok)
		}
	})
}

func FuzzOnlyPathsOfThisPageAreFollowed(f *testing.F) {
	for _, s := range []string{"/", "/incident/INC-1?x=1", "//evil.example", `/\evil.example`, "https://evil.example", "/\t/evil.example", "javascript:alert(1)"} {
		f.Add(s)
	}
	base := &url.URL{Scheme: "https", Host: "atlhyper.example", Path: "/enter"}
	f.Fuzz(func(t *testing.T, s string) {
		to, err := base.Parse(visit.Local(s))
		if err == nil && (to.Host != base.Host || to.Scheme != base.Scheme) {
			t.Errorf("%q leads to %s", s, to)
		}
	})
}
