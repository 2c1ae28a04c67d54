package kube

import (
	"errors"
	"net"
	"net/url"
	"os"
)

// Reason gives what went wrong with a call of the API server, without the address that was called: a person in a chat
// needs "connection refused", and a cluster's inner addresses are nobody's business there.
func Reason(err error) string {
	call, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err.Error()
	}
	why := call.Err
	if dial, ok := errors.AsType[*net.OpError](why); ok {
		why = dial.Err
	}
	if refused, ok := errors.AsType[*os.SyscallError](why); ok {
		why = refused.Err
	}
	return "the API server cannot be reached: " + why.Error()
}
