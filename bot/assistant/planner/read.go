package planner

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

// sentence is a text made ready for recognition.
type sentence struct {
	// latin holds the Latin words in lower case, each between spaces, with @ for each name and # for each number.
	latin string
	// han holds the whole text without spaces, with the same signs, for languages that set none.
	han   string
	asked bool // it bears a question mark
}

// contractions are taken apart, so that a phrase need be listed once.
var contractions = map[string]string{
	"what's": "what is", "whats": "what is", "who's": "who is", "how's": "how is", "hows": "how is", "it's": "it is", "that's": "that is",
	"where's": "where is", "why's": "why is", "there's": "there is", "let's": "let us", "i'm": "i am", "i'll": "i will", "i've": "i have",
	"we're": "we are", "we'll": "we will", "isn't": "is not", "aren't": "are not", "doesn't": "does not", "don't": "do not", "dont": "do not",
	"didn't": "did not", "can't": "can not", "cannot": "can not", "won't": "will not", "shouldn't": "should not", "wasn't": "was not", "weren't": "were not",
	"haven't": "have not", "hasn't": "has not", "wouldn't": "would not", "couldn't": "could not", "pls": "please", "plz": "please", "thx": "thanks", "rn": "now", "u": "you",
	"mem": "memory", "errs": "errors", "deets": "details", "deps": "dependencies", "prev": "previous", "msgs": "messages", "wtf": "what", "tl;dr": "tldr",
}

func init() {
	for short, long := range contractions { // typed on a phone
		if bare := strings.ReplaceAll(short, "'", ""); bare != short && !slices.Contains([]string{"its", "were", "well", "ill", "lets"}, bare) {
			contractions[bare] = long
		}
	}
}

// drawn are letters that somebody drew out: "sloooow".
var drawn = regexp.MustCompile(`a{3,}|e{3,}|i{3,}|o{3,}|u{3,}|h{3,}|m{3,}|s{3,}|w{3,}|y{3,}`)

// read makes a sentence of a text. Names that exist are taken out of it: the letters of a name are never a question.
func read(text string, m tools.Mention) sentence {
	known := map[string]bool{strings.ToLower(m.Cluster): true, strings.ToLower(m.Namespace): true, strings.ToLower(m.Incident): true}
	for _, t := range append(slices.Clone(m.Others), m.Target) {
		_, name, _ := strings.Cut(t, "/")
		known[name] = true
	}
	delete(known, "")
	var latin, han strings.Builder
	latin.WriteByte(' ')
	var s sentence
	runes := []rune(strings.ToLower(text))
	for i := 0; i < len(runes); i++ {
		c := runes[i]
		switch {
		case c == '?' || c == '？':
			s.asked = true
			latin.WriteString("? ")
			han.WriteByte('?')
		case c == '=': // where a label stood
			latin.WriteString("= ")
			han.WriteByte('=')
		case inWord(c):
			j := i
			for j < len(runes) && inWord(runes[j]) {
				j++
			}
			w := word(string(runes[i:j]), known)
			latin.WriteString(w + " ")
			han.WriteString(strings.ReplaceAll(w, " ", ""))
			i = j - 1
		case unicode.IsSpace(c):
		case unicode.IsPunct(c):
			latin.WriteString(", ")
			han.WriteByte(',')
		default:
			han.WriteRune(c)
		}
	}
	s.latin, s.han = latin.String(), kana.Replace(han.String())
	return s
}

// kana are Japanese words that people write in either script.
var kana = strings.NewReplacer("なに", "何", "だれ", "誰")

func inWord(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("-./:@_'’", c)
}

func word(w string, known map[string]bool) string {
	stop := ""
	if strings.HasSuffix(w, ".") || strings.HasSuffix(w, ":") {
		stop = " ,"
	}
	w = strings.Trim(strings.ReplaceAll(w, "’", "'"), ".:_'/-")
	bare := strings.TrimSuffix(w, "'s")
	switch {
	case w == "":
		return ","
	case known[bare] || known[bare[strings.LastIndexByte(bare, '/')+1:]] || known[strings.TrimSuffix(bare, "s")]:
		return "@" + stop
	case contractions[w] != "":
		return contractions[w] + stop
	case strings.Trim(w, "0123456789") == "":
		return "#" + stop
	}
	return drawn.ReplaceAllStringFunc(w, func(run string) string { return run[:1] }) + stop
}

