package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/time/rate"
)

// secret is the administrator's name and the argon2id hash of the password. The password itself is not kept.
type secret struct {
	name   string
	cost   cost
	salt   []byte
	key    []byte
	places chan struct{} // one hash at a time: each takes its memory
}

// cost are argon2id's parameters.
type cost struct {
	time, memory uint32 // memory in KiB
	threads      uint8
}

// Hashing takes RFC 9106's second recommendation, for a memory of less than 2 GiB.
var hashing = cost{time: 3, memory: 64 << 10, threads: 4}

var errPHC = errors.New("web: the administrator's password begins like an argon2id hash and is none: write $argon2id$v=19$m=65536,t=3,p=4$SALT$HASH, or the password itself")

func newSecret(name, password string) (*secret, error) {
	s := &secret{name: name, places: make(chan struct{}, 1)}
	if !strings.HasPrefix(password, "$argon2") {
		s.cost, s.salt = hashing, make([]byte, 16)
		rand.Read(s.salt) // never fails
		s.key = s.hash(password, 32)
		return s, nil
	}
	parts := strings.Split(password, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, errPHC
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &s.cost.memory, &s.cost.time, &s.cost.threads); err != nil {
		return nil, errPHC
	}
	var err, err2 error
	s.salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	s.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	c := s.cost
	if err != nil || err2 != nil || len(s.salt) < 8 || len(s.key) < 16 || c.time < 1 || c.time > 100 || c.memory < 8 || c.memory > 1<<20 || c.threads < 1 {
		return nil, errPHC
	}
	return s, nil
}

func (s *secret) hash(password string, n int) []byte {
	return argon2.IDKey([]byte(password), s.salt, s.cost.time, s.cost.memory, s.cost.threads, uint32(n))
}

// opens compares in the same time whether the name, the password or both are wrong.
func (s *secret) opens(ctx context.Context, name, password string) bool {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return false
	}
	key := s.hash(password, len(s.key))
	return subtle.ConstantTimeCompare([]byte(name), []byte(s.name))&subtle.ConstantTimeCompare(key, s.key) == 1
}

// limits slows down guessing: five tries at once and then one every twelve seconds from one address, and thirty a minute
// from all together.
type limits struct {
	now func() time.Time

	mu     sync.Mutex // guards all below
	all    *rate.Limiter
	remote map[string]*rate.Limiter
}

const (
	perRemote = 5
	remotes   = 4096 // addresses that are remembered; beyond that all of them are forgotten, and the common limit holds
)

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, all: rate.NewLimiter(rate.Every(2*time.Second), 30), remote: map[string]*rate.Limiter{}}
}

func (l *limits) of(remote string) *rate.Limiter {
	one := l.remote[remote]
	if one == nil {
		if len(l.remote) >= remotes {
			clear(l.remote)
		}
		one = rate.NewLimiter(rate.Every(12*time.Second), perRemote)
		l.remote[remote] = one
	}
	return one
}

// try says whether an address may try once more, and counts it: before the try, so that many at once gain nothing.
func (l *limits) try(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return l.of(remote).AllowN(now, 1) && l.all.AllowN(now, 1)
}
