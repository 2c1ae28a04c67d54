// Package people says who may do what. A person without a mapping is a viewer, and doubt denies.
package people

import "fmt"

// Role orders rights: each role has those of the ones below it.
type Role int

// The roles. The zero value may do nothing: a role that was never looked up must not pass a check.
const (
	Nobody Role = iota
	Viewer
	Operator
	Admin
)

// String gives the role's name as it is written in configuration.
func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Operator:
		return "operator"
	case Admin:
		return "admin"
	}
	return "nobody"
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	for _, r := range []Role{Nobody, Viewer, Operator, Admin} {
		if s == r.String() {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("role %q: must be viewer, operator or admin", s)
}

// Person is someone who speaks to the bot. ID is "surface:id", such as "slack:U123" or "terminal:local".
type Person struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Groups []string `json:"groups,omitempty"` // platform groups: "slack:S123", "discord:role:99"
	// Email is the person's address, as confirmed by the chat platform; "" when it is not known.
	Email string `json:"email,omitempty"`
	// Stranger is a guest, a bot, or someone of another organisation in a shared channel: Nobody, whatever the mapping says.
	Stranger bool `json:"stranger,omitempty"`
	// Local is the person at the terminal of up or demo, who holds the kubeconfig anyway.
	Local bool `json:"local,omitempty"`
	// Given is the role that the token of a person's own client carries; Nobody on the chat platforms.
	Given Role `json:"-"`
}
