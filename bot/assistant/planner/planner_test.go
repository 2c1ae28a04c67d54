package planner_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

// questions are what people on call say, with the first calls that answer them: a call behind an arrow stands in when
// the one before it cannot answer.
var questions = []struct {
	say  string
	want string // calls joined by " ; ", "?" when it must not be understood
}{
	// What is wrong?
	{"what is wrong?", "overview"},
	{"what's wrong", "overview"},
	{"Whats broken right now", "overview"},
	{"is everything ok?", "overview"},
	{"hello", "overview"},
	{"how are things in staging?", "overview cluster=staging"},
	{"status please", "overview"},
	{"rollout history please", "explain ; overview"}, // of what, is not said
	{"anything on fire?", "overview"},
	{"is prod healthy", "overview cluster=prod"},
	{"is everything fine in shop?", "alerts namespace=shop"},
	{"有什么问题？", "overview"},
	{"现在怎么样，正常吗", "overview"},
	{"staging 集群状态", "overview cluster=staging"},
	{"何が起きていますか？", "overview"},
	{"staging は大丈夫ですか", "overview cluster=staging"},
	// One thing.
	{"is payments ok?", "alerts target=deployment/payments ; risk target=deployment/payments"},
	{"Is Payments up?", "alerts target=deployment/payments ; risk target=deployment/payments"},
	{"payments", "alerts target=deployment/payments ; risk target=deployment/payments"},
	{"how is the catalog?", "alerts target=deployment/catalog ; risk target=deployment/catalog"},
	{"what is wrong with node worker-2?", "explain id=worker-2"},
	{"is service payments healthy", "alerts target=service/payments ; risk target=service/payments"},
	{"payments 正常吗", "alerts target=deployment/payments ; risk target=deployment/payments"},
	{"worker-2 节点怎么了", "explain id=worker-2"},
	{"checkoutは大丈夫？", "alerts target=deployment/checkout ; risk target=deployment/checkout"},
	// Why, since when, who is affected.
	{"why?", "explain"},
	{"why is checkout slow?", "explain id=checkout"},
	{"since when is cart failing?", "explain id=cart"},
	{"who is affected?", "explain"},
	{"what's the root cause", "explain"},
	{"whose fault is it?", "explain"},
	{"explain INC-7", "explain id=INC-7"},
	{"why does payments not scale?", "explain id=payments"},
	{"why did payments restart?", "explain id=payments"},
	{"为什么 checkout 很慢？", "explain id=checkout"},
	{"谁受影响？", "explain"},
	{"なぜ checkout が遅いのですか", "explain id=checkout"},
	{"いつからですか？", "explain"},
	// What changed.
	{"what changed?", "changes"},
	{"what changed in the last 2 hours?", "changes since=2h"},
	{"what changed in shop in the last half an hour", "changes namespace=shop since=30m"},
	{"recent changes to payments", "changes target=deployment/payments"},
	{"who deployed payments today?", "changes since=24h target=deployment/payments"},
	{"when was payments restarted?", "changes target=deployment/payments"},
	{"最近一小时有什么变更", "changes since=1h"},
	{"payments 改了什么？", "changes target=deployment/payments"},
	{"直近1時間で何が変わりましたか", "changes since=1h"},
	// Logs and events.
	{"show me the logs of payments", "logs target=deployment/payments"},
	{"payments logs from the last 15 minutes", "logs since=15m target=deployment/payments"},
	{"any errors in the logs of checkout?", "logs grep=(?i)error|fail|fatal|panic|exception target=deployment/checkout"},
	{"logs of redis before the crash", "logs previous=true target=statefulset/redis ; logs target=statefulset/redis"},
	{"last 20 lines of the cart log", "logs tail=20 target=deployment/cart"},
	{"payments 的日志", "logs target=deployment/payments"},
	{"paymentsのログを見せて", "logs target=deployment/payments"},
	{"grep the payments logs for connection refused", "search_logs target=deployment/payments text=connection refused ; logs grep=(?i)connection refused target=deployment/payments"},
	{"what did cart say before it crashed?", "logs previous=true target=deployment/cart ; logs target=deployment/cart"},
	{"don't restart payments yet, what do its logs say?", "logs target=deployment/payments"},
	{"events of worker-2", "events all=true target=node/worker-2"},
	{"why are checkouts failing?", "explain id=checkout"},
	{"events of checkout", "events target=deployment/checkout"},
	{"any events in shop in the last 10m?", "events namespace=shop since=10m"},
	{"checkout 的事件", "events target=deployment/checkout"},
	{"イベントを表示", "events"},
	// Traces and the log store.
	{"show me the slowest checkout traces of the last 15 minutes", "traces since=15m target=deployment/checkout"},
	{"failed requests of payments", "traces failed=true target=deployment/payments"},
	{"newest traces in shop", "traces namespace=shop newest=true"},
	{"show trace 0af7651916cd43dd8448eb211c80319c", "trace id=0af7651916cd43dd8448eb211c80319c"},
	{"which logs are new since the rollout", "log_patterns new_since=rollout"},
	{"which logs of payments are new since the rollout?", "log_patterns new_since=rollout target=deployment/payments"},
	{"new errors in the logs of cart in the last 30 minutes", "log_patterns level=error new_since=30m target=deployment/cart"},
	{"log patterns of checkout", "log_patterns target=deployment/checkout"},
	{`search the logs for "connection refused"`, "search_logs text=connection refused"},
	{`logs of payments that say "timeout" in the last hour`, "search_logs since=1h target=deployment/payments text=timeout ; logs grep=(?i)timeout since=1h target=deployment/payments"},
	{"what are the slowest endpoints of checkout?", "operations target=deployment/checkout"},
	{"checkout 最近15分钟的链路", "traces since=15m target=deployment/checkout"},
	{"发布以来 payments 有哪些新的日志", "log_patterns new_since=rollout target=deployment/payments"},
	{"checkout の遅いリクエストを見せて", "traces target=deployment/checkout"},
	{"ロールアウト以降の新しいログは？", "log_patterns new_since=rollout"},
	// Names that hold the words of other questions.
	{"is catalog ok?", "alerts target=deployment/catalog ; risk target=deployment/catalog"},
	{"is stop-sign fine?", "alerts target=deployment/stop-sign ; risk target=deployment/stop-sign"},
	{"eventbus", "alerts target=deployment/eventbus ; risk target=deployment/eventbus"},
	{"what about uprising?", "alerts target=deployment/uprising ; risk target=deployment/uprising"},
	{"logs of eventbus", "logs target=deployment/eventbus"},
	// Metrics, topology, risk, alerts.
	{"what is the error rate of checkout?", "metrics target=deployment/checkout"},
	{"latency of payments", "metrics target=deployment/payments"},
	{"cpu of payments", "metrics target=deployment/payments"},
	{"which pods use the most memory?", "top by=memory kind=pods"},
	{"top nodes", "top kind=nodes"},
	{"cpu usage in shop", "top kind=pods namespace=shop"},
	{"哪些 pod 内存占用最高", "top by=memory kind=pods"},
	{"checkout の遅延は？", "metrics target=deployment/checkout"},
	{"what depends on payments?", "topology direction=upstream target=deployment/payments"},
	{"what does checkout depend on?", "topology direction=downstream target=deployment/checkout"},
	{"what breaks if redis goes down?", "topology direction=upstream target=statefulset/redis"},
	{"topology of cart", "topology target=deployment/cart"},
	{"payments 的上游是谁", "topology direction=upstream target=deployment/payments"},
	{"payments の依存関係", "topology target=deployment/payments"},
	{"risk of payments", "risk target=deployment/payments"},
	{"what is most at risk?", "risk"},
	{"payments 的风险", "risk target=deployment/payments"},
	{"any alerts in shop?", "alerts namespace=shop"},
	{"有告警吗", "alerts"},
	{"アラートはありますか", "alerts"},
	// Objectives, courses, comparisons.
	{"how are our SLOs?", "slo"},
	{"slo of checkout", "slo target=deployment/checkout"},
	{"how much error budget does checkout have left?", "slo target=deployment/checkout"},
	{"what is the burn rate of payments", "slo target=deployment/payments"},
	{"error budgets in shop", "slo namespace=shop"},
	{"suggest an SLO for cart", "slo_propose target=deployment/cart"},
	{"what would be a reasonable slo for payments?", "slo_propose target=deployment/payments"},
	{"payments 的错误预算还剩多少？", "slo target=deployment/payments"},
	{"所有 SLO 的情况", "slo"},
	{"checkoutのエラーバジェットは？", "slo target=deployment/checkout"},
	{"payments の SLO を提案して", "slo_propose target=deployment/payments"},
	{"chart of payments", "chart target=deployment/payments"},
	{"show me a graph of checkout latency", "chart metric=latency target=deployment/checkout"},
	{"plot the cpu of worker-2 over the last 6 hours", "chart metric=cpu since=6h target=node/worker-2"},
	{"画出 payments 的错误率曲线", "chart metric=errors target=deployment/payments"},
	{"checkout のレイテンシのグラフを見せて", "chart metric=latency target=deployment/checkout"},
	{"compare payments with an hour ago", "signals ago=1h target=deployment/payments ; metrics target=deployment/payments"},
	{"payments 与一小时前对比", "signals ago=1h target=deployment/payments ; metrics target=deployment/payments"},
	{"compare payments and cart with an hour ago", "signals ago=1h target=deployment/payments ; metrics target=deployment/payments ; signals ago=1h target=deployment/cart ; metrics target=deployment/cart"},
	{"is catalog slower than it was 30 minutes ago?", "signals ago=30m target=deployment/catalog ; metrics target=deployment/catalog"},
	{"catalog は一時間前より遅い？", "signals ago=1h target=deployment/catalog ; metrics target=deployment/catalog"},
	{"paymentsを1時間前と比べて", "signals ago=1h target=deployment/payments ; metrics target=deployment/payments"},
	// Lists and counts.
	{"list pods in shop", "list_resources kind=Pod namespace=shop"},
	{"how many pods are not ready?", "list_resources kind=Pod unhealthy=true"},
	{"show nodes", "list_resources kind=Node"},
	{"which deployments are failing?", "list_resources kind=Deployment unhealthy=true"},
	{"pods on worker-3", "list_resources kind=Pod match=worker-3"},
	{"pods in CrashLoopBackOff", "list_resources kind=Pod match=CrashLoopBackOff"},
	{"are all nodes ok?", "list_resources kind=Node unhealthy=true"},
	{"show me all services in staging", "list_resources cluster=staging kind=Service"},
	{"有多少个节点？", "list_resources kind=Node"},
	{"列出 shop 的 pods", "list_resources kind=Pod namespace=shop"},
	{"ノードの一覧", "list_resources kind=Node"},
	{"which clusters do you know?", "clusters"},
	{"pods with the label app=cart", "list_resources kind=Pod selector=app=cart"},
	{"which pods are crashlooping?", "list_resources kind=Pod match=CrashLoopBackOff"},
	{"deployments that run v2.3.1", "list_resources kind=Deployment match=v2.3.1"},
	{"how many replicas does payments have?", "list_resources kind=Deployment match=payments"},
	{"which node does redis run on?", "list_resources kind=Pod match=redis"},
	{"what's running on worker-1?", "list_resources kind=Pod match=worker-1"},
	{"how many times did cart restart?", "list_resources kind=Pod match=cart"},
	// Incidents.
	{"open incidents", "incidents"},
	{"incidents of the last 24 hours", "incidents all=true since=24h"},
	{"how many incidents this week?", "incident_stats since=168h"},
	{"what is our MTTR?", "incident_stats"},
	{"timeline", "timeline"},
	{"has this happened before?", "similar"},
	{"write a post-mortem", "postmortem"},
	{"写一份复盘", "postmortem"},
	{"ポストモーテムを書いて", "postmortem"},
	{"who is on call?", "oncall"},
	{"who is on call tomorrow?", "oncall when=tomorrow"},
	{"谁在值班？", "oncall"},
	{"今の当番は誰？", "oncall"},
	{"what is silenced?", "silences"},
	{"以前发生过吗？", "similar"},
	{"前にもありましたか？", "similar"},
	{"what happened last night?", "incidents all=true since=12h"},
	{"anything pending approval?", "pending"},
	{"未解決のインシデント", "incidents"},
	{"有哪些故障", "incidents"},
	{"what should I do?", "suggest_fix ; explain"},
	{"怎么办？", "suggest_fix ; explain"},
	{"どうすればいい？", "suggest_fix ; explain"},
	// One object.
	{"describe payments", "describe target=deployment/payments"},
	{"show the yaml of configmap cart", "get_resource target=deployment/cart"},
	{"rollout history of payments", "rollout_history target=deployment/payments"},
	{"is the rollout of cart done?", "rollout_status target=deployment/cart"},
	{"which version of payments is running?", "rollout_history target=deployment/payments"},
	// Orders.
	{"restart payments", "rollout_restart target=deployment/payments"},
	{"please restart the payments deployment in staging", "rollout_restart cluster=staging target=deployment/payments"},
	{"ok, now restart redis", "rollout_restart target=statefulset/redis"},
	{"scale checkout to 5", "scale replicas=5 target=deployment/checkout"},
	{"scale checkout from 3 to 5 replicas", "scale replicas=5 target=deployment/checkout"},
	{"roll back payments", "rollback target=deployment/payments"},
	{"roll payments back to revision 17", "rollback revision=17 target=deployment/payments"},
	{"roll payments back to v2.3.1", "rollback target=deployment/payments version=v2.3.1"},
	{"隔离 worker-2", "cordon target=node/worker-2"},
	{"cordon worker-2", "cordon target=node/worker-2"},
	{"uncordon worker-2", "uncordon target=node/worker-2"},
	{"drain node worker-3", "drain target=node/worker-3"},
	{"delete pod payments-7d9f-x2x4", "delete_pod target=pod/payments-7d9f-x2x4"},
	{"set the image of cart to shop/cart:v2.3.1", "set_image image=shop/cart:v2.3.1 target=deployment/cart"},
	{"pause payments", "rollout_pause target=deployment/payments"},
	{"resume the rollout of payments", "rollout_resume target=deployment/payments"},
	{"run nightly-report now", "run_cronjob target=cronjob/nightly-report"},
	{"暂停 payments 的发布", "rollout_pause target=deployment/payments"},
	{"payments のロールアウトを再開して", "rollout_resume target=deployment/payments"},
	{"重启 payments", "rollout_restart target=deployment/payments"},
	{"请把 checkout 扩容到 5 个副本", "scale replicas=5 target=deployment/checkout"},
	{"回滚 payments 到 17", "rollback revision=17 target=deployment/payments"},
	{"payments を再起動してください", "rollout_restart target=deployment/payments"},
	{"checkout を 5 にスケールして", "scale replicas=5 target=deployment/checkout"},
	{"payments をロールバックして", "rollback target=deployment/payments"},
	{"keep new pods off worker-2", "cordon target=node/worker-2"},
	{"don't schedule anything on worker-2", "cordon target=node/worker-2"},
	{"不要再往 worker-2 调度 pod", "cordon target=node/worker-2"},
	{"worker-2 にポッドを載せないで", "cordon target=node/worker-2"},
	{"let pods onto worker-2 again", "uncordon target=node/worker-2"},
	{"evacuate worker-3", "drain target=node/worker-3"},
	{"increase checkout to 6", "scale replicas=6 target=deployment/checkout"},
	{"checkout を 6 台に増やして", "scale replicas=6 target=deployment/checkout"},
	{"go back to revision 2 of payments", "rollback revision=2 target=deployment/payments"},
	{"把 payments 退回上一个版本", "rollback target=deployment/payments"},
	{"taint worker-2 with gpu=yes:NoSchedule", "taint taint=gpu=yes:NoSchedule target=node/worker-2"},
	{"put the taint gpu=yes on worker-2 and no execute", "taint taint=gpu=yes:NoExecute target=node/worker-2"},
	{"给 worker-2 打上污点 gpu:NoSchedule", "taint taint=gpu:NoSchedule target=node/worker-2"},
	{"remove the taint gpu from worker-2", "untaint taint=gpu target=node/worker-2"},
	{"worker-2 の gpu テイントを外して", "untaint taint=gpu target=node/worker-2"},
	{"add the label team=shop to payments", "label label=team=shop target=deployment/payments"},
	{"label node worker-2 with disk=ssd", "label label=disk=ssd target=node/worker-2"},
	{"remove the label team from payments", "label label=team- target=deployment/payments"},
	{"去掉 payments 的标签 team", "label label=team- target=deployment/payments"},
	{"set the annotation note=\"held back\" on cart", "annotate annotation=note=held back target=deployment/cart"},
	{"restart every deployment in shop that has the label app=cart", "restart_all kind=Deployment namespace=shop selector=app=cart"},
	{"scale all deployments with app=cart,tier=web in shop to 4", "scale_all kind=Deployment namespace=shop replicas=4 selector=app=cart,tier=web"},
	{"重启 shop 中所有带标签 app=cart 的 deployment", "restart_all kind=Deployment namespace=shop selector=app=cart"},
	{"shop の app=cart の付いた deployment をすべて再起動して", "restart_all kind=Deployment namespace=shop selector=app=cart"},
	{"silence this for 2 hours", "silence for=2h"},
	{"acknowledge", "acknowledge"},
	// Questions and statements about changes are no orders.
	{"should I restart payments?", "explain id=payments"},
	{"can you restart payments?", "explain id=payments"},
	{"is it safe to drain worker-2?", "explain id=worker-2"},
	{"how do I roll back payments?", "rollout_history target=deployment/payments"},
	{"don't restart payments", "explain id=payments"},
	{"restart payments if it fails again", "explain id=payments"},
	{"payments keeps restarting", "explain id=payments"},
	{"payments 为什么一直重启", "explain id=payments"},
	{"要不要重启 payments？", "explain id=payments"},
	{"paymentsを再起動すべきですか", "explain id=payments"},
	{"payments が再起動した", "explain id=payments"},
	// Misspelt and unknown names are passed on: the tool answers with what was probably meant.
	{"logs of paymets", "logs target=deployment/payments"},
	{"why is chekout slow?", "explain id=checkout"},
	{"restart paymets", "rollout_restart target=paymets"},
	{"describe foobar", "describe target=foobar"},
	{"paymets のログ", "logs target=deployment/payments"},
	// What is not for us.
	{"the weather is nice", "?"},
	{"i think we should look at the logs later", "?"},
	{"thanks, that helped", "?"},
	{"Mia will take the bus", "?"},
}