// has says whether one of the English phrases stands in the sentence as whole words.
func (s sentence) has(phrases ...string) bool {
	return slices.ContainsFunc(phrases, func(p string) bool { return inOrder(s.latin, p, " ") })
}

// holds says whether one of the runs of Chinese or Japanese characters stands in the sentence.
func (s sentence) holds(runs ...string) bool {
	return slices.ContainsFunc(runs, func(r string) bool { return inOrder(s.han, r, "") })
}

// inOrder says whether the pieces of a phrase, which … separates, stand in a text one behind the other, each between bounds.
// Every question is held against every phrase, so that it makes nothing new.
func inOrder(text, phrase, bound string) bool {
	for more := true; more; {
		var piece string
		piece, phrase, more = strings.Cut(phrase, "…")
		piece, phrase = strings.TrimSpace(piece), strings.TrimSpace(phrase)
		end := after(text, piece, bound)
		if end < 0 {
			return false
		}
		text = text[end:]
	}
	return true
}

// after gives where a text goes on behind the first piece between bounds, the second bound included; -1 when there is none.
func after(text, piece, bound string) int {
	for from := 0; ; {
		i := strings.Index(text[from:], piece)
		if i < 0 {
			return -1
		}
		i += from
		if end := i + len(piece); strings.HasSuffix(text[:i], bound) && strings.HasPrefix(text[end:], bound) {
			return end
		}
		from = i + 1
	}
}

// says says whether a sentence bears one of the hints of words.yaml.
func (s sentence) says(hint string) bool { return s.means(hints[hint]) }

func (s sentence) means(i intent) bool { return s.has(i.Words...) || s.holds(i.Han...) }

// all gives the names of the intents that a sentence may mean, in the order of the list.
func (s sentence) all(list []intent) []string {
	var out []string
	for _, i := range list {
		if s.means(i) {
			out = append(out, i.Name)
		}
	}
	return out
}

// polite are words that may stand before an order.
var polite = []string{"please", "now", "ok", "okay", "then", "and", "just", "go ahead and", "so", "hey", "hi", "yes", ",", "atl", "kindly", "quickly"}

// order gives the change that a sentence tells us to make, "" when it is no order. It is none when anything in it asks,
// doubts, forbids or puts it off: a change that nobody ordered must not even be proposed.
func (s sentence) order() string {
	s = s.plain()
	if s.asked || s.holds(doubts...) || strings.HasSuffix(s.han, "か") || s.has("not", "never", "if", "unless", "when", "whenever", "after", "before", "until", "later", "tomorrow", "every", "instead of", "would", "should",
		"could", "might", "why", "how", "was", "were", "did", "has", "had", "been", "keeps", "kept", "wants", "tried", "failed", "said", "says", "told", "asked") {
		return ""
	}
	rest := strings.TrimPrefix(s.latin, " ")
	for cut := true; cut; {
		cut = false
		for _, p := range polite {
			if strings.HasPrefix(rest, p+" ") {
				rest, cut = strings.TrimPrefix(rest, p+" "), true
			}
		}
		if strings.HasPrefix(rest, "@ , ") { // "payments: restart"
			rest, cut = strings.TrimPrefix(rest, "@ , "), true
		}
	}
	for clause := range strings.SplitSeq(rest, " , ") { // "the hotfix is no good, put payments back"
		for _, a := range acts {
			for _, w := range a.Words {
				first, _, _ := strings.Cut(w, " …")
				if strings.HasPrefix(clause+" ", first+" ") && inOrder(" "+clause+" ", w, " ") {
					return a.Name
				}
			}
		}
	}
	for _, a := range acts {
		if s.holds(a.Han...) {
			return a.Name
		}
	}
	return ""
}

// clauses say which objects of many are meant. They hold words that would make a question of an order.
var clauses = regexp.MustCompile(` (?:that|which) (?:has|have|carries|carry|bears|bear) (?:(?:the|a) )?labels? | (?:having|bearing) (?:(?:the|a) )?labels? `)

