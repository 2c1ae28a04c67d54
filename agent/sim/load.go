package sim

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// view is what the load model needs to know of the cluster at one moment.
type view struct {
	pods  []podView
	nodes []nodeView
}

type podView struct {
	pod      *corev1.Pod // as stored: read only
	service  *service    // nil outside the shop
	node     int         // index into nodes, -1 without one
	running  bool        // a process is there
	routable bool        // callers are sent to it
	hung     bool        // it is on a node that fell silent: callers wait for nothing
	spins    bool        // it takes all CPU that it can get
	errors   float64     // ratio of its requests that a fault fails
	slow     float64     // factor that a fault puts on its own latency
	memory   float64     // share of its limit in use
	cpuLimit float64     // cores
	memLimit float64     // bytes
}

type nodeView struct {
	name   string
	silent bool
}

// look takes the view.
func (s *Shop) look(tx *apiserver.Tx) view {
	var v view
	index := map[string]int{}
	for node := range apiserver.All[*corev1.Node](tx, apiserver.Nodes) {
		index[node.Name] = len(v.nodes)
		v.nodes = append(v.nodes, nodeView{node.Name, s.kubelets.Stopped(node.Name)})
	}
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		i := s.info(pod)
		p := podView{pod: pod, service: i.service, node: -1, slow: 1, memory: 0.35}
		if n, ok := index[pod.Spec.NodeName]; ok {
			p.node = n
			p.hung = v.nodes[n].silent
		}
		run, _, ran := s.kubelets.Runs(pod.UID)
		p.running = ran && run.Finished.IsZero()
		p.routable = apiserver.Ready(pod) && pod.DeletionTimestamp == nil
		for c := range pod.Spec.Containers {
			limits := pod.Spec.Containers[c].Resources.Limits
			p.cpuLimit += float64(limits.Cpu().MilliValue()) / 1000
			p.memLimit += float64(limits.Memory().Value())
		}
		if p.service != nil {
			p.memory = p.service.memory + 0.06*(spread(pod, "memory")-0.5)
		}
		for _, f := range s.faults {
			f.strain(&p, i, run.Started, tx.Now())
		}
		v.pods = append(v.pods, p)
	}
	if len(s.known) > 4*len(v.pods) {
		s.known = map[types.UID]podInfo{}
	}
	return v
}

// strain puts a fault's effect on a pod that is up.
func (f *fault) strain(p *podView, i podInfo, started, now time.Time) {
	if f.scenario == noisyNeighbour && f.begun && p.pod.UID == f.pod {
		p.spins = true
		return
	}
	if !f.strikes(i) || !p.running {
		return
	}
	switch f.scenario {
	case badRollout:
		p.errors = 0.28 + 0.1*f.strength
		p.slow = 2 + f.strength
	case oomkilled:
		p.memory = min(0.995, max(p.memory, f.leak(p.pod, i, started, now)))
		p.slow = 1 + 2*max(0, p.memory-0.85)/0.15 // the collector of garbage works in vain
	case slowDependency:
		p.errors = 0.01
		switch f.target.role {
		case cache:
			p.slow = 25 + 25*f.strength
		case database:
			p.slow = 12 + 13*f.strength
		default:
			p.slow = 14 + 16*f.strength
		}
	}
}

// flow is what the load model says of one moment, without noise.
type flow struct {
	services [roles]serviceFlow
	cpu      []float64 // cores in use, by pod of the view
	throttle []float64 // share of time a pod is throttled
	nodes    []nodeFlow
	entry    float64 // requests a second at the ingress
}

type serviceFlow struct {
	rate    float64 // requests a second that its callers send
	errors  float64 // ratio that fails, as its callers see it
	latency float64 // seconds, mean, as its callers see it
	serving float64 // share of requests that get an answer from a pod
}

type nodeFlow struct {
	cpu      float64 // share in use
	memory   float64
	pressure float64 // demand beyond the cores, as a share of them
}

const (
	systemCores   = 0.3  // of a node, outside pods
	systemMemory  = 1300 // MiB
	connectWait   = 1.0  // seconds a caller waits for a pod that is gone before it tries another
	refusedAfter  = 0.0015
	overloadLimit = 0.93 // share of a pod's capacity beyond which requests fail
)

// busy is the slowdown by queueing at a share of the capacity: next to none up to a half, steep from 0.85 on.
func busy(load float64) float64 {
	load = min(load, 0.97)
	return 1 + 0.35*math.Pow(load, 4)/(1-load)
}

// entryRate is the load at the ingress: a mild daily wave around the plan's average.
func (p *plan) entryRate(at time.Time) float64 {
	hour := float64(at.Unix()%86400) / 3600
	return p.load * (1 + 0.18*math.Cos((hour-p.peakHour)*math.Pi/12))
}