func TestQuestionsLeadToTheToolsThatAnswerThem(t *testing.T) {
	r := newToolbox(t)
	for _, q := range questions {
		t.Run(q.say, func(t *testing.T) {
			calls, _, err := ask(t, r, assistant.Request{Text: q.say, Caller: mia})
			got := strings.Join(calls, " ; ")
			var problem *tools.Problem
			if err != nil && !errors.As(err, &problem) {
				t.Fatal(err)
			}
			if problem != nil && problem.Unclear {
				got = "?"
			}
			if got != q.want {
				t.Errorf("called %q\n   want %q (%v)", got, q.want, err)
			}
		})
	}
	if len(questions) < 80 {
		t.Errorf("only %d questions", len(questions))
	}
}

func TestAThreadCarriesWhatItIsAbout(t *testing.T) {
	r := newToolbox(t)
	cause := entity.Ref{Cluster: "prod", Kind: entity.Deployment, Namespace: "shop", Name: "payments"}
	for name, x := range map[string]struct {
		before   []string // what the person said before
		say      string
		incident bool // in the thread of an incident whose cause is payments
		want     string
	}{
		"the same question in another cluster":    {[]string{"is payments ok?"}, "and in staging?", false, "alerts cluster=staging target=deployment/payments ; risk cluster=staging target=deployment/payments"},
		"the same question about another thing":   {[]string{"show me the logs of payments"}, "and cart?", false, "logs target=deployment/cart"},
		"the same question, after another answer": {[]string{"logs of cart", "what changed in the last hour?"}, "what about staging?", false, "changes cluster=staging since=1h"},
		"it":                                             {[]string{"is payments ok?"}, "show me its logs", false, "logs target=deployment/payments"},
		"the newest name counts":                         {[]string{"is payments ok?", "and cart?"}, "why is it slow?", false, "explain id=cart"},
		"no name where one is needed":                    {[]string{"how is redis"}, "logs?", false, "logs target=statefulset/redis"},
		"a change of what was spoken about":              {[]string{"how is redis"}, "restart it", false, "rollout_restart target=statefulset/redis"},
		"a change is not repeated elsewhere":             {[]string{"restart payments"}, "and in staging?", false, "alerts cluster=staging target=deployment/payments ; risk cluster=staging target=deployment/payments"},
		"chinese":                                        {[]string{"payments 正常吗"}, "那 staging 呢？", false, "alerts cluster=staging target=deployment/payments ; risk cluster=staging target=deployment/payments"},
		"japanese":                                       {[]string{"payments のログ"}, "cart は？", false, "logs target=deployment/cart"},
		"an incident's thread explains itself":           {nil, "why?", true, "explain"},
		"what is wrong there means the incident":         {nil, "what's wrong?", true, "explain"},
		"its logs are those of the cause":                {nil, "show the logs", true, "logs cluster=prod namespace=shop target=deployment/payments"},
		"rolling it back means the cause":                {nil, "roll it back", true, "rollback cluster=prod namespace=shop target=deployment/payments"},
		"a named thing is not the cause":                 {nil, "logs of cart", true, "logs target=deployment/cart"},
		"is it over":                                     {nil, "is it fixed?", true, "timeline"},
		"what people ask for without a name in a thread": {nil, "who is affected", true, "explain"},
		"a list there is a list":                         {nil, "list pods", true, "list_resources kind=Pod"},
		"another cluster is not the incident's":          {nil, "and in staging?", true, "overview cluster=staging"},
		"the same question over another time":            {[]string{"what changed in the last hour?"}, "and in the last 3 hours?", false, "changes since=3h"},
		"what changed, after a why":                      {[]string{"why is checkout slow?"}, "and what changed?", false, "changes"},
		"then and now, of what was spoken about":         {[]string{"is catalog ok?"}, "1時間前と比べると？", false, "signals ago=1h target=deployment/catalog ; metrics target=deployment/catalog"},
		"a misspelt name is not the cause":               {nil, "restart cartt", true, "rollout_restart target=cartt"},
	} {
		t.Run(name, func(t *testing.T) {
			req := assistant.Request{Text: x.say, Caller: mia}
			for _, b := range x.before {
				req.History = append(req.History, assistant.Turn{Person: true, Text: b, By: mia.Person.ID}, assistant.Turn{Text: "checkout is mentioned in an answer"})
			}
			if x.incident {
				req.Caller.Incident, req.Targets = "INC-1", []entity.Ref{cause}
			}
			calls, _, err := ask(t, r, req)
			if got := strings.Join(calls, " ; "); got != x.want {
				t.Errorf("%q after %q called %q\n   want %q (%v)", x.say, x.before, got, x.want, err)
			}
		})
	}
}

