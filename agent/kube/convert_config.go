package kube

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

// hash gives a keyed hash of parts, each preceded by its length so that no two lists of parts look alike. 128 bits
// are kept. The key stops dictionaries made for one cluster from being used on another; it is no secret from the
// engine, so a hash must not be shown to people as if it protected a weak password.
func (c *Converter) hash(parts ...[]byte) string {
	h := hmac.New(sha256.New, c.key)
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// TemplateHash tells two pod templates apart, environment values included, without saying what they are. It leaves out
// the labels that controllers add to the copies that they keep, so that a Deployment and the ReplicaSet of the same
// revision agree. A rollout restart changes it.
func (c *Converter) TemplateHash(t *corev1.PodTemplateSpec) string {
	bare := *t
	bare.Labels = maps.Clone(t.Labels)
	for _, l := range []string{"pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name"} {
		delete(bare.Labels, l)
	}
	if len(bare.Labels) == 0 {
		bare.Labels = nil
	}
	bare.Annotations = maps.Clone(t.Annotations)
	delete(bare.Annotations, corev1.LastAppliedConfigAnnotation)
	if len(bare.Annotations) == 0 {
		bare.Annotations = nil
	}
	b, err := json.Marshal(&bare)
	if err != nil {
		return "" // the API's own types always marshal
	}
	return c.hash([]byte("template"), b)
}

func (c *Converter) configMap(m *corev1.ConfigMap) *report.Resource {
	r := resource("ConfigMap", &m.ObjectMeta)
	all := make(map[string][]byte, len(m.Data)+len(m.BinaryData))
	for k, v := range m.Data {
		all[k] = []byte(v)
	}
	maps.Copy(all, m.BinaryData)
	r.Detail = &report.Resource_Config{Config: c.config("ConfigMap", all)}
	return r
}

func (c *Converter) secret(s *corev1.Secret) *report.Resource {
	r := resource("Secret", &s.ObjectMeta)
	d := c.config("Secret", s.Data)
	d.Type = string(s.Type)
	if s.Type == corev1.SecretTypeTLS {
		d.NotAfter = stamp(earliestExpiry(s.Data[corev1.TLSCertKey]))
	}
	r.Detail = &report.Resource_Config{Config: d}
	return r
}

func (c *Converter) config(kind string, data map[string][]byte) *report.Config {
	keys := slices.Sorted(maps.Keys(data))
	parts := [][]byte{[]byte(kind)}
	for _, k := range keys {
		parts = append(parts, []byte(k), data[k])
	}
	return &report.Config{Keys: keys, Hash: c.hash(parts...)}
}

// earliestExpiry gives the first moment at which a certificate of the chain is no longer valid; zero when none can be
// read. A chain breaks with its first expired link.
func earliestExpiry(chain []byte) time.Time {
	var first time.Time
	for {
		var block *pem.Block
		if block, chain = pem.Decode(chain); block == nil {
			return first
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (first.IsZero() || cert.NotAfter.Before(first)) {
			first = cert.NotAfter
		}
	}
}
