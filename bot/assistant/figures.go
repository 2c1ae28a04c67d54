package assistant

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// figure matches a number that stands by itself, with the unit behind it. Numbers inside names (worker-3, v2.3.1, p95)
// are no figures. Times of the day and dates are matched whole.
var figure = regexp.MustCompile(`(\d{4}-\d\d-\d\d|\d{1,2}:\d\d(?::\d\d)?|\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?:[ \x{a0}\x{202f}]?(%|×|(?:ms|µs|us|ns|s|sec|seconds?|min|minutes?|m|h|hours?|d|days?|[kKMGT]i?B?|B|bytes|rps|req/s|cores?)\b))?`)

// number matches every number in a source.
var number = regexp.MustCompile(`\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?`)

// source is text that figures may come from, with the numbers in it.
type source struct {
	text  string
	known []float64
}

func sourceOf(text string) source {
	s := source{text: narrow(text)}
	for _, n := range number.FindAllString(s.text, -1) {
		if v, ok := parse(n); ok {
			s.known = append(s.known, v)
		}
	}
	return s
}

// check says of each figure of text which of the calls' outputs gave it, and lists those that occur neither there nor in
// the person's words nor in the engine's facts. A figure may be rounded, and may be written in another unit of the same
// kind: 0.314 stands for 31 %, 1240 for 1.2 k, 41000 ms for 41 s. A sum that the model made by itself is unverified, as it
// should be.
func check(text string, req Request, told []json.RawMessage) (unverified []string, cited []Citation) {
	said := []string{req.Text, req.Context}
	for _, t := range req.History {
		if t.Person {
			said = append(said, t.Text)
		}
	}
	words := sourceOf(strings.Join(said, "\n"))
	outputs := make([]source, len(told))
	for i, raw := range told {
		outputs[i] = sourceOf(string(raw))
	}
	text = narrow(text)
	for _, at := range figure.FindAllStringSubmatchIndex(text, -1) {
		value, unit := text[at[2]:at[3]], ""
		if at[4] >= 0 {
			unit = text[at[4]:at[5]]
		}
		if partOfName(text, at[2], at[3], unit != "") || ordinal(text, at[2], at[3]) {
			continue
		}
		if unit == "" && len(strings.Trim(value, "0123456789")) == 0 && len(value) < 2 {
			continue // "2 services" is a word as much as a figure
		}
		whole := strings.TrimSpace(text[at[0]:at[1]])
		from := slices.IndexFunc(outputs, func(s source) bool { return occurs(value, unit, s) })
		switch {
		case from >= 0:
			if c := (Citation{whole, from}); !slices.Contains(cited, c) {
				cited = append(cited, c)
			}
		case !occurs(value, unit, words) && !slices.Contains(unverified, whole):
			unverified = append(unverified, whole)
		}
	}
	return unverified, cited
}

// partOfName reports whether the number at text[from:to] belongs to a name, a version or an address.
func partOfName(text string, from, to int, unit bool) bool {
	if from > 0 {
		switch b := text[from-1]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '_', b == '#', b == '@':
			return true
		case b == '-', b == '.', b == '/', b == ':':
			// "worker-3" and "10.0.0.1" are names; "-3 °C" and "4,020/5" are not.
			if from > 1 && alnum(text[from-2]) && (b != '/' || !digit(text[from-2])) {
				return true
			}
		}
	}
	if to < len(text) && !unit {
		switch b := text[to]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '_':
			return true
		case b == '-', b == '.', b == ':':
			return to+1 < len(text) && alnum(text[to+1]) && (b != '-' || !digit(text[to+1]))
		}
	}
	return false
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

func alnum(b byte) bool { return digit(b) || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

// ordinal reports whether the number begins an item of a numbered list.
func ordinal(text string, from, to int) bool {
	line := strings.LastIndexByte(text[:from], '\n') + 1
	return strings.TrimSpace(text[line:from]) == "" && to+1 < len(text) && (text[to] == '.' || text[to] == ')') && text[to+1] == ' '
}

// scales are the factors by which a known number may differ from one written with a unit.
func scales(unit string) []float64 {
	switch unit {
	case "":
		return []float64{1}
	case "%":
		return []float64{1, 100}
	case "×":
		return []float64{1}
	case "k", "K", "M", "G", "T":
		return []float64{1, 1e-3, 1e-6, 1e-9, 1e-12}
	case "rps", "req/s":
		return []float64{1, 1.0 / 60}
	case "core", "cores":
		return []float64{1, 1e-3}
	}
	if strings.HasSuffix(unit, "B") || strings.HasSuffix(unit, "i") || unit == "bytes" {
		out := []float64{1}
		for _, base := range []float64{1000, 1024} {
			for p := 1; p <= 4; p++ {
				out = append(out, math.Pow(base, float64(p)), math.Pow(base, -float64(p)))
			}
		}
		return out
	}
	return []float64{1, 1e3, 1e-3, 1e-6, 1e6, 60, 1.0 / 60, 3600, 1.0 / 3600, 24, 1.0 / 24, 86400, 1.0 / 86400}
}

// occurs reports whether a figure is known: as it stands, or as the rounding of a known number.
func occurs(value, unit string, from source) bool {
	v, ok := parse(value)
	if !ok {
		return strings.Contains(from.text, value) // a date or a time of the day
	}
	decimals := 0
	if _, frac, has := strings.Cut(value, "."); has {
		decimals = len(frac)
	}
	near := 0.5*math.Pow(10, -float64(decimals)) + 1e-9
	for _, scale := range scales(unit) {
		for _, k := range from.known {
			if math.Abs(k*scale-v) <= near {
				return true
			}
		}
	}
	return false
}

func parse(s string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	return v, err == nil && !strings.Contains(s, "-")
}

// narrow writes full-width digits and signs, as Japanese and Chinese text may have them, in their ASCII form.
func narrow(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		case r == '％':
			return '%'
		case r == '．':
			return '.'
		}
		return r
	}, s)
}
