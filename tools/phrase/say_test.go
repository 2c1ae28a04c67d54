package phrase

import (
	"strings"
	"testing"
	"time"
)

func TestWhatTheEngineWroteIsReadBack(t *testing.T) {
	for _, c := range []struct{ en, zh, ja string }{
		{"checkout is failing", "checkout 正在出错", "checkout が失敗しています"},
		{"checkout is slow (p95 120 ms → 2400 ms)", "checkout 变慢（p95 120 ms → 2400 ms）", "checkout が遅くなっています（p95 120 ms → 2400 ms）"},
		{
			"deploy/payments: error rate 12 % (normal 0.2 %); image shop/pay:v1 → shop/pay:v2 (revision 18), 34 s before",
			"deploy/payments：错误率 12 %（正常值 0.2 %）；镜像 shop/pay:v1 → shop/pay:v2（修订版本 18），在此之前 34 s",
			"deploy/payments：エラー率 12 %（通常 0.2 %）；イメージ shop/pay:v1 → shop/pay:v2（リビジョン 18）、その 34 s前",
		},
		{
			"roll back deployment/payments to revision 17 (Mia, approved by Ken), verified",
			"将 deployment/payments 回滚到修订版本 17（Mia，由 Ken 批准），已验证", "deployment/payments をリビジョン 17 にロールバック（Mia、Ken が承認）、確認済み",
		},
		{"fx-rates: latency normal (3.16 ms, usually 3.27 ms)", "fx-rates：延迟正常（3.16 ms，通常 3.27 ms）", "fx-rates：レイテンシーは正常（3.16 ms、通常 3.27 ms）"},
		{
			"3 of 4 pods cannot be scheduled for 45 s: not enough memory (3 nodes), taints are not tolerated (1 node)",
			"4 个 Pod 中的 3 个无法调度，已 45 s：内存不足（3 个节点），不容忍节点污点（1 个节点）",
			"Pod 4 個中 3 個を 45 s の間スケジュールできません：メモリが不足（ノード 3 台）、taint が許容されていません（ノード 1 台）",
		},
		{"02:54:00 it is an Incident now: risk 0.90 for 30 s", "02:54:00 升级为故障：风险 0.90，已持续 30 s", "02:54:00 インシデントになりました：リスク 0.90、30 s 継続"},
		{"可能原因：deploy/a: 2 of 3 pods are unavailable; restart, at the same time (可信度高)", "可能原因：deploy/a：3 个 Pod 中的 2 个不可用；重启，同时发生 (可信度高)", ""},
		{"Only an operator of prod / shop may approve changes; you are a viewer there.", "只有 prod / shop 的操作员可以批准变更；您在那里是 viewer。", "prod / shop で変更を承認できるのはオペレーターだけです；あなたのロールは viewer です。"},
		// What is no sentence of ours stays: names, figures, what others wrote.
		{"deploy/payments", "deploy/payments", "deploy/payments"},
		{"couldn't find key X in ConfigMap shop/y", "couldn't find key X in ConfigMap shop/y", "couldn't find key X in ConfigMap shop/y"},
		{"dial tcp 10.0.0.1:443: connection refused", "dial tcp 10.0.0.1:443: connection refused", "dial tcp 10.0.0.1:443: connection refused"},
		{"", "", ""}, {"正常", "正常", "正常"},
	} {
		for lang, want := range map[string]string{"zh-CN": c.zh, "ja": c.ja, "en": c.en, "fr": c.en} {
			if got := Say(lang, c.en); want != "" && got != want {
				t.Errorf("%s: %q is read as\n %q, want\n %q", lang, c.en, got, want)
			}
		}
	}
	if got := [...]string{Word("zh", "STAGE"), Word("ja", "high"), Word("en", "STAGE"), Say("zh", "high")}; got != [...]string{"阶段", "高", "STAGE", "high"} {
		t.Errorf("single words are read as %q", got)
	}
}

