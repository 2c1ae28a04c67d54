package planner

import (
	_ "embed"
	"strings"

	"sigs.k8s.io/yaml"
)

// intent is one thing that can be asked, with the words that ask it.
type intent struct {
	Name  string   `json:"name"`
	Words []string `json:"en,omitempty"`
	Han   []string `json:"han,omitempty"` // Chinese and Japanese
}

// The lists of words.yaml, which says what each is.
var asks, acts, inflected, hints = func() (_, _, _ []intent, _ map[string]intent) {
	var lists struct{ Asks, Acts, Inflected, Hints []intent }
	if err := yaml.UnmarshalStrict(words, &lists); err != nil {
		panic(err) // embedded at build time
	}
	byName := map[string]intent{}
	for _, h := range lists.Hints {
		byName[h.Name] = h
	}
	return lists.Asks, lists.Acts, lists.Inflected, byName
}()

//go:embed words.yaml
var words []byte

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
			for _, phrase := range i.Words {
				for w := range strings.FieldsSeq(phrase) {
					out[w] = true
				}
			}
		}
	}
	return out
}()
