package people

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// File is the people file: who has which role, kept where a team keeps its configuration.
//
//	people:
//	  - name: mia
//	    ids: [slack:U123, discord:77, email:mia@example.com]
//	    grants:
//	      - role: operator
//	        cluster: prod-eu
//	        namespace: shop
//	groups:
//	  - id: slack:S123
//	    grants:
//	      - role: operator
//
// The ids of one person are one human: one of them cannot approve what another asked for.
type File struct {
	grants []Grant
	humans map[string]string
}

type fileGrant struct {
	Role      string `json:"role"`
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

// ReadFile reads a people file. An unknown field is an error: a misspelt "namespace" would widen a grant.
func ReadFile(path string) (*File, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the people file: %w", err)
	}
	f, err := ParseFile(raw)
	if err != nil {
		return nil, fmt.Errorf("people file %s: %w", path, err)
	}
	return f, nil
}

// ParseFile reads the text of a people file.
func ParseFile(raw []byte) (*File, error) {
	var in struct {
		People []struct {
			Name   string      `json:"name"`
			IDs    []string    `json:"ids"`
			Grants []fileGrant `json:"grants"`
		} `json:"people"`
		Groups []struct {
			ID     string      `json:"id"`
			Grants []fileGrant `json:"grants"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(raw, &in); err != nil {
		return nil, err
	}
	f := &File{humans: map[string]string{}}
	for _, p := range in.People {
		if p.Name == "" || len(p.IDs) == 0 {
			return nil, fmt.Errorf("person %q: a name and at least one id are needed", p.Name)
		}
		for _, id := range p.IDs {
			id = normal(id)
			if other, twice := f.humans[id]; twice {
				return nil, fmt.Errorf("%s is the id of %s and of %s", id, other, p.Name)
			}
			f.humans[id] = p.Name
			if err := f.add(id, p.Name, p.Grants); err != nil {
				return nil, err
			}
		}
	}
	for _, g := range in.Groups {
		if err := f.add(normal(g.ID), "", g.Grants); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *File) add(subject, human string, grants []fileGrant) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	for _, g := range grants {
		role, err := ParseRole(g.Role)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", subject, err)
		case role == Nobody:
			return fmt.Errorf("%s: the role must be viewer, operator or admin", subject)
		case g.Cluster == "" && g.Namespace != "":
			return fmt.Errorf("%s: namespace %q needs a cluster", subject, g.Namespace)
		}
		f.grants = append(f.grants, Grant{Subject: subject, Role: role, Cluster: g.Cluster, Namespace: g.Namespace, Human: human, By: "file", Fixed: true})
	}
	return nil
}
