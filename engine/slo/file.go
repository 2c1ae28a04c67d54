package slo

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bukahou/atlhyper/engine/entity"
)

// fileObjective is one entry of the file:
//
//	objectives:
//	- service: shop/checkout          # NAMESPACE/NAME; or ingress: shop/shop, with a route of it
//	  cluster: prod-eu                # every cluster when left out
//	  layer: mesh                     # or ingress; what measures it when left out
//	  availability: 99.9              # percent
//	  latency: {threshold: 300ms, target: 99}
//	  window: 30d
type fileObjective struct {
	Service      string `json:"service"`
	Ingress      string `json:"ingress"`
	Route        string `json:"route"`
	Cluster      string `json:"cluster"`
	Layer        string `json:"layer"`
	Availability number `json:"availability"`
	Latency      *struct {
		Threshold string `json:"threshold"`
		Target    number `json:"target"`
	} `json:"latency"`
	Window string `json:"window"`
}

// number takes a percentage with or without quotes, and keeps its digits.
type number string

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(raw []byte) error {
	*n = number(strings.Trim(string(raw), `"`))
	return nil
}

// ParseFile reads a file of objectives. An entry that makes no sense is an error which names it: a promise that was
// silently dropped is worse than a start that fails.
func ParseFile(raw []byte) ([]Objective, error) {
	var file struct {
		Objectives []fileObjective `json:"objectives"`
	}
	if err := yaml.UnmarshalStrict(raw, &file); err != nil {
		return nil, fmt.Errorf("read objectives: %w", err)
	}
	var out []Objective
	for i, f := range file.Objectives {
		os, err := f.objectives()
		if err != nil {
			return nil, fmt.Errorf("objective %d (%s%s): %w", i+1, f.Service, f.Ingress, err)
		}
		for _, o := range os {
			for _, have := range out {
				if have.Key() == o.Key() {
					return nil, fmt.Errorf("objective %d (%s%s): its %s stands there twice", i+1, f.Service, f.Ingress, o.Kind)
				}
			}
			out = append(out, o)
		}
	}
	return out, nil
}

func (f fileObjective) objectives() ([]Objective, error) {
	kind, name := entity.Service, f.Service
	switch {
	case f.Service != "" && f.Ingress != "":
		return nil, errors.New("name a service or an ingress, not both")
	case f.Ingress != "":
		kind, name = entity.Ingress, f.Ingress
	case f.Service == "":
		return nil, errors.New("name a service or an ingress, as NAMESPACE/NAME")
	case f.Route != "":
		return nil, errors.New("a route is a route of an ingress")
	}
	namespace, name, ok := strings.Cut(name, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return nil, errors.New("write it as NAMESPACE/NAME")
	}
	window, err := ParseWindow(f.Window)
	if err != nil {
		return nil, err
	}
	base := Objective{
		Entity: entity.Ref{Cluster: f.Cluster, Kind: kind, Namespace: namespace, Name: name},
		Layer:  f.Layer, Route: f.Route, Window: window, Source: FromFile,
	}
	var out []Objective
	add := func(o Objective, target string) error {
		if o.Target, err = ParseTarget(target); err != nil {
			return err
		}
		if err := o.Check(); err != nil {
			return err
		}
		out = append(out, o)
		return nil
	}
	if f.Availability != "" {
		o := base
		o.Kind = Availability
		if err := add(o, string(f.Availability)); err != nil {
			return nil, err
		}
	}
	if f.Latency != nil {
		o := base
		o.Kind = Latency
		if o.Threshold, err = time.ParseDuration(f.Latency.Threshold); err != nil {
			return nil, fmt.Errorf("latency: %q is no threshold, such as 300ms", f.Latency.Threshold)
		}
		if err := add(o, string(f.Latency.Target)); err != nil {
			return nil, fmt.Errorf("latency: %w", err)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("it promises neither availability nor latency")
	}
	return out, nil
}
