package layout

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/bot/message"
)

func TestColumnsStandBeneathEachOther(t *testing.T) {
	got, more := Table(message.Table{
		Columns: []string{"pod", "状态", "age"},
		Rows:    [][]string{{"payments-1", "正常", "3 d"}, {"a\nb", "CrashLoopBackOff"}},
		More:    4,
	}, 1000)
	want := strings.Join([]string{
		"pod         状态              age",
		"payments-1  正常              3 d",
		"a b         CrashLoopBackOff",
	}, "\n")
	if got != want || more != 4 {
		t.Errorf("more %d, got:\n%s\nwant:\n%s", more, got, want)
	}
}

func TestWhatIsCutIsCounted(t *testing.T) {
	if got, more := List(message.List{Items: []string{"one", "two", "three"}, More: 2}, 14); got != "• one\n• two\n" || more != 3 {
		t.Errorf("%q, %d more", got, more)
	}
	if _, more := Table(message.Table{Columns: []string{"n"}, Rows: [][]string{{"1"}, {"2"}, {"3"}}}, 4); more != 2 {
		t.Errorf("%d more", more)
	}
	if got, cut := CutMiddle("first\n"+strings.Repeat("x\n", 100)+"last\n", 100); !cut || !strings.HasPrefix(got, "first\n") || !strings.HasSuffix(got, "\nlast") || !strings.Contains(got, "lines cut") {
		t.Errorf("%q", got)
	}
	if got := Cut("wide 状态 text", 7); got != "wide 状…" {
		t.Errorf("%q", got)
	}
}

func TestNothingIsLongerThanItMayBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "s"), rapid.IntRange(60, 400).Draw(t, "n")
		if got := Cut(s, n); Runes(got) > n || !utf8.ValidString(got) && utf8.ValidString(s) {
			t.Errorf("Cut: %q", got)
		}
		long := strings.Repeat(s+"\n", 20)
		if got, cut := CutMiddle(long, n); Runes(got) > n || !cut && got != strings.TrimRight(long, "\n") {
			t.Errorf("CutMiddle: %d of %d: %q", Runes(got), n, got)
		}
		items := rapid.SliceOf(rapid.String()).Draw(t, "items")
		got, more := List(message.List{Items: items}, n)
		if Runes(got) > n+1 || strings.Count(got, "\n")+more != len(items) {
			t.Errorf("List: %q, %d more of %d", got, more, len(items))
		}
	})
}
