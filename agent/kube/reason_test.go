package kube

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestReasonsNameNoAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = http.Get("http://" + address + "/api")
	if err == nil {
		t.Fatal("somebody listens on a port that was free a moment ago")
	}
	got := Reason(fmt.Errorf("list pods: %w", err))
	if got != "the API server cannot be reached: connection refused" {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(err.Error(), address) {
		t.Error("the error did not hold the address in the first place")
	}
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "cart-1")
	if got := Reason(missing); got != `pods "cart-1" not found` {
		t.Errorf("got %q", got)
	}
	if got := Reason(errors.New("no")); got != "no" {
		t.Errorf("got %q", got)
	}
}
