package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// screenshots is the folder that TestScreenshots writes to: make screenshots.
var screenshots = flag.String("screenshots", "", "write the page's screenshots to this folder")

// demoPage is a demo that serves the page, with the terminal in which a person types.
type demoPage struct {
	t     *testing.T
	out   *output
	stdin *io.PipeWriter
}

func newDemoPage(t *testing.T, args ...string) *demoPage {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	in, stdin := io.Pipe()
	d := &demoPage{t: t, out: &output{}, stdin: stdin}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"demo", "--listen", "127.0.0.1:0", "--log-level", "error"}, args...), func(string) string { return "" }, in, d.out, d.out)
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("demo ended with code %d: %s", code, tail(d.out.String(), 2000))
		}
	})
	return d
}

var linkForm = regexp.MustCompile(`http://localhost:\d+/enter#[A-Za-z0-9_-]{43}`)

// link asks in the chat for a link to the page.
func (d *demoPage) link(words string) string {
	d.t.Helper()
	before := len(linkForm.FindAllString(d.out.String(), -1))
	if _, err := fmt.Fprintln(d.stdin, words); err != nil {
		d.t.Fatal(err)
	}
	var found string
	d.wait("a link to the page", func(s string) bool {
		// A terminal may break a long line: the link has no spaces of its own.
		all := linkForm.FindAllString(strings.ReplaceAll(s, "\n", ""), -1)
		if len(all) <= before {
			all = linkForm.FindAllString(s, -1)
		}
		if len(all) <= before {
			return false
		}
		found = all[len(all)-1]
		return true
	})
	return found
}

func (d *demoPage) wait(what string, seen func(string) bool) {
	d.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !seen(d.out.String()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("no %s:\n%s", what, tail(d.out.String(), 3000))
		}
	}
}

// browser is one profile of Chromium: it shares no cookie with another.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser is not for -short")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium here: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1440, 900))
	if os.Getuid() == 0 { // its sandbox refuses root
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// do runs browser actions and fails the test when one does.
func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// inPage gives what an expression is in the page; a promise is waited for.
func inPage[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// until waits for an expression to be true in the page, which may load another one meanwhile.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		v, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && v {
			return
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
			t.Fatalf("not true: %s (%v)\n%s", expression, err, tail(text, 2000))
		}
	}
}

func TestAPersonOpensTheLinkOfTheChatAndFollowsTheIncidentLive(t *testing.T) {
	one, two := browser(t), browser(t)
	d := newDemoPage(t, "--speed", "60")
	link := d.link("web")
	base, code, _ := strings.Cut(link, "/enter#")

	var mu sync.Mutex
	var asked []string // everything that the browser was sent to
	if err := chromedp.Listen(one, func(e any) {
		if e, ok := e.(*network.EventRequestWillBeSent); ok {
			mu.Lock()
			asked = append(asked, e.Request.URL)
			mu.Unlock()
		}
	}); err != nil {
		t.Fatal(err)
	}
	do(t, one, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		return err
	}), chromedp.Navigate(link))
	until(t, one, `location.pathname === "/" && document.querySelector("#state.on") !== null`)
	// The fault comes by itself, and so must its card: nobody reloads.
	inPage[bool](t, one, `window.untouched = true`)
	until(t, one, `document.querySelector(".card.incident h3 a") !== null && window.untouched`)
	do(t, one, chromedp.Click(chromedp.CSS(".card.incident h3 a")))
	until(t, one, `location.pathname.startsWith("/incident/INC-") && document.querySelectorAll(".timeline li").length > 2 && document.querySelectorAll(".drawing .vertex.root-cause").length === 1`)
	text := inPage[string](t, one, `document.getElementById("main").innerText`)
	for _, want := range []string{"checkout", "Likely cause", "R_final", "Timeline"} {
		if !strings.Contains(text, want) {
			t.Errorf("the incident's page does not say %q:\n%s", want, text)
		}
	}
	mu.Lock()
	if len(asked) < 5 {
		t.Errorf("only %d requests were seen: the test no longer sees the browser", len(asked))
	}
	for _, u := range asked {
		if !strings.HasPrefix(u, base+"/") {
			t.Errorf("the page asked %s", u)
		}
		if strings.Contains(u, code) {
			t.Errorf("the link's code was sent in an address: %s", u)
		}
	}
	mu.Unlock()

	// The same link opens nothing a second time, for anybody.
	do(t, two, chromedp.Navigate(link))
	until(t, two, `document.querySelector("h1")?.textContent.includes("used already")`)
	resp, err := http.Get(base + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("somebody without a session gets %s", resp.Status)
	}

	// A link that names an incident leads to its page; whoever leaves is out.
	do(t, two, chromedp.Navigate(d.link("web INC-1")))
	until(t, two, `location.pathname === "/incident/INC-1"`)
	do(t, two, chromedp.Click(chromedp.CSS(".top form button")))
	until(t, two, `location.pathname === "/enter"`)
	do(t, two, chromedp.Navigate(base+"/incident/INC-1"))
	until(t, two, `document.querySelector(".door") !== null`)
}