// TestNothingButAnOrderProposes puts every question of the table into forms that order nothing.
func TestNothingButAnOrderProposes(t *testing.T) {
	r := newToolbox(t)
	writes := []string{"rollout_restart", "scale", "rollback", "set_image", "delete_pod", "cordon", "uncordon", "drain", "acknowledge", "silence", "taint", "untaint", "label", "annotate", "restart_all", "scale_all"}
	orders := 0
	for _, q := range questions {
		tool, _, _ := strings.Cut(q.want, " ")
		if !slices.Contains(writes, tool) {
			continue
		}
		orders++
		for _, form := range []string{"%?", "why %", "should we %", "did somebody %", "what if we %", "do not %", "never %", "Ken said: %", "% when the queue is empty", "if it fails, %", "为什么要%", "%吗", "%べきですか", "%したらどうなる"} {
			say := strings.ReplaceAll(form, "%", q.say)
			calls, _, _ := ask(t, r, assistant.Request{Text: say, Caller: mia})
			for _, c := range calls {
				if tool, _, _ := strings.Cut(c, " "); slices.Contains(writes, tool) {
					t.Errorf("%q called %q", say, c)
				}
			}
		}
	}
	if orders < 15 {
		t.Errorf("only %d orders were tried", orders)
	}
}

func TestAnOrderThatLacksSomethingAsksForIt(t *testing.T) {
	r := newToolbox(t)
	for say, want := range map[string]string{
		"restart payments and cart":                   "That names several things: deployment/payments, deployment/cart.",
		"scale payments":                              "To how many replicas?",
		"set the image of payments":                   "To which image?",
		"restart":                                     "A name is needed for a change.",
		"scale payments to 5 or 6":                    "To how many replicas?",
		"roll payments back 2 or 3":                   "To which revision?",
		"drain payments":                              "That works on Node, and deployment/payments is none.",
		"restart worker-2":                            "That works on Deployment, StatefulSet, DaemonSet, and node/worker-2 is none.",
		"give payments two more replicas":             "To how many replicas?",
		"scale payments up by 2":                      "To how many replicas?",
		"taint worker-2 with gpu=yes":                 "With which effect?",
		"taint worker-2":                              "Which taint?",
		"put a label on payments":                     "Which key and value?",
		"remove a label from payments":                "Which key?",
		"restart everything with app=cart in shop":    "Which kind of objects?",
		"restart all deployments with app=cart":       "In which namespace?",
		"label payments and cart with team=shop":      "That names several things: deployment/payments, deployment/cart.",
		"taint payments with gpu=yes:NoSchedule":      "That works on Node, and deployment/payments is none.",
		"scale all deployments with app=cart in shop": "To how many replicas?",
		"restart paymets":                             "I find no Deployment, StatefulSet, DaemonSet named \"paymets\" in prod.",
		"scale nosuch to banana":                      "To how many replicas?",
		"delete pod payments":                         "deployment/payments · prod / shop has no pods.",
	} {
		_, a, err := ask(t, r, assistant.Request{Text: say, Caller: mia})
		var problem *tools.Problem
		switch {
		case a != nil && a.Proposal != "":
			t.Errorf("%q was proposed without an agent that could try it", say)
		case !errors.As(err, &problem) || problem.Remedy == "" && !strings.HasPrefix(want, "That works"):
			t.Errorf("%q: %v has no remedy", say, err)
		case want != "" && problem.Sentence != want:
			t.Errorf("%q: %q, want %q", say, problem.Sentence, want)
		}
	}
}

