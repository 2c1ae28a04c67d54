// Package sim is a shop in a simulated Kubernetes cluster: a dozen services behind an ingress on four nodes, with API
// objects that follow what people do to them, telemetry that follows the objects, and faults that can be injected and
// mended. It needs no network, no container and no goroutine, and is deterministic: the same seed, the same calls, the
// same bits.
//
// The parts: apiserver answers client-go's fake clientset, controller and kubelet move the objects, and this package
// holds the shop's plan (who is called what and calls whom), the load model (what a request costs and how errors and
// waiting spread to callers), the faults, and what can be read from outside: telemetry frames, logs, usage.
//
// Time is simulated: nothing moves except in Step, in steps of a second. What a fault is called, and that there is one,
// shows in no object, log, event or metric; Truth is for whoever judges an answer.
package sim