// each is "every" of objects, and not of times.
var each = regexp.MustCompile(` (?:every|each) (deployment|statefulset|daemonset|workload|pod|node) `)

// The orders to a node that consist in forbidding it something.
var (
	forbidden   = regexp.MustCompile(` do not schedule (?:[^,?]* )?on | do not (?:place|put) (?:[a-z]+ ){0,2}(?:pods?|workloads?|anything) (?:[^,?]* )?on `)
	forbiddenZh = regexp.MustCompile(`(?:不要|别)([^,?]{0,24})调度`)
	forbiddenJa = regexp.MustCompile(`(?:載せ|乗せ|置か|スケジュールし|配置し|割り当て)ないで`)
)

// How a Japanese order is spoken rather than written: しといて, やっちゃって, してほしい.
var (
	spoken = regexp.MustCompile(`(?:と|てお)い(て)|ちゃっ(て)`)
	wished = regexp.MustCompile(`([てで])(?:ほしい|欲しい|ください|下さい|ちょうだい|頂戴|もらいたい|お願いします|お願い|おねがい)(?:です|んだけど|のですが)?`)
)

// emptied is the permission to lose what an evicted pod keeps in an emptyDir.
var emptied = regexp.MustCompile(`[^,]*emptydir[^,]*(?:\b(?:go|lost|lose|deleted?|dropped|discarded?|away|unneeded)\b|不要|丢|删|没用|消え|消して|捨て|いらない)[^,]*|[^,]*\b(?:delete|drop|lose|discard)\b[^,]*emptydir[^,]*`)

// plain puts what only looks like a doubt in other words: "every deployment that has the label", and the orders that consist
// in forbidding something, such as new pods on a node.
func (s sentence) plain() sentence {
	s.latin, s.han = emptied.ReplaceAllString(s.latin, " , "), emptied.ReplaceAllString(s.han, ",")
	s.latin = each.ReplaceAllString(clauses.ReplaceAllString(s.latin, " with label "), " all $1 ")
	s.latin = forbidden.ReplaceAllString(s.latin, " stop scheduling on ")
	if !s.holds("停止", "禁止", "隔离") {
		s.han = forbiddenZh.ReplaceAllString(s.han, "停止${1}调度")
	}
	s.han = forbiddenJa.ReplaceAllString(s.han, "スケジュール停止")
	s.han = wished.ReplaceAllString(spoken.ReplaceAllString(s.han, "$1$2"), "$1")
	return s
}

// The forms in which an order is put as a question, and what is left of a Japanese one.
var (
	politeEn = regexp.MustCompile(`^ (?:(?:hey|hi|ok|so|and|then|please|,) )*(?:can|could|would|will|shall|may) (?:you|we) `)
	politeZh = regexp.MustCompile(`能不能|可不可以|可否|能否|麻烦|可以|能`)
	politeJa = regexp.MustCompile(`て(?:もらえ|くれ|いただけ|頂け)(?:ますか|ませんか|る|ない)?`)
)

// request gives the order in a polite question, "can you restart payments?". ok is false when there is none. It may ask whether
// that can be done, so that one has to ask back, unless it is firm: "could you please restart payments?".
func (s sentence) request() (order sentence, firm, ok bool) {
	firm = s.has("please") && !strings.ContainsFunc(s.han, func(c rune) bool { return unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana) }) || politeJa.MatchString(s.han) || s.holds("麻烦", "帮我", "帮忙") || strings.Contains(strings.ReplaceAll(s.han, "请求", ""), "请") // 请求 is a request of a service
	s.asked = false
	switch {
	case politeEn.MatchString(s.latin):
		s.latin = " " + politeEn.ReplaceAllString(s.latin, "")
		s.han = ""
	case politeJa.MatchString(s.han):
		s.han, s.latin = politeJa.ReplaceAllString(s.han, "て"), " "
	case politeZh.MatchString(s.han) && strings.Contains(s.han, "吗") || strings.Contains(s.han, "能不能") || strings.Contains(s.han, "可不可以"):
		s.han, s.latin = strings.NewReplacer("好吗", "", "行吗", "", "吗", "").Replace(politeZh.ReplaceAllString(s.han, "")), " "
	default:
		return s, false, false
	}
	s.latin, s.han = strings.ReplaceAll(s.latin, " ?", ""), strings.ReplaceAll(s.han, "?", "")
	return s, firm, true
}

