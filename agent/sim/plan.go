package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The workloads' kinds.
const (
	deployment  = "Deployment"
	statefulSet = "StatefulSet"
)

// role is what a service does in the shop. Names vary by seed, roles do not.
type role int

const (
	frontend role = iota
	checkout
	search
	recommendations
	cart
	catalog
	payments
	shipping
	inventory
	currency
	cache
	database
	batch
	roles // how many there are
)

// call is one edge of the call graph: for each of its own requests a service sends perRequest to another, and hard of
// that one's errors become its own (a page without recommendations is still a page).
type call struct {
	to               role
	perRequest, hard float64
}

// traits are what every shop's service of a role has in common.
type traits struct {
	names      []string
	kind       string
	replicas   int
	latency    time.Duration // own time per request at rest, without callees
	errors     float64       // own error ratio at rest
	cpuLimit   float64       // cores
	memLimit   float64       // MiB
	startup    time.Duration // shortest time from start to ready; each pod adds up to half
	calls      []call
	slowToRoll bool // maxUnavailable 25 % instead of 50 %
	language   string
}

// table gives the roles in an order in which every caller stands before its callees.
func table() [roles]traits {
	return [roles]traits{
		frontend: {names: []string{"storefront", "web", "frontend", "webshop"}, kind: deployment, replicas: 6, latency: 9 * time.Millisecond, errors: 0.0006,
			cpuLimit: 1, memLimit: 512, startup: 6 * time.Second, slowToRoll: true, language: "node",
			calls: []call{{checkout, 0.07, 1}, {search, 0.2, 0.6}, {recommendations, 0.3, 0.02}, {cart, 0.4, 0.9}, {catalog, 0.9, 1}, {currency, 0.6, 0.5}}},
		checkout: {names: []string{"checkout", "orders", "order-api"}, kind: deployment, replicas: 5, latency: 22 * time.Millisecond, errors: 0.0010,
			cpuLimit: 0.8, memLimit: 512, startup: 8 * time.Second, language: "java",
			calls: []call{{cart, 1, 1}, {payments, 1, 1}, {shipping, 1, 0.8}, {inventory, 1.6, 1}, {currency, 1, 0.8}}},
		search: {names: []string{"search", "product-search", "finder"}, kind: deployment, replicas: 4, latency: 18 * time.Millisecond, errors: 0.0012,
			cpuLimit: 1, memLimit: 768, startup: 9 * time.Second, slowToRoll: true, language: "java",
			calls: []call{{catalog, 0.5, 0.7}, {cache, 1, 0.3}}},
		recommendations: {names: []string{"recommendations", "recommender", "suggestions"}, kind: deployment, replicas: 4, latency: 14 * time.Millisecond, errors: 0.0015,
			cpuLimit: 0.8, memLimit: 768, startup: 10 * time.Second, language: "python",
			calls: []call{{catalog, 0.4, 0.6}}},
		cart: {names: []string{"cart", "basket", "cart-api"}, kind: deployment, replicas: 5, latency: 5 * time.Millisecond, errors: 0.0006,
			cpuLimit: 0.5, memLimit: 384, startup: 5 * time.Second, slowToRoll: true, language: "go",
			calls: []call{{cache, 2, 0.9}}},
		catalog: {names: []string{"catalog", "products", "product-catalog"}, kind: deployment, replicas: 6, latency: 7 * time.Millisecond, errors: 0.0006,
			cpuLimit: 0.8, memLimit: 512, startup: 6 * time.Second, language: "go",
			calls: []call{{database, 0.5, 1}, {cache, 1, 0.2}}},
		payments: {names: []string{"payments", "billing", "payment-gateway"}, kind: deployment, replicas: 5, latency: 60 * time.Millisecond, errors: 0.0020,
			cpuLimit: 0.5, memLimit: 512, startup: 8 * time.Second, language: "java",
			calls: []call{{database, 1, 1}}},
		shipping: {names: []string{"shipping", "delivery", "fulfillment"}, kind: deployment, replicas: 3, latency: 16 * time.Millisecond, errors: 0.0012,
			cpuLimit: 0.4, memLimit: 256, startup: 5 * time.Second, slowToRoll: true, language: "go"},
		inventory: {names: []string{"inventory", "stock", "warehouse"}, kind: deployment, replicas: 4, latency: 8 * time.Millisecond, errors: 0.0008,
			cpuLimit: 0.5, memLimit: 384, startup: 6 * time.Second, language: "go",
			calls: []call{{database, 1, 1}}},
		currency: {names: []string{"currency", "fx-rates", "pricing"}, kind: deployment, replicas: 3, latency: 3 * time.Millisecond, errors: 0.0003,
			cpuLimit: 0.4, memLimit: 256, startup: 5 * time.Second, language: "node"},
		cache: {names: []string{"redis", "valkey", "session-cache"}, kind: statefulSet, replicas: 3, latency: 900 * time.Microsecond, errors: 0.0001,
			cpuLimit: 0.5, memLimit: 512, startup: 5 * time.Second, language: "redis"},
		database: {names: []string{"postgres", "shop-db", "orders-db"}, kind: statefulSet, replicas: 3, latency: 4 * time.Millisecond, errors: 0.0002,
			cpuLimit: 2, memLimit: 2048, startup: 10 * time.Second, language: "postgres"},
		batch: {names: []string{"reports", "report-builder", "analytics-export"}, kind: deployment, replicas: 2,
			cpuLimit: 7, memLimit: 2048, startup: 5 * time.Second, slowToRoll: true, language: "python"},
	}
}

