package planner

import "strings"

// intent is one thing that can be asked, with the words that ask it: phrases of whole words in English and runs of characters
// in Chinese and Japanese, in which @ stands for a name, # for a number, = for a label, and … for whatever is between.
type intent struct {
	name  string
	words []string // English
	han   []string // Chinese and Japanese
}

// asks are the questions, from the particular to the general: the first that can be answered with what the text names
// is taken.
var asks = []intent{
	{"help", []string{"help", "help me use", "what can you do", "what can i ask", "how do i use"}, []string{"你能做什么", "你会什么", "帮助", "使い方", "ヘルプ", "何ができ"}},
	{"fix", []string{"what should i do", "what should we do", "what do i do", "what can i do", "what can we do", "what to do", "what now", "how do i fix", "how do we fix", "how can i fix", "how can we fix", "how to fix", "any fix", "suggest a fix", "suggest fix", "suggested fix", "how do i solve", "how do i mend", "remedy", "mitigate", "mitigation", "what would you do", "what do you suggest", "what do you recommend", "what do you advise"}, []string{"怎么修", "如何修复", "修复", "怎么办", "怎么处理", "如何处理", "怎么解决", "どうすれば", "直し方", "直せ", "修正", "対処", "対応策", "该怎么做", "建议怎么", "どうしたらいい"}},
	{"patterns", []string{"log patterns", "log pattern", "new logs", "new log lines", "new log messages", "logs are new", "logs new", "logs of @ are new", "logs from @ are new", "logs in @ are new", "new in the logs", "new in the log", "new errors in the logs", "new errors in the log", "log messages are new", "log lines are new"}, []string{"日志模式", "新日志", "新的日志", "日志是新", "哪些日志新", "ログのパターン", "ログパターン", "新しいログ", "ログが新"}},
	{"history", []string{"rollout history", "revision", "revisions", "revision history", "deploy history", "previous versions", "what version", "which version", "what image", "which image", "image of", "what tag", "which tag", "last release", "previous release", "previous version", "last version", "version before", "release before", "earlier versions", "older versions", "running before", "versions"}, []string{"发布历史", "版本历史", "修订版本", "哪个版本", "什么版本", "リビジョン", "ロールアウト履歴", "どのバージョン", "哪个镜像", "什么镜像", "上一个版本", "上个版本", "之前的版本", "前のバージョン", "一つ前", "ひとつ前", "以前のバージョン", "どのイメージ", "发过", "哪几个版本", "哪些版本", "版本有哪些", "どんなバージョン", "バージョン一覧", "過去のバージョン"}},
	{"rollout", []string{"rollout status", "is the rollout", "rollout of", "rollout done", "rollout finished", "rollout stuck", "finished rolling out", "done rolling out"}, []string{"发布状态", "发布进度", "发布完成", "滚动更新状态", "ロールアウト状況", "ロールアウトの状態", "ロールアウトは"}},
	{"impact", []string{"who is affected", "who else is affected", "what is affected", "which services are affected", "affected", "impact", "impacted", "hurt", "hurts", "suffer", "suffers", "suffering", "collateral", "fallout", "spreading", "knock-on", "users see", "customers see", "users notice", "customers notice", "lost something", "lose something", "when @ went", "when @ died", "when @ failed", "hurting", "affect", "affects", "affecting", "because @ is"}, []string{"影响", "拖累", "波及", "连累", "遭殃", "牵连", "受害", "跟着挂", "影響", "巻き込", "巻き添え", "響く", "響いて", "響き", "効いてくる", "とばっちり", "被害", "広がって"}},
	{"why", []string{"since when", "when did … start", "when did … begin", "when did … break", "when did … go wrong", "how long has", "how long have", "how sure", "how certain", "how confident", "confidence", "are you sure", "what makes you think", "behind", "how come", "through the roof", "spiking", "spiked", "sky high", "out of nowhere", "all of a sudden", "suddenly", "waiting for", "@ … stuck", "stuck … @", "holding … up", "holds … up", "misconfigured"}, []string{"什么时候开始", "从什么时候", "いつから", "理由", "把握", "确定吗", "确信", "確信", "確かです", "导致", "造成", "谁干的", "せいで", "啥时候开始", "何时开始", "几点开始", "从几点", "何時から", "いつ頃", "いつごろ", "谁搞的", "谁的锅", "怪谁", "誰のせい", "突然", "飙升", "暴涨", "变慢", "急に", "跳ね上が", "スパイク", "急増", "缺了", "缺少", "在等什么", "卡在哪", "設定ミス", "上がってこない", "立ち上がら", "進まない"}},
	{"advice", []string{"would … help", "will … help", "any good", "any use", "worth it", "makes sense", "make sense", "a good idea"}, []string{"有用吗", "管用", "有帮助", "该不该", "合适吗", "意味ある", "効果ある", "直ると思"}},
	{"changes", []string{"what changed", "changed", "change", "changes", "deployed", "deploys", "recent deployments", "last deployments", "releases", "released", "rolled out", "what was rolled out", "new version", "release", "went out", "gone out", "shipped", "pushed", "anyone deploy", "anybody deploy", "someone deploy", "somebody deploy", "deploy something", "deploy anything", "rollouts", "modified", "touched", "altered", "edited", "reconfigured", "who changed", "last deploy", "latest deploy", "recent deploy", "recent deploys", "any deploy", "any deploys", "anything deployed", "new build", "merged", "upgraded", "updated", "bumped", "push", "ship", "from what to what"}, []string{"变更", "改了什么", "变了什么", "变化", "改动", "最近的发布", "发布了什么", "谁发布", "変更", "何が変わ", "変わった", "リリース", "デプロイした", "デプロイされ", "上线了什么", "谁上线", "发了什么", "发版", "上线", "动过", "谁改", "改过", "改动过", "動かした", "发布过", "发布了", "有发布", "部署过", "部署了", "更新过", "升级过", "上过线", "上了什么", "上了啥", "改了啥", "变了啥", "谁动", "谁发的", "新版本", "いじった", "触った", "変えた", "更新され", "デプロイが", "デプロイあ", "リリースが", "反映され", "何から何", "バージョンアップ"}},
	{"stats", []string{"mttr", "statistics", "stats", "mean time", "recurrence", "how many incidents", "how many outages", "most common causes", "top root causes"}, []string{"统计", "平均修复", "多少故障", "多少次故障", "几次故障", "統計", "平均復旧", "何件のインシデント", "インシデントは何件"}},
	{"similar", []string{"similar", "happened before", "happen before", "seen this before", "seen it before", "had this before", "like this before", "last time this happened", "what helped last time", "what fixed it last time"}, []string{"以前发生过", "以前有过", "之前发生过", "类似", "上次怎么", "前にも", "過去にも", "似た", "前回はどう"}},
	{"postmortem", []string{"postmortem", "post mortem", "post-mortem", "retrospective", "incident review", "incident report"}, []string{"复盘", "事后分析", "ポストモーテム", "振り返り", "事後分析"}},
	{"oncall", []string{"on call", "oncall", "on-call", "on duty", "who do i wake", "whom to wake", "takes over", "pager duty"}, []string{"值班", "当班", "当番", "オンコール"}},
	{"silences", []string{"silences", "silenced", "muted", "what is quiet", "what is silent"}, []string{"静默了什么", "哪些静默", "サイレンス中", "何がミュート"}},
	{"timeline", []string{"timeline", "chronology", "what happened when", "what happened so far", "what has happened", "what has been done", "is it over", "is it fixed", "is this fixed", "is it resolved", "is it still", "anyone on it", "anybody on it", "someone on it", "somebody on it", "who is on it", "who is handling", "who is looking", "anyone looking", "anybody looking"}, []string{"时间线", "经过", "修好了吗", "解决了吗", "在处理", "谁接手", "誰が対応", "対応中", "対応して", "タイムライン", "経過", "直りましたか", "直った", "解決しました"}},
	{"past", []string{"what happened", "anything happen", "did anything happen"}, []string{"发生了什么", "发生过什么", "何が起きました", "何があった", "何かあった"}},
	{"slo", []string{"slo", "slos", "slis", "sli", "objective", "objectives", "error budget", "error budgets", "budget", "budgets", "burn rate", "burn rates", "burning"}, []string{"错误预算", "预算", "消耗速率", "燃烧率", "服务目标", "エラーバジェット", "バジェット", "バーンレート", "サービス目標"}},
	{"audit", []string{"audit", "audit log", "who approved", "who rejected", "who confirmed", "who ran", "who did what"}, []string{"审计", "谁批准", "谁审批", "谁操作", "操作记录", "監査", "誰が承認", "誰が操作", "操作履歴"}},
	{"grants", []string{"grants", "who has access", "who has the role", "who is admin", "who is operator", "who can approve", "permissions", "who may"}, []string{"权限", "授权", "谁有权", "権限"}},
	{"pending", []string{"pending approvals", "pending approval", "pending proposals", "waiting for approval", "wait for approval", "approvals", "approval", "what is pending", "to approve", "proposals"}, []string{"待审批", "等待批准", "待批准", "提案", "承認待ち"}},
	{"search", []string{"search", "search logs", "search the logs", "grep", "logs with", "logs containing", "logs that contain", "that say", "that says", "that mention", "that contain", "containing", "mention", "mentions", "mentioning", "contains", "contain", "look for", "lines with"}, []string{"搜索", "ログを検索", "を含むログ", "包含", "含有", "を含む"}},
	{"logs", []string{"stack trace", "stack traces", "stacktrace", "stacktraces", "tail @", "errors out of @", "errors from @", "last errors", "latest errors", "recent errors", "error message", "error messages"}, []string{"堆栈", "スタックトレース", "报错信息", "错误信息", "报了什么错", "报什么错", "报的什么错", "报了啥", "エラーメッセージ", "エラーログ", "吐いて"}},
	{"traces", []string{"trace", "traces", "tracing", "slow requests", "slowest requests", "failed requests", "failing requests", "slowest calls", "waterfall", "spans", "requests that took", "took longer", "requests … longer than", "requests … slower than", "requests over", "requests above", "slow request", "slowest request"}, []string{"链路", "调用链", "追踪", "慢请求", "失败的请求", "トレース", "遅いリクエスト", "失敗したリクエスト", "最慢的请求", "最慢的一个请求", "最慢的几个请求", "慢于", "耗时超过", "一番遅いリクエスト", "最も遅いリクエスト"}},
	{"operations", []string{"operations", "endpoints", "endpoint", "routes of", "slowest endpoints", "which operation"}, []string{"接口", "端点", "エンドポイント", "オペレーション"}},
	{"logs", []string{"log", "logs", "log lines", "stack trace", "stacktrace", "stderr", "stdout"}, []string{"日志", "ログ", "スタックトレース"}},
	{"events", []string{"event", "events"}, []string{"事件", "イベント"}},
	{"topology", []string{"topology", "depends on", "depend on", "depending on", "dependencies", "dependency", "upstream", "downstream", "who calls", "what calls", "calls what", "does @ call", "callers", "blast radius", "breaks if", "break if", "fails if", "used by", "talks to", "talk to", "rely on", "relies on", "relying on", "affected if", "happens if @", "if @ goes down", "if @ dies", "if @ stays down", "if @ is down", "without @", "talks with", "does it need", "does @ need", "what needs @", "who uses", "what uses", "who is using", "who calls @", "calling @", "deps of", "connected to", "call graph", "calls it", "call it", "calls them"}, []string{"拓扑", "依赖", "上游", "下游", "谁调用", "调用谁", "调用了", "依存", "トポロジ", "上流", "下流", "呼び出", "挂了会", "挂掉会", "停了会", "会影响谁", "落ちたら", "止まったら", "@を使って", "@を利用して", "谁在用", "在用@", "用到@", "谁在调", "谁调", "被谁", "调了谁", "用了谁", "连着谁", "呼んで", "呼ぶ", "叩いて", "つながって", "繋がって"}},
	{"chart", []string{"chart", "charts", "graph", "graphs", "plot", "diagram", "curve", "draw"}, []string{"图表", "曲线", "画图", "画出", "走势", "グラフ", "チャート", "推移"}},
	{"signals", []string{"golden signals", "compare", "compared", "comparison", "than an hour ago", "with an hour ago", "versus", "vs", "compare to", "compared to", "compared with", "than it was", "than before", "than earlier", "than yesterday", "than last week", "next to", "against", "than # hours ago", "than # minutes ago", "hour ago", "hours ago", "minutes ago", "min ago", "days ago"}, []string{"黄金信号", "对比", "相比", "比较", "一小时前", "ゴールデンシグナル", "比べて", "比較", "1時間前と", "小时前", "分钟前", "天前", "比昨天", "比之前", "比以前", "時間前", "分前", "日前", "比べ", "前より", "昨日より"}},
	{"limits", []string{"memory limit", "memory limits", "cpu limit", "cpu limits", "resource limit", "resource limits", "limit", "limits", "memory request", "cpu request", "resource requests"}, []string{"内存限制", "内存上限", "资源限制", "限额", "limit", "メモリ制限", "メモリ上限", "リソース制限"}},
	{"ranking", []string{"top", "top pods", "top nodes", "most cpu", "most memory", "most ram", "using the most", "uses the most", "highest cpu", "highest memory", "hungriest", "eating", "eats", "hogging", "hogs", "consuming", "consumes", "busiest", "how busy", "heaviest", "hungry", "using up", "burning cpu", "per node", "per pod", "by cpu", "by memory", "how loaded", "how full", "hottest", "most loaded", "overloaded", "under load", "capacity", "headroom", "room left", "free memory", "free cpu"}, []string{"最高", "最多", "占用", "一番使", "最も使", "使用量の多い", "吃", "最忙", "有多忙", "食って", "食い", "忙し", "最热", "负载最高", "一番忙", "打满", "跑满", "飙高", "余量", "容量", "空闲", "空き", "余裕"}},
	{"metrics", []string{"metrics", "metric", "latency", "latencies", "error rate", "request rate", "rps", "qps", "throughput", "p95", "p99", "cpu", "memory", "ram", "traffic", "saturation", "resource usage", "resource use", "load", "usual", "normal", "utilisation", "utilization", "how slow", "how fast", "success rate", "failure rate", "error percentage", "response time", "response times"}, []string{"指标", "延迟", "错误率", "请求量", "流量", "内存", "资源使用", "使用率", "メトリクス", "レイテンシ", "遅延", "エラー率", "メモリ", "リソース使用", "トラフィック", "响应时间", "応答時間", "通常", "成功率", "失败率", "耗时", "多慢", "多快", "どれくらい遅", "どのくらい遅", "どれだけ遅"}},
	{"logs", []string{"@ say", "@ says", "@ said", "@ saying", "does it say", "did it say", "print", "prints", "printed", "complain", "complains", "complaining", "last words", "output", "logging", "exception", "exceptions", "panic", "panics", "traceback", "tracebacks"}, []string{"说了什么", "报了什么", "输出", "打印", "异常堆栈", "出力", "何と言"}},
	{"keys", []string{"keys", "which key", "what key"}, []string{"哪些key", "哪些键", "有哪些键", "キー"}},
	{"yaml", []string{"yaml", "manifest", "spec"}, []string{"清单", "マニフェスト"}},
	{"describe", []string{"describe", "details", "detail", "tell me about", "more about", "conditions of", "configuration of"}, []string{"详情", "描述", "详细", "詳細"}},
	{"why", []string{"why", "root cause", "rca", "cause", "caused", "causes", "causing", "explain", "since when", "when did", "how long", "whose fault", "blame", "culprit", "evidence", "what broke", "reason", "coming from", "come from", "comes from", "source of", "origin of", "who broke", "at fault", "to blame", "responsible for"}, []string{"为什么", "为何", "原因", "根因", "什么时候开始", "从什么时候", "多久了", "解释", "证据", "なぜ", "どうして", "いつから", "説明", "原因", "根拠", "为啥", "咋回事", "怎么回事", "啥情况", "什么情况", "源头", "何が悪", "元凶", "何事"}},
	{"alerts", []string{"alert", "alerts", "alerting", "anomaly", "anomalies", "anomalous", "abnormal", "warning", "warnings", "firing"}, []string{"告警", "报警", "警报", "アラート", "警告"}},
	{"risk", []string{"risk", "risks", "risky", "riskiest", "score", "scores"}, []string{"风险", "リスク", "スコア"}},
	{"incidents", []string{"incident", "incidents", "outage", "outages", "open issues"}, []string{"故障", "インシデント", "障害"}},
	{"clusters", []string{"clusters", "which cluster", "agents", "is the agent", "agent connected"}, []string{"哪些集群", "集群列表", "有几个集群", "クラスタ一覧", "クラスター一覧", "どのクラスタ", "クラスタはいくつ"}},
	{"restarts", []string{"how many times", "how often", "restart count", "restart counts", "number of restarts", "how many restarts"}, []string{"重启次数", "重启了几次", "重启了多少次", "重启几次", "何回再起動", "何度再起動", "再起動回数", "再起動の回数"}},
	{"list", []string{"list", "how many", "count", "number of", "show", "which", "get", "give me", "display", "find", "any", "what", "are", "all", "replicas", "instances", "copies", "where does", "where is", "where are", "runs on", "running on", "what is on"}, []string{"列出", "多少", "几个", "哪些", "显示", "看看", "查看", "有没有", "一覧", "いくつ", "何個", "何台", "どの", "見せて", "表示", "ありますか", "副本", "实例", "レプリカ", "インスタンス", "跑了", "跑在", "運行", "动いて", "動いて", "載って", "哪几个", "有几个", "几台", "起不来", "卡在", "数量", "どれ", "どっち", "何本", "全部で", "足りて", "生きて", "残って"}},
	{"overview", []string{"wrong", "what is broken", "what is going on", "what is happening", "what is up", "status", "state", "overview", "summary", "summarise", "summarize", "how are things", "how is it going", "how are we", "how is everything", "how is", "how are", "health", "healthy", "ok", "okay", "fine", "all good", "alright", "green", "problem", "problems", "broken", "issue", "issues", "trouble", "down", "up", "alive", "sitrep", "failing", "fails", "slow", "crashing", "degraded", "unhealthy", "on fire", "what is the matter", "check", "all clear", "quiet", "calm", "are we good", "in good shape", "tldr", "pager", "paged", "paging", "woke me", "what did i miss", "catch me up", "fill me in", "situation", "how bad", "under control", "anything up", "is off", "seems off", "smth", "lost", "lose", "brief me", "rundown", "recap", "need to know", "gone", "weird", "odd", "strange", "fishy", "acting up"}, []string{"有什么问题", "出了什么问题", "出问题", "怎么了", "状态", "状况", "健康", "正常", "还好", "概览", "问题", "挂了", "异常", "何が起き", "問題", "状況", "状態", "大丈夫", "健全", "正常", "概要", "どうなって", "どうなの", "異常", "落ちて", "平静", "安稳", "静か", "落ち着", "怎么样", "咋样", "如何了", "調子", "啥情况", "什么情况", "有事吗", "出事", "炸了", "崩了", "还行", "一切正常", "太平", "やばい", "どんな感じ", "無事", "何かある", "どうした", "様子", "奇怪", "不对劲", "おかしい", "変", "何か起き", "調子悪"}},
	{"hello", []string{"hello", "hi", "hey", "good morning", "good evening"}, []string{"你好", "您好", "こんにちは", "おはよう", "こんばんは"}},
}

