package incident

import (
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

func TestTheWayOfARiskIsOpenedAlsoWhereTheBlamedHasNoScore(t *testing.T) {
	s := newShop(t)
	s.errors(ref("Service", "payments"), 0.31)
	s.errors(ref("Service", "ads"), 0.02)
	s.anomalies[1].Q = 0.3 // it is off as well, and less so
	a := risk.New(risk.Config{}).Score(risk.Input{Now: s.now, Cluster: "prod", Graph: topology.Build(s.c, s.edges), Anomalies: s.anomalies})
	i := &Incident{Cluster: "prod", Cause: Cause{Entity: ref("Deployment", "payments")}, Entities: []Affected{
		{Entity: ref("Service", "payments")}, {Entity: ref("Service", "checkout")}, {Entity: ref("Service", "ads")},
	}}
	if got := a.Of(i.Cause.Entity).Final; got != 0 {
		t.Fatalf("the deployment has a risk of %.2f", got)
	}
	steps := Spread(a, i)
	if len(steps) != 2 || steps[0].Entity != ref("Service", "checkout") || steps[1].Entity != ref("Service", "payments") || !strings.Contains(steps[1].Formula, "R_final") {
		t.Errorf("the way is %+v", steps)
	}
	i.Cause.Entity = ref("Service", "payments")
	if steps := Spread(a, i); len(steps) != 2 || steps[1].Entity != i.Cause.Entity {
		t.Errorf("to what has a score it is %+v", steps)
	}
}