// TestAPoliteQuestionIsOffered: whether "can you restart payments?" is an order is asked, with a button.
func TestAPoliteQuestionIsOffered(t *testing.T) {
	r := newToolbox(t)
	for say, want := range map[string]string{
		"can you restart payments?":                `rollout_restart {"target":"deployment/payments"}`,
		"could you scale checkout to 5?":           `scale {"replicas":5,"target":"deployment/checkout"}`,
		"can we bump checkout to 6 replicas?":      `scale {"replicas":6,"target":"deployment/checkout"}`,
		"能不能重启处理请求的 payments？":                     `rollout_restart {"target":"deployment/payments"}`,
		"能不能重启一下 payments？":                        `rollout_restart {"target":"deployment/payments"}`,
		"可以把 checkout 扩到 5 吗？":                     `scale {"replicas":5,"target":"deployment/checkout"}`,
		"should I restart payments?":               "",
		"why can you not restart payments?":        "",
		"can you tell me why payments restarted?":  "",
		"can you restart payments if it fails?":    "",
		"could you restart payments without risk?": `rollout_restart {"target":"deployment/payments"}`,
		"will payments restart?":                   "",
		"可以看一下 payments 的日志吗？":                     "",
		"payments を再起動してもらえますか、それとも後でにしますか？明日は？": "",
	} {
		calls, a, err := ask(t, r, assistant.Request{Text: say, Caller: mia})
		if err != nil && want != "" {
			t.Errorf("%q: %v", say, err)
			continue
		}
		got := ""
		if a != nil && a.Results[0].Question != "" {
			o := a.Results[0].Options[0]
			got = o.Tool + " " + string(o.Args)
			if a.Proposal != "" {
				t.Errorf("%q was proposed", say)
			}
		}
		if got != want {
			t.Errorf("%q offers %q, want %q", say, got, want)
		}
		for _, c := range calls {
			if strings.HasPrefix(c, "rollout_restart") || strings.HasPrefix(c, "scale ") {
				t.Errorf("%q called %q", say, c)
			}
		}
	}
}