// service is one service of this shop, with its workload of the same name.
type service struct {
	traits
	role     role
	name     string
	tags     []string // image tags that exist, oldest first; the last one is not rolled out yet
	broken   string   // a tag that somebody might ask for and that was never pushed
	revision int      // how many of tags were rolled out before the shop opens
	perPod   float64  // requests a second of one pod at rest
	cpuBase  float64  // cores of an idle pod
	cpuCost  float64  // core seconds of one request
	memory   float64  // share of the limit in use
	atRest   float64  // share of its capacity that a pod uses at rest
}

func (s *service) image(registry, tag string) string { return registry + "/" + s.name + ":" + tag }

// plan is everything about a shop that follows from its seed alone.
type plan struct {
	namespace string
	registry  string
	services  [roles]*service
	nodes     []string
	host      string  // of the ingress
	load      float64 // requests a second at the ingress, averaged over a day
	peakHour  float64 // hour of the day with the most requests, UTC
	canary    string  // a value that no agent may ever send
}

// draw makes a generator for one purpose of one seed.
func draw(seed uint64, purpose string) *rand.Rand {
	return rand.New(rand.NewPCG(seed, hash64(purpose)))
}

// hash64 is FNV-1a.
func hash64(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// around gives a value within a share of the middle.
func around(r *rand.Rand, middle, share float64) float64 {
	return middle * (1 + share*(2*r.Float64()-1))
}

// newPlan draws a shop.
func newPlan(seed uint64, namespace string) *plan {
	r := draw(seed, "plan")
	p := &plan{namespace: pick(r, []string{"shop", "store", "market", "retail"})}
	if namespace != "" {
		p.namespace = namespace
	}
	p.registry = "registry.example.com/" + p.namespace
	p.host = p.namespace + ".example.com"
	p.load = 90 + 60*r.Float64()
	p.peakHour = 11 + 8*r.Float64()
	p.canary = fmt.Sprintf("canary-%016x", r.Uint64())
	switch r.IntN(3) {
	case 0:
		for i := range 4 {
			p.nodes = append(p.nodes, fmt.Sprintf("worker-%d", i+1))
		}
	case 1:
		for i := range 4 {
			p.nodes = append(p.nodes, fmt.Sprintf("ip-10-0-%d-%d", 10+i, 10+r.IntN(200)))
		}
	default:
		pool := fmt.Sprintf("%06x", r.Uint32()&0xffffff)
		for range 4 {
			p.nodes = append(p.nodes, fmt.Sprintf("pool-%s-%04x", pool, r.Uint32()&0xffff))
		}
	}
	for i, t := range table() {
		s := &service{traits: t, role: role(i), name: pick(r, t.names)}
		if s.kind == deployment && s.role != batch && s.replicas > 3 {
			s.replicas += r.IntN(3) - 1
		}
		major, minor, patch := 1+r.IntN(3), 2+r.IntN(20), r.IntN(6)
		for step := range 4 {
			if step > 0 && r.IntN(2) == 0 {
				minor, patch = minor+1, 0
			} else {
				patch++
			}
			s.tags = append(s.tags, fmt.Sprintf("v%d.%d.%d", major, minor, patch))
		}
		s.broken = fmt.Sprintf("v%d.%d.%d", major, minor, patch+1+r.IntN(2))
		s.revision = 1 + r.IntN(3)
		if s.kind == statefulSet {
			s.revision = 1
		}
		s.memory = around(r, 0.5, 0.2)
		s.atRest = around(r, 0.44, 0.06)
		s.latency = time.Duration(around(r, float64(s.latency), 0.2))
		p.services[i] = s
	}
	p.size(r)
	return p
}

// size gives each service the CPU per request that puts its pods at rest on about a third of their limit.
func (p *plan) size(r *rand.Rand) {
	rates := p.rates(p.load, func(role) float64 { return 1 })
	for i, s := range p.services {
		if s.role == batch {
			s.cpuBase = around(r, 1.2, 0.15)
			continue
		}
		s.perPod = rates[i] / float64(s.replicas)
		s.cpuBase = 0.015 * s.cpuLimit
		s.cpuCost = (around(r, 0.30, 0.15)*s.cpuLimit - s.cpuBase) / s.perPod
	}
}

// rates gives the requests a second that each service receives when the frontend receives load. serving is the share of
// its requests that a service answers with work of its own: one without pods calls nobody.
func (p *plan) rates(load float64, serving func(role) float64) [roles]float64 {
	var out [roles]float64
	out[frontend] = load
	for i, s := range p.services {
		working := out[i] * serving(role(i))
		for _, c := range s.calls {
			out[c.to] += working * c.perRequest
		}
	}
	return out
}
