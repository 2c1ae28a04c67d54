package fleet_test

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

var epoch = time.Date(2026, 3, 3, 2, 45, 0, 0, time.UTC)

// deployment gives a Deployment as its controller has observed it.
func deployment(name, uid, image, hash, revision string, replicas int32) *report.Resource {
	return &report.Resource{
		Kind: entity.Deployment, Namespace: "shop", Name: name, Uid: uid, Generation: 7,
		Detail: &report.Resource_Workload{Workload: &report.Workload{
			Desired: replicas, ObservedGeneration: 7, Revision: revision, TemplateHash: hash, Images: map[string]string{"app": image},
		}},
	}
}

func replicaSet(name string, owner *report.Resource, image, hash, revision string, created time.Time) *report.Resource {
	return &report.Resource{
		Kind: entity.ReplicaSet, Namespace: owner.GetNamespace(), Name: name, Uid: "uid-" + name, Created: timestamppb.New(created),
		Owners: []*report.Owner{{Kind: owner.GetKind(), Name: owner.GetName(), Uid: owner.GetUid(), Controller: true}},
		Detail: &report.Resource_Workload{Workload: &report.Workload{Revision: revision, TemplateHash: hash, Images: map[string]string{"app": image}}},
	}
}

func edit(r *report.Resource, change func(*report.Resource)) *report.Resource {
	out := proto.CloneOf(r)
	change(out)
	return out
}

func upsert(rs ...*report.Resource) *report.ReportRequest {
	return &report.ReportRequest{Upserts: rs}
}

func resync(rs ...*report.Resource) *report.ReportRequest {
	return &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: rs}
}

func newCluster(id string) *fleet.Cluster { return fleet.New(fleet.Config{}).Join(id) }

// The universe that random clusters are drawn from is small, so that names collide, owners form circles and uids change.
var (
	someKinds  = []string{entity.Deployment, entity.ReplicaSet, entity.StatefulSet, entity.Pod, entity.Node, entity.Service, "EndpointSlice", "ConfigMap"}
	namespaces = []string{"shop", "billing"}
	names      = []string{"a", "b", "c"}
)

func anyKey(t *rapid.T) *report.ResourceKey {
	k := &report.ResourceKey{Kind: rapid.SampledFrom(someKinds).Draw(t, "kind"), Name: rapid.SampledFrom(names).Draw(t, "name")}
	if k.GetKind() != entity.Node {
		k.Namespace = rapid.SampledFrom(namespaces).Draw(t, "namespace")
	}
	return k
}

func uidOf(k *report.ResourceKey, life int) string {
	return fmt.Sprintf("%s/%s/%s#%d", k.GetKind(), k.GetNamespace(), k.GetName(), life)
}

func anyResource(t *rapid.T) *report.Resource {
	k := anyKey(t)
	r := &report.Resource{Kind: k.GetKind(), Namespace: k.GetNamespace(), Name: k.GetName(), Uid: uidOf(k, rapid.IntRange(0, 1).Draw(t, "life")), Generation: 1}
	for range rapid.IntRange(0, 2).Draw(t, "owners") {
		o := anyKey(t)
		r.Owners = append(r.Owners, &report.Owner{Kind: o.GetKind(), Name: o.GetName(), Uid: uidOf(o, rapid.IntRange(0, 1).Draw(t, "owner life")), Controller: rapid.Bool().Draw(t, "controller")})
	}
	if rapid.IntRange(0, 9).Draw(t, "malformed") == 0 {
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			return nil
		case 1:
			r.Name = ""
		case 2:
			r.Kind = ""
		case 3:
			r.Owners = append(r.Owners, nil, &report.Owner{Controller: true})
			r.Uid = ""
		}
	}
	digit := func(what string) string { return strconv.Itoa(rapid.IntRange(1, 2).Draw(t, what)) }
	switch r.GetKind() {
	case entity.Deployment, entity.ReplicaSet, entity.StatefulSet:
		r.Detail = &report.Resource_Workload{Workload: &report.Workload{
			Desired: int32(rapid.IntRange(1, 2).Draw(t, "desired")), TemplateHash: "t" + digit("hash"), Revision: digit("revision"),
			Images: map[string]string{"app": "app:v" + digit("image")}, ObservedGeneration: int64(rapid.IntRange(0, 1).Draw(t, "observed")),
		}}
	case entity.Pod:
		r.Detail = &report.Resource_Pod{Pod: &report.Pod{Node: rapid.SampledFrom(names).Draw(t, "node")}}
	case entity.Node:
		r.Detail = &report.Resource_Node{Node: &report.Node{Unschedulable: rapid.Bool().Draw(t, "cordoned")}}
	case "EndpointSlice":
		s := &report.EndpointSlice{Service: rapid.SampledFrom(names).Draw(t, "service")}
		for range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			s.Endpoints = append(s.Endpoints, &report.Endpoint{Pod: rapid.SampledFrom(names).Draw(t, "endpoint")})
		}
		r.Detail = &report.Resource_EndpointSlice{EndpointSlice: s}
	case "ConfigMap":
		r.Detail = &report.Resource_Config{Config: &report.Config{Hash: digit("config")}}
	}
	return r
}

// anyBatches gives a history that begins as every session does, with a resync, perhaps of several batches.
func anyBatches(t *rapid.T) []*report.ReportRequest {
	out := []*report.ReportRequest{{ResyncBegin: true}}
	open := true
	for range rapid.IntRange(1, 12).Draw(t, "batches") {
		b := &report.ReportRequest{Upserts: rapid.SliceOfN(rapid.Custom(anyResource), 0, 6).Draw(t, "upserts")}
		b.Deletes = rapid.SliceOfN(rapid.Custom(anyKey), 0, 2).Draw(t, "deletes")
		switch rapid.IntRange(0, 3).Draw(t, "resync") {
		case 0:
			b.ResyncBegin, open = true, true
		case 1:
			b.ResyncEnd, open = open, false
		}
		out = append(out, b)
	}
	return out
}

// model is a cluster's state as the protocol's sentences give it, without any index.
type model struct {
	have    map[string]*report.Resource
	brought map[string]bool // nil outside a resync
}

func keyOf(kind, namespace, name string) string { return kind + "\x00" + namespace + "\x00" + name }

func (m *model) apply(b *report.ReportRequest) {
	if b.GetResyncBegin() {
		m.brought = map[string]bool{}
	}
	for _, r := range b.GetUpserts() {
		if r.GetKind() == "" || r.GetName() == "" {
			continue
		}
		k := keyOf(r.GetKind(), r.GetNamespace(), r.GetName())
		m.have[k] = r
		if m.brought != nil {
			m.brought[k] = true
		}
	}
	for _, d := range b.GetDeletes() {
		delete(m.have, keyOf(d.GetKind(), d.GetNamespace(), d.GetName()))
	}
	if b.GetResyncEnd() && m.brought != nil {
		for k := range m.have {
			if !m.brought[k] {
				delete(m.have, k)
			}
		}
		m.brought = nil
	}
}

// all lists what a cluster holds.
func all(c *fleet.Cluster) map[string]*report.Resource {
	out := map[string]*report.Resource{}
	for _, kind := range someKinds {
		for _, r := range c.List(kind, "") {
			out[keyOf(r.GetKind(), r.GetNamespace(), r.GetName())] = r
		}
	}
	return out
}
