package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

// TestThePageOfARealClusterIsOpenedFromSlackAndFollowsTheFault takes the whole way: a fault on a real API server, its card
// in Slack with the link to its page, a link for one person alone, and the page in a browser until it is over.
func TestThePageOfARealClusterIsOpenedFromSlackAndFollowsTheFault(t *testing.T) {
	b := browser(t)
	addr := freeAddress(t)
	base := "http://localhost:" + addr[strings.LastIndexByte(addr, ':')+1:]
	w := newWorkspace(t, "--listen", addr, "--web-url", base)
	w.start()
	w.breakImage("cart")
	card := w.expect("cart", "Likely cause", base+"/incident/INC-")
	address := regexp.MustCompile(regexp.QuoteMeta(base) + `/incident/INC-\d+`).FindString(card.Text())

	if err := w.Slash(mia, ops, "/atl", "web"); err != nil {
		t.Fatal(err)
	}
	answer := w.wait("the link", func() []slackfake.Message { return w.Messages(ops) }, []string{base + "/enter#"})
	if answer.Only != mia {
		t.Errorf("the link is for %q", answer.Only)
	}
	link := regexp.MustCompile(regexp.QuoteMeta(base) + `/enter#[A-Za-z0-9_-]{43}`).FindString(answer.Text())

	// Whoever has no session is shown the door, and the address on the card works once there is one.
	do(t, b, chromedp.Navigate(address))
	until(t, b, `document.querySelector(".door") !== null`)
	do(t, b, chromedp.Navigate(link))
	until(t, b, `location.pathname === "/" && document.querySelector("#state.on") !== null`)
	do(t, b, chromedp.Navigate(address))
	until(t, b, `document.querySelector("h1").textContent.includes("cart") && document.querySelector(".vertex.root-cause") !== null`)
	text := inPage[string](t, b, `document.getElementById("main").innerText`)
	for _, want := range []string{"deployment/cart", "Timeline", "Open the thread (slack)", "kubectl -n shop describe deployment/cart"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if href := inPage[string](t, b, `document.querySelector('a.button[href*="/archives/"]')?.href ?? ""`); !strings.HasSuffix(href, "/archives/"+ops+"/p"+strings.ReplaceAll(card.TS, ".", "")) {
		t.Errorf("the thread is at %q, the card is %s", href, card.TS)
	}
	inPage[bool](t, b, `window.untouched = true`)
	if err := w.lab.Heal(t.Context(), lab.ShopNamespace, "cart"); err != nil {
		t.Fatal(err)
	}
	until(t, b, `document.querySelector(".card.head.resolved, .card.head.cleared, .card.head.recovering") !== null && window.untouched`)
}
