package chart

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// kept is how many pictures are remembered: an incident that everybody asks about has a few, of some 15 KB each.
const kept = 64

// gallery remembers what was drawn lately, so that a crowd that asks the same has it drawn once.
type gallery struct {
	mu       sync.Mutex // guards what follows
	pictures map[[sha256.Size]byte]func() ([]byte, error)
	order    [][sha256.Size]byte // the oldest first
}

var drawn = gallery{pictures: map[[sha256.Size]byte]func() ([]byte, error){}}

// Draw gives the PNG of a chart in a language. It fails for one without points. Several may be given the same bytes, which
// nobody writes to.
func Draw(c tools.Chart, lang string) ([]byte, error) {
	if len(c.Points) == 0 || !c.To.After(c.From) {
		return nil, errors.New("draw chart: it has no points")
	}
	// What is asked for within one pixel's time is one picture.
	if pixel := c.To.Sub(c.From) / (width * scale); pixel > 0 {
		later := c.To.Truncate(pixel).Add(pixel).Sub(c.To)
		c.From, c.To = c.From.Add(later), c.To.Add(later)
	}
	lang = phrase.Match(lang)
	return drawn.get(keyOf(c, lang), func() ([]byte, error) { return paint(c, lang) })
}

// get gives a picture, which the first who asks draws while the others wait.
func (g *gallery) get(key [sha256.Size]byte, draw func() ([]byte, error)) ([]byte, error) {
	g.mu.Lock()
	picture, ok := g.pictures[key]
	if !ok {
		picture = sync.OnceValues(draw)
		g.pictures[key], g.order = picture, append(g.order, key)
		if len(g.order) > kept {
			delete(g.pictures, g.order[0])
			g.order = g.order[1:]
		}
	}
	g.mu.Unlock()
	return picture()
}

// keyOf is what a picture is made of: all of a chart but the text beside it.
func keyOf(c tools.Chart, lang string) (key [sha256.Size]byte) {
	h := sha256.New()
	at := func(t time.Time) int64 {
		if t.IsZero() {
			return -1
		}
		return t.UnixMilli()
	}
	fmt.Fprintf(h, "%s %q %q %d %d %d %v %v %v %d %d", lang, c.Title, c.Unit, c.Step, at(c.From), at(c.To), c.Low, c.High, c.Limit, at(c.Begun), at(c.Ended))
	for _, p := range c.Points {
		fmt.Fprintf(h, " %d %v", at(p.At), p.Value)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