// acts are the orders. Words are in the imperative, as a sentence begins with them.
var acts = []intent{
	{"scale", nil, []string{"#台に戻", "#個に戻", "缩回#", "扩回#", "恢复到#个", "调回#"}}, // else it would be a rollback
	{"rollback", []string{"roll back", "rollback", "roll @ back", "roll the @ back", "roll it back", "roll this back", "roll that back", "revert", "undo the rollout", "undo the last rollout", "undo rollout", "roll … back", "go back to", "put … back to", "put … back on", "undo … rollout", "undo … deploy", "undo … release", "return @ to", "restore … previous", "back out", "undo the last deploy", "undo the last release", "undo the last deployment", "go back one version", "go back a version", "go back one revision", "go back to the", "put … version back", "put … release back", "restore the previous", "back to the previous", "back to the old", "back to the last", "back to the one before"}, []string{"回滚", "回退", "ロールバック", "巻き戻し", "元に戻して", "退回", "退到", "回到上", "恢复到上", "に戻して", "前に戻して", "撤回", "还原", "退一个版本", "退版本", "前のバージョンに戻", "一つ前に戻", "切り戻"}},
	{"restart", []string{"restart", "bounce", "rollout restart", "do a rolling restart", "rolling restart", "give @ a restart"}, []string{"重启", "重新启动", "再起動", "重启掉"}},
	{"scale", []string{"scale", "set replicas", "set the replicas", "set the number of replicas", "increase @ to #", "increase … replicas", "raise @ to #", "raise … replicas", "bump @ to #", "bump … replicas", "grow @ to #", "reduce @ to #", "reduce … replicas", "lower @ to #", "lower … replicas", "decrease @ to #", "decrease … replicas", "shrink @ to #", "bring @ to #", "bring @ up to #", "bring @ down to #", "give @ … replicas", "set @ to # replicas", "run @ with #", "take @ down to #", "take @ up to #", "take @ to #", "get @ to #", "get @ up to #", "get @ down to #", "dial … to #"}, []string{"扩容", "缩容", "扩到", "缩到", "副本数改", "调整副本", "スケール", "レプリカを", "レプリカ数を", "增加到#", "加到#", "减到#", "减少到#", "调到#", "改成#个副本", "改为#个副本", "台に", "個に増や", "個に減ら", "に増やして", "に減らして", "缩成#", "扩成#", "缩至#", "扩至#", "降到#", "升到#", "开到#", "调成#", "调为#", "调整到#", "変更して#", "#台まで", "#個まで", "レプリカ…増や", "レプリカ…減ら", "台数…増や", "台数…減ら", "加副本", "减副本", "多开", "多起", "加几个副本"}},
	{"set_image", []string{"set image", "set the image", "change the image", "update the image", "deploy … of @", "roll out … of @", "upgrade @ to", "update @ to", "downgrade @ to"}, []string{"设置镜像", "更换镜像", "换成镜像", "镜像改", "镜像换", "イメージを", "升级到", "更新到", "アップデートして", "アップグレードして"}},
	{"uncordon", []string{"uncordon", "let … pods on", "let … pods onto", "allow … pods on", "allow scheduling on", "allow scheduling", "make @ schedulable", "mark @ schedulable", "make @ schedulable again"}, []string{"恢复调度", "解除隔离", "スケジュール再開", "スケジュールを再開", "允许…调度", "重新允许", "スケジュール可能に", "また載せて"}},
	{"cordon", []string{"cordon", "keep … pods off", "keep pods off", "keep … off @", "stop scheduling", "stop placing", "make @ unschedulable", "mark @ unschedulable", "mark @ as unschedulable", "no new pods on", "no more pods on"}, []string{"禁止调度", "停止调度", "隔离节点", "スケジュール停止", "スケジュールを停止", "停止…调度", "隔离", "隔離して"}},
	{"drain", []string{"drain", "evacuate", "empty @", "move … off @", "take … off @", "get … off @"}, []string{"排空", "驱逐节点", "ドレイン", "腾空", "清空节点", "全部迁走", "退避させて"}},
	{"rollout_pause", []string{"pause", "pause the rollout of", "pause rollouts of"}, []string{"暂停", "一時停止", "ポーズ", "ロールアウト…止めて", "デプロイ…止めて", "停…发布", "发布…停"}},
	{"rollout_resume", []string{"resume", "unpause", "resume the rollout of", "resume rollouts of"}, []string{"恢复发布", "继续发布", "取消暂停", "ロールアウトを再開", "を再開して", "ロールアウト…再開", "继续…发布", "恢复…发布"}},
	{"run_cronjob", []string{"run cronjob", "run the cronjob", "run @ now", "run @ once", "trigger"}, []string{"立即运行", "立即执行", "运行一次", "执行一次", "今すぐ実行", "一度実行"}},
	{"untaint", []string{"untaint", "remove … taint", "remove … taints", "drop … taint", "clear … taint", "take … taint"}, []string{"去掉…污点", "删除…污点", "移除…污点", "清除…污点", "取消…污点", "テイントを外", "テイントを削除", "テイントを消", "テイントを解除"}},
	{"taint", []string{"taint", "put … taint", "add … taint", "set … taint"}, []string{"打污点", "打上…污点", "加污点", "加上…污点", "加一个…污点", "添加…污点", "设置…污点", "テイントを付け", "テイントをつけ", "テイントを追加", "テイントを設定", "taint付け", "taintを付け", "taintをつけ", "taintを追加", "taintを設定", "テイント付け", "taintつけ", "テイントつけ"}},
	{"unlabel", []string{"unlabel", "remove … label", "drop … label", "delete … label", "take … label"}, []string{"去掉…标签", "删除…标签", "删掉…标签", "移除…标签", "取消…标签", "ラベルを外", "ラベルを削除", "ラベルを消"}},
	{"label", []string{"label", "put … label", "add … label", "set … label", "give @ … label", "tag @ with =", "attach … label"}, []string{"打标签", "打上…标签", "加标签", "加上…标签", "加一个…标签", "添加…标签", "设置…标签", "贴标签", "贴上…标签", "ラベルを付け", "ラベルをつけ", "ラベルを追加", "ラベルを設定", "ラベル付け", "label付け", "labelを付け", "labelをつけ", "labelを追加", "labelを設定", "labelつけ", "ラベルつけ"}},
	{"unannotate", []string{"remove … annotation", "drop … annotation", "delete … annotation"}, []string{"去掉…注解", "删除…注解", "删掉…注解", "移除…注解", "アノテーションを外", "アノテーションを削除", "アノテーションを消"}},
	{"annotate", []string{"annotate", "put … annotation", "add … annotation", "set … annotation", "attach … annotation"}, []string{"加注解", "加上…注解", "加一个…注解", "添加…注解", "设置…注解", "注解为", "アノテーションを付け", "アノテーションをつけ", "アノテーションを追加", "アノテーションを設定"}},
	{"delete_pod", []string{"delete … pod", "delete @", "delete … @", "kill … pod", "kill @", "kill … @", "remove pod", "remove the pod"}, []string{"删除pod", "删掉pod", "杀掉", "podを削除", "ポッドを削除", "を削除", "消して", "消去して", "潰して"}},
	{"refused", []string{"exec", "exec into", "ssh", "ssh into", "open a shell", "get a shell", "shell into", "apply"}, []string{"进入容器", "进容器", "シェルを開"}},
	{"acknowledge", []string{"acknowledge", "ack", "i am on it", "i take it", "i take this", "i have it", "i will take it", "i will take this"}, []string{"认领", "我来处理", "我在处理", "対応します", "引き受け"}},
	{"silence", []string{"silence", "mute", "snooze"}, []string{"静默", "静音", "屏蔽", "ミュート", "サイレンス", "静かに"}},
	{"fix", []string{"fix", "mend", "repair", "suggest", "propose"}, []string{"修复", "修一下", "给个方案", "直して", "修正して", "対処して"}},
}