// doubts are what makes a Chinese or Japanese sentence something else than an order.
var doubts = []string{
	"吗", "么", "呢", "为何", "怎", "如何", "是否", "能不能", "可不可", "可以", "应该", "要不要", "需要", "会不会", "几次", "次数", "多少", "一直", "不断", "频繁", "反复", "了几", "谁",
	"不要", "别", "不能", "不用", "无需", "如果", "之后", "以后", "明天", "过了", "什么", "重启了", "回滚了", "扩容了", "缩容了", "在重启", "自动重启", "不了", "老是", "老在", "总是", "总在", "经常", "时不时", "又重启", "自己重启", "咋", "为啥", "啥时候", "何时",
	"か,", "ますか", "ですか", "でしょう", "なぜ", "どう", "べき", "しない", "するな", "ないで", "できな", "できる", "された", "されて", "されま", "している", "してる", "しています",
	"した", "しまし", "何度も", "ばかり", "頻繁", "勝手に", "すると", "すれば", "したら", "もし", "何回", "いつ", "誰", "失敗", "履歴", "後で", "あとで", "明日",
}

// ponders gives the change that a sentence asks or speaks about without ordering it, "" when there is none.
func (s sentence) ponders() string {
	for _, i := range inflected {
		if s.means(i) {
			return i.Name
		}
	}
	return ""
}

// chatter says whether people seem to talk to each other: a statement about themselves or what they think.
func (s sentence) chatter() bool {
	if s.asked {
		return false
	}
	for _, p := range []string{"i ", "we ", "he ", "she ", "they ", "you ", "looks like", "it looks", "it is ", "that is ", "let me", "let us", "maybe", "yes", "no ", "thanks", "thank you", "sorry", "lol", "not sure", "same here", "agreed", "done "} {
		if strings.HasPrefix(s.latin, " "+p) && !s.has("i want", "i need", "we need", "show me", "tell me", "i would like", "wonder", "wondering", "i am new", "i am trying", "i am looking", "i do not know", "how do i", "how do we") {
			return true
		}
	}
	return s.holds("我觉得", "我看看", "我认为", "谢谢", "と思います", "ありがとう") && !s.holds("给我", "帮我", "吗", "?")
}

// back says whether a sentence leans on what was said before.
func (s sentence) back() bool {
	return s.says("back")
}

// elliptic says whether a sentence repeats an earlier question about something else: "and in staging?", "what about cart?".
func (s sentence) elliptic() bool {
	for _, p := range []string{"and ", "what about ", "how about ", "also ", "same for ", "in @ ", "@ ?", ", @", "or "} {
		if strings.HasPrefix(s.latin, " "+p) {
			return true
		}
	}
	return s.holds("那@", "呢", "では", "じゃあ", "なら", "は?", "的话")
}

// kindOf gives the kind that a text names in words that kubectl does not know.
func (s sentence) kindOf() string {
	for _, k := range kinds {
		if strings.Contains(s.han, k.word) {
			return k.kind
		}
	}
	if s.has("machine", "machines", "host", "hosts", "server", "servers", "box", "boxes", "vm", "vms") {
		return entity.Node
	}
	return ""
}

// candidate gives the word of a text that was probably meant as a name and names nothing: one close to a name, else,
// when the question cannot do without one, the last word that is none of everyday English.
func candidate(m tools.Mention, needed bool) string {
	for _, w := range m.Near {
		if !everyday(w) {
			return w
		}
	}
	if !needed {
		return ""
	}
	for _, w := range slices.Backward(m.Unknown) {
		if !everyday(w) {
			return w
		}
	}
	return ""
}

func everyday(w string) bool {
	_, kind := entity.ParseKind(w)
	return kind || common[w] || contractions[w] != "" || len(w) < 3
}