// solve runs the load model: requests flow down the call graph, CPU and waiting follow, errors and latency flow back up.
func (p *plan) solve(v view, at time.Time) flow {
	f := flow{entry: p.entryRate(at), cpu: make([]float64, len(v.pods)), throttle: make([]float64, len(v.pods)), nodes: make([]nodeFlow, len(v.nodes))}
	var routable, hung [roles]int
	for i := range v.pods {
		if q := &v.pods[i]; q.service != nil && q.routable {
			routable[q.service.role]++
			if q.hung {
				hung[q.service.role]++
			}
		}
	}
	alive := func(r role) float64 {
		if routable[r] == 0 {
			return 0
		}
		return 1 - 0.8*float64(hung[r])/float64(routable[r]) // some calls are tried again elsewhere
	}
	rates := p.rates(f.entry, alive)
	p.spendCPU(&f, v, rates, routable)
	// Callees stand behind their callers in the plan, so walking it backwards finds every callee's answer ready.
	for i := int(roles) - 1; i >= 0; i-- {
		s := p.services[i]
		out := &f.services[i]
		out.rate, out.serving = rates[i], alive(role(i))
		if routable[i] == 0 {
			out.errors, out.latency = 1, refusedAfter
			continue
		}
		var own, failed float64
		up := 0
		for j := range v.pods {
			q := &v.pods[j]
			if q.service != s || !q.routable || q.hung {
				continue
			}
			slow := q.slow
			if q.node >= 0 {
				slow *= 1 + 6*f.nodes[q.node].pressure
			}
			own += slow
			failed += q.errors
			up++
		}
		if up == 0 {
			out.errors, out.latency = 0.97, connectWait
			continue
		}
		lost := float64(hung[i]) / float64(routable[i])
		load := rates[i] / (float64(up) * s.perPod) * s.atRest
		own = own / float64(up) * s.latency.Seconds() * busy(load) / busy(s.atRest)
		well := (1 - s.errors) * (1 - failed/float64(up))
		if load > overloadLimit {
			well *= overloadLimit / load
		}
		for _, c := range s.calls {
			callee := &f.services[c.to]
			own += callee.latency * c.perRequest
			well *= 1 - min(1, c.perRequest)*c.hard*callee.errors
		}
		out.latency = own + lost*connectWait
		out.errors = 1 - well*(1-0.8*lost)
	}
	return f
}

// spendCPU shares the cores of each node among its pods. Beyond a node's cores everybody waits.
func (p *plan) spendCPU(f *flow, v view, rates [roles]float64, routable [roles]int) {
	demand := make([]float64, len(v.nodes))
	memory := make([]float64, len(v.nodes))
	for i := range v.pods {
		q := &v.pods[i]
		if !q.running || q.node < 0 || q.hung {
			continue
		}
		switch s := q.service; {
		case s == nil:
			f.cpu[i] = 0.12 * q.cpuLimit
		case q.spins:
			f.cpu[i] = 0.95 * q.cpuLimit
		default:
			f.cpu[i] = s.cpuBase
			if q.routable && routable[s.role] > 0 {
				f.cpu[i] += s.cpuCost * rates[s.role] / float64(routable[s.role])
			}
		}
		if f.cpu[i] > 0.9*q.cpuLimit {
			f.throttle[i] = min(0.8, (f.cpu[i]/q.cpuLimit-0.9)*2)
			f.cpu[i] = min(f.cpu[i], 0.97*q.cpuLimit)
		}
		demand[q.node] += f.cpu[i]
		memory[q.node] += q.memory * q.memLimit / (1 << 20)
	}
	for n := range v.nodes {
		total := demand[n] + systemCores
		f.nodes[n] = nodeFlow{cpu: min(total/nodeCores, 0.975), memory: (memory[n] + systemMemory) / nodeMemory}
		f.nodes[n].pressure = max(0, total/nodeCores-0.95)
	}
	for i := range v.pods {
		q := &v.pods[i]
		if q.node < 0 || f.cpu[i] == 0 {
			continue
		}
		pressure := f.nodes[q.node].pressure
		switch {
		case pressure == 0:
		case q.spins:
			// The pod that spins gets what is left of the node.
			f.cpu[i] = max(0.5*f.cpu[i], f.cpu[i]-(demand[q.node]+systemCores-0.975*nodeCores))
		default:
			f.throttle[i] = max(f.throttle[i], min(0.7, 1.5*pressure))
		}
	}
}

// moment is a flow kept for the logs, which tell of the past.
type moment struct {
	at       time.Time
	services [roles]serviceFlow
}

const remembered = 720 // moments: two hours

// remember keeps the present flow.
func (s *Shop) remember(tx *apiserver.Tx) {
	if len(s.past) >= remembered {
		s.past = append(s.past[:0:0], s.past[remembered/2:]...)
	}
	s.past = append(s.past, moment{s.clock, s.plan.solve(s.look(tx), s.clock).services})
}