// TestAMisspeltNameIsReadAndSaid: for a look only; an order asks which was meant.
func TestAMisspeltNameIsReadAndSaid(t *testing.T) {
	r := newToolbox(t)
	_, a, err := ask(t, r, assistant.Request{Text: "is chekout ok?", Caller: mia})
	if err != nil || len(a.Results[0].Missing) == 0 || a.Results[0].Missing[0] != "I read chekout as checkout." {
		t.Errorf("%+v, %v", a, err)
	}
	if _, _, err := ask(t, r, assistant.Request{Text: "scale nosuch to banana", Caller: mia}); err == nil || !strings.Contains(err.Error(), "Such as: scale nosuch to 3.") {
		t.Errorf("what stands behind the name is taken for it: %v", err)
	}
	calls, _, err := ask(t, r, assistant.Request{Text: "restart chekout", Caller: mia})
	if got := strings.Join(calls, " ; "); got != "rollout_restart target=chekout" || err == nil || !strings.Contains(err.Error(), "Did you mean checkout?") {
		t.Errorf("an order called %q: %v", got, err)
	}
}

// TestAPoliteOrderIsOne: it says please, or has the form in which Japanese asks for a favour.
func TestAPoliteOrderIsOne(t *testing.T) {
	r := newToolbox(t)
	for say, want := range map[string]string{
		"could you please restart payments?":        "rollout_restart target=deployment/payments",
		"can you scale checkout to 5 pls":           "scale replicas=5 target=deployment/checkout",
		"能帮我重启一下 payments 吗":                        "rollout_restart target=deployment/payments",
		"麻烦把 checkout 扩到 5 好吗":                      "scale replicas=5 target=deployment/checkout",
		"payments を再起動してもらえますか？":                    "rollout_restart target=deployment/payments",
		"payments を再起動しちゃって":                        "rollout_restart target=deployment/payments",
		"shopのnamespaceごと消しちゃって":                    "kubectl command=delete namespace shop",
		"exec into payments":                        "kubectl command=exec payments",
		"the hotfix is no good, restart payments":   "rollout_restart target=deployment/payments",
		"drain worker-2, emptydir data can go":      "drain delete_emptydir_data=true target=node/worker-2",
		"drain worker-2,emptyDir 里的数据不要了":           "drain delete_emptydir_data=true target=node/worker-2",
		"payments を再起動しといて":                         "rollout_restart target=deployment/payments",
		"checkout を 4 から 6 に増やしてほしい":                "scale replicas=6 target=deployment/checkout",
		"put payments back on v2":                   "rollback target=deployment/payments version=v2",
		"put payments back on 2.3.1":                "rollback target=deployment/payments version=2.3.1",
		"payments 回滚到 v2.3.1":                       "rollback target=deployment/payments version=v2.3.1",
		"could you please not restart payments?":    "",
		"为什么要 could you please restart payments?":   "",
		"could you please tell me why it restarts?": "",
		"payments 老是重启":                             "",
		"payments 怎么老重启，请看一下":                       "",
		"payments が何度も再起動":                          "",
		"帮我看看 payments 为什么重启吗":                      "",
	} {
		calls, _, _ := ask(t, r, assistant.Request{Text: say, Caller: mia})
		got := strings.Join(calls, " ; ")
		if want == "" {
			for _, c := range calls {
				if tool, _, _ := strings.Cut(c, " "); tool == "rollout_restart" || tool == "scale" {
					t.Errorf("%q called %q", say, c)
				}
			}
			continue
		}
		if got != want {
			t.Errorf("%q called %q, want %q", say, got, want)
		}
	}
}

