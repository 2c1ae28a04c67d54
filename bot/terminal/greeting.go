package terminal

import (
	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Watching greets whoever watches a cluster of their own.
func Watching(cluster, lang string) string {
	return phrase.For(lang).Sprintf("AtlHyper watches %s. Ask in plain words (what is wrong?), or type help. Leave with exit.", cluster) + "\n"
}

// Demo greets whoever looks at the simulated shop, whose clock runs so many times as fast; page says whether it has one.
func Demo(speed float64, page bool, lang string) string {
	p := phrase.For(lang)
	out := p.Sprintf("AtlHyper demo: a simulated shop of about 12 services on 4 nodes; its clock runs %s times as fast.", figure.Of(speed)) + "\n" +
		p.Sprintf("In a moment something will break. Type what the cards suggest: the number of a button, or a question such as") + "\n  " +
		p.Sprintf("what is wrong?     why?     what changed?     help") + "\n"
	if page {
		out += "  web     " + p.Sprintf("opens the page in a browser") + "\n"
	}
	return out
}
