//go:build !linux

package lab

import (
	"context"
	"time"
)

// The lab runs on Linux only; Build says so before anything here is reached.

type identity struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
}

func (identity) alive() bool { return false }

type process struct{ id identity }

func spawn(string, string, []string, string, bool) (*process, error) { return nil, ErrUnavailable }

func adopt(_ string, id identity) *process { return &process{id: id} }

func (*process) alive() bool { return false }

func (*process) kill(time.Duration) error { return ErrUnavailable }

func lockFile(context.Context, string) (func(), error) { return nil, ErrUnavailable }