func TestAnAnswerInAnotherLanguage(t *testing.T) {
	r := newToolbox(t)
	for lang, x := range map[string]struct{ say, headline, unclear string }{
		"zh": {"有什么问题？", "在 prod 没有发现问题。", "没有理解这个问题，而且当前没有可用的模型。"},
		"ja": {"何が起きていますか", "prod に問題は見つかりません。", "質問を理解できませんでした。モデルも使えません。"},
	} {
		caller := mia
		caller.Lang = lang
		_, a, err := ask(t, r, assistant.Request{Text: x.say, Caller: caller})
		if err != nil || a.By != "planner" || a.Results[0].Headline != x.headline {
			t.Errorf("%s: %+v, %v", lang, a, err)
		}
		_, _, err = ask(t, r, assistant.Request{Text: "blub", Caller: caller})
		var problem *tools.Problem
		if !errors.As(err, &problem) || problem.Sentence != x.unclear || !problem.Unclear {
			t.Errorf("%s: %v", lang, err)
		}
	}
}

func FuzzPlan(f *testing.F) {
	r := newToolbox(f)
	for _, q := range questions {
		f.Add(q.say)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _, err := ask(t, r, assistant.Request{Text: text, Caller: mia, History: []assistant.Turn{{Person: true, Text: text}}})
		var problem *tools.Problem
		if err != nil && !errors.As(err, &problem) {
			t.Error(err)
		}
	})
}

// TestEveryHintIsThereAndUsed holds the hints of words.yaml against the code that asks for them.
func TestEveryHintIsThereAndUsed(t *testing.T) {
	var lists struct {
		Hints []struct {
			Name string   `json:"name"`
			En   []string `json:"en"`
			Han  []string `json:"han"`
		} `json:"hints"`
	}
	raw, err := os.ReadFile("words.yaml")
	if err == nil {
		err = yaml.Unmarshal(raw, &lists)
	}
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, h := range lists.Hints {
		if listed[h.Name] || len(h.En)+len(h.Han) == 0 {
			t.Errorf("%s is listed twice, or has no words", h.Name)
		}
		listed[h.Name] = true
	}
	asked := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		code, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range regexp.MustCompile(`\.says\("([a-z]+)"\)`).FindAllStringSubmatch(string(code), -1) {
			asked[g[1]] = true
		}
	}
	if diff := cmp.Diff(listed, asked); diff != "" || len(listed) < 20 {
		t.Errorf("hints (-listed +asked):\n%s", diff)
	}
}