func TestHostileTextCostsLittleAndStaysText(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a: ", 1300), strings.Repeat("; ", 1900), strings.Repeat("(", 3900), strings.Repeat("x (", 900) + strings.Repeat(")", 900),
		strings.Repeat("is failing; ", 300), strings.Repeat("1 of 1 pods wait in : ", 180), strings.Repeat("it is back: risk %s %[1]s {a|b} ", 100),
		strings.Repeat("fix started: ", 300), strings.Repeat("%[99]s is failing, ", 200), "\xff\xfe is failing", strings.Repeat("故 障 is ", 400), strings.Repeat("fix started: ", 100000),
	} {
		for _, lang := range []string{"zh", "ja"} {
			begun := time.Now()
			got := Say(lang, text)
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("%.40q… took %s", text, took)
			}
			if len(got) > 8*len(text)+100 {
				t.Errorf("%.40q… became %d bytes of %d", text, len(got), len(text))
			}
		}
	}
	// What is captured is shown as it is, and is no format itself.
	if got := Say("zh", "%[2]s-{a|b}-%d is failing"); got != "%[2]s-{a|b}-%d 正在出错" {
		t.Errorf("got %q", got)
	}
}

func TestWhatWasSaidIsRememberedAndNotForEver(t *testing.T) {
	for n := range 3 * sayKept {
		Say("zh", strings.Repeat("x", n%97+1)+" is failing "+time.Duration(n).String())
	}
	zh := tongueOf("zh")
	zh.mu.Lock()
	defer zh.mu.Unlock()
	if len(zh.kept) == 0 || len(zh.kept) > sayKept {
		t.Errorf("%d texts are kept", len(zh.kept))
	}
}

func FuzzSay(f *testing.F) {
	f.Add("deploy/payments: error rate 12 % (normal 0.2 %); image a:v1 → a:v2 (revision 18), 34 s before")
	f.Add("可能原因：a: b (c). D; e · f — g")
	f.Fuzz(func(t *testing.T, text string) {
		if got := Say("en", text); got != text {
			t.Errorf("English %q became %q", text, got)
		}
		once := Say("zh", text)
		if again := Say("zh", text); again != once {
			t.Errorf("%q is read as %q, then as %q", text, once, again)
		}
	})
}

func BenchmarkSayAnew(b *testing.B) {
	t := tongueOf("zh")
	for b.Loop() {
		s := saying{tongue: t, steps: saySteps}
		s.mixed("deploy/payments: error rate 12 % (normal 0.2 %); image shop/pay:v1 → shop/pay:v2 (revision 18), 34 s before")
	}
}

func TestALineOfTheCommandLineIsReadByItsOwnTextsAndByTheEngines(t *testing.T) {
	for _, c := range []struct{ en, zh, ja string }{
		{"Flags:", "选项：", "フラグ："}, // a text of the help
		{"unknown flag --jsno, did you mean \"--json\"?", "未知选项 --jsno，您是不是想用 \"--json\"？", "不明なフラグ --jsno。\"--json\" のことですか"},
		{"slack: channel C1: channel_not_found (invite the bot there: /invite @atlhyper)", "slack：频道 C1：channel_not_found（请把机器人邀请到该频道：/invite @atlhyper）", "slack：チャンネル C1：channel_not_found（そこにボットを招待してください：/invite @atlhyper）"},
		{"checkout is failing", "checkout 正在出错", "checkout が失敗しています"}, // the engine's
		{"open store: open /x: permission denied", "打开存储：open /x: permission denied", "ストアを開く：open /x: permission denied"},
		{"cluster", "集群", "クラスター"},
		{"prod", "prod", "prod"}, // a name
	} {
		for lang, want := range map[string]string{"zh_CN.UTF-8": c.zh, "ja": c.ja, "C": c.en, "": c.en} {
			if got := Line(lang, c.en); got != want {
				t.Errorf("%s: %q is read as %q, want %q", lang, c.en, got, want)
			}
		}
	}
	if got := Say("zh", "unknown flag --x"); got != "unknown flag --x" {
		t.Errorf("what only the command line says is read in chats as %q", got)
	}
}