// shots are the pages that axe looks at and that screenshots show.
var shots = []struct{ name, path string }{
	{"overview", "/"}, {"incident", "/incident/INC-1"}, {"incidents", "/incidents"}, {"topology", "/topology"}, {"nodes", "/nodes"}, {"workloads", "/workloads"},
	{"pods", "/pods?unhealthy=1"}, {"alerts", "/alerts"}, {"changes", "/changes"}, {"slos", "/slos"}, {"audit", "/audit"}, {"entity", "/entity/demo/shop/service/checkout"},
	{"missing", "/nothing"},
}

// look emulates a screen of a width, in light or dark.
func look(t *testing.T, b context.Context, width int64, scheme string) {
	t.Helper()
	height := int64(900)
	if width < 640 {
		height = 844
	}
	do(t, b, chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

const shown = `document.readyState === "complete" && document.querySelector("#main h1") !== null && document.querySelector("#state.lost") === null`

// inDemo is a browser that has entered a demo in which the incident is open.
func inDemo(t *testing.T) (b context.Context, base string) {
	t.Helper()
	b = browser(t)
	d := newDemoPage(t, "--speed", "60")
	link := d.link("web")
	d.wait("incident", func(s string) bool { return strings.Contains(s, "Likely cause: deployment") })
	do(t, b, chromedp.Navigate(link))
	until(t, b, `document.querySelector(".menu") !== null`)
	return b, link[:strings.Index(link, "/enter")]
}

func TestEveryPageIsReadableByEverybody(t *testing.T) {
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	b, base := inDemo(t)
	for _, width := range []int64{390, 1440} {
		for _, scheme := range []string{"light", "dark"} {
			look(t, b, width, scheme)
			for _, s := range shots {
				name := fmt.Sprintf("%s-%d-%s", s.name, width, scheme)
				do(t, b, chromedp.Navigate(base+s.path))
				until(t, b, shown)
				if across := inPage[int64](t, b, `document.documentElement.scrollWidth`); across > width {
					t.Errorf("%s: the page is %d px wide, so that it scrolls sideways", name, across)
				}
				// Over the browser's protocol: the page's own policy runs nobody else's script.
				inPage[int](t, b, string(axe)+`;0`)
				raw := inPage[string](t, b, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + " " + (n.any[0]?.message ?? ""))}))))`)
				var found []struct {
					ID, Impact, Help string
					Nodes            []string
				}
				if err := json.Unmarshal([]byte(raw), &found); err != nil {
					t.Fatal(err)
				}
				for _, v := range found {
					t.Errorf("%s: axe: %s (%s): %s\n%s", name, v.ID, v.Impact, v.Help, strings.Join(v.Nodes, "\n"))
				}
			}
		}
	}
}

func TestTheGraphAndTheListsWorkByKeyboard(t *testing.T) {
	b, base := inDemo(t)
	look(t, b, 1440, "light")
	do(t, b, chromedp.Navigate(base+"/topology"))
	until(t, b, shown)
	// The first stop leads past the menu; every vertex is a stop, and Enter opens it.
	do(t, b, chromedp.KeyEvent(kb.Tab))
	if got := inPage[string](t, b, `document.activeElement.className`); got != "skip" {
		t.Errorf("the first stop is %q", got)
	}
	inPage[bool](t, b, `document.querySelector('.vertex[href$="/service/checkout"]').focus() ?? true`)
	if !inPage[bool](t, b, `document.querySelector("#graph").classList.contains("dim") && document.querySelectorAll(".edge.lit").length > 0`) {
		t.Error("what the focused vertex is joined to does not stand out")
	}
	do(t, b, chromedp.KeyEvent(kb.Enter))
	until(t, b, `location.pathname === "/entity/demo/shop/service/checkout"`)
	do(t, b, chromedp.Navigate(base+"/topology"))
	until(t, b, shown)
	before := inPage[float64](t, b, `document.querySelector("#graph").getBoundingClientRect().width`)
	inPage[bool](t, b, `document.querySelector('[data-zoom="1.25"]').focus() ?? true`)
	do(t, b, chromedp.KeyEvent(kb.Enter))
	if after := inPage[float64](t, b, `document.querySelector("#graph").getBoundingClientRect().width`); after <= before {
		t.Errorf("the graph was %g wide and is %g", before, after)
	}
}

// TestScreenshots makes the page's pictures for the documents.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("pictures are made by make screenshots")
	}
	b, base := inDemo(t)
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{}
	for _, s := range shots {
		paths[s.name] = s.path
	}
	until(t, b, `document.querySelector(".card.incident") !== null`)
	for _, s := range []struct {
		name   string
		width  int64
		scheme string
	}{
		{"overview", 1440, "light"}, {"incident", 1440, "light"}, {"topology", 1440, "dark"}, {"alerts", 1440, "light"}, {"nodes", 1440, "light"}, {"entity", 1440, "light"},
		{"overview", 390, "dark"}, {"incident", 390, "dark"}, {"topology", 390, "light"}, {"alerts", 390, "light"},
	} {
		look(t, b, s.width, s.scheme)
		do(t, b, chromedp.Navigate(base+paths[s.name]))
		until(t, b, shown+` && document.querySelector("#state.on") !== null`)
		png, err := chromedp.Run(b, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, fmt.Sprintf("page-%s-%d.png", s.name, s.width)), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