// inflected are the verbs of changes as they stand in questions and statements.
var inflected = []intent{
	{"rollback", []string{"roll back", "rolled back", "rolling back", "rollback", "roll @ back", "revert", "reverted", "undo"}, []string{"回滚", "回退", "ロールバック", "巻き戻"}},
	{"restart", []string{"restart", "restarts", "restarted", "restarting", "bounce", "bounced"}, []string{"重启", "重新启动", "再起動"}},
	{"scale", []string{"scale", "scales", "scaled", "scaling"}, []string{"扩容", "缩容", "扩到", "缩到", "スケール"}},
	{"set_image", []string{"set image", "set the image", "change the image"}, []string{"镜像", "イメージ"}},
	{"cordon", []string{"cordon", "cordoned", "uncordon", "uncordoned"}, []string{"调度", "スケジュール"}},
	{"drain", []string{"drain", "drained", "draining"}, []string{"排空", "ドレイン"}},
	{"rollout_pause", []string{"pause", "paused", "resume", "resumed", "unpaused"}, []string{"暂停", "一時停止"}},
	{"delete_pod", []string{"delete", "deleted", "kill", "killed"}, []string{"删除", "杀掉", "削除"}},
}

// kinds are the words for kinds in the languages whose words kubectl does not know, longer ones first.
var kinds = []struct{ word, kind string }{
	{"定时任务", "CronJob"}, {"命名空间", "Namespace"}, {"名前空間", "Namespace"}, {"容器组", "Pod"}, {"デプロイメント", "Deployment"}, {"サービス", "Service"},
	{"ノード", "Node"}, {"ポッド", "Pod"}, {"ジョブ", "Job"}, {"节点", "Node"}, {"服务", "Service"}, {"部署", "Deployment"}, {"任务", "Job"}, {"入口", "Ingress"},
	{"机器", "Node"}, {"主机", "Node"}, {"マシン", "Node"}, {"サーバ", "Node"}, {"配置", "ConfigMap"}, {"设定", "ConfigMap"}, {"イングレス", "Ingress"},
}

// common are English words of questions that no name should be sought in, beside the words of the intents.
var common = func() map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(`
		a about after again all also am an and any anything are as at atl be because been before behind being between both but by can
		cannot check come coming could currently customer customers did do does doing done during each else error errors every everything
		failure failures for from further get gets give go goes going got had has have having he help her here him his how i if in into
		is it its just keep keeps kubectl last late lately latest let like lines look looking made make many may me might minute minutes
		mine more most much my need needs new newest next night no none not nothing now of off on once one ones only open or other our out
		over own page paged people per please point previous prod production put quick quickly rather really recent recently right run
		running same say see send service services set she should since so some somebody someone something soon still such suddenly take
		team tell than thank thanks that the their them then there these they thing things think this those through time to today tonight
		too total try under until us use used user users uses using very want was way we well went were what when where which while who
		whole whose why will with within without work working works would yesterday yet you your crash crashes crashed bad worse worst
		panic exception fatal timeout timeouts ready pod pods node nodes deployment deployments namespace namespaces container containers
		cluster clusters hour hours day days week weeks second seconds end start started starting begin began part side far many few
		critical high low medium severity live dead back away safe unsafe ever always never also maybe ok great good fine`) {
		out[w] = true
	}
	for _, list := range [][]intent{asks, acts, inflected} {
		for _, i := range list {
			for _, phrase := range i.words {
				for w := range strings.FieldsSeq(phrase) {
					out[w] = true
				}
			}
		}
	}
	return out
}()
