package lab

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// admin is the user whom RBAC refuses nothing.
const admin = "admin"

// loopback is where everything listens: a lab is never reachable from outside.
const loopback = "127.0.0.1"

func (l *Lab) pki(name string) string { return filepath.Join(l.cfg.Dir, "pki", name) }

func (l *Lab) serverURL() string {
	return fmt.Sprintf("https://%s:%d", loopback, l.state.Ports["kube-apiserver"])
}

// writeCredentials makes what is missing: authority, serving certificate, service-account key and one token a user.
// Kubeconfigs are written each time, because the port may have changed.
func (l *Lab) writeCredentials() error {
	if _, err := os.Stat(l.pki("serving.crt")); errors.Is(err, fs.ErrNotExist) {
		if err := l.writePKI(time.Now()); err != nil {
			return err
		}
	}
	ca, err := os.ReadFile(l.pki("ca.crt"))
	if err != nil {
		return err
	}
	tokens, err := l.readTokens()
	if err != nil {
		return err
	}
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	for _, user := range append([]User{{Name: admin, Groups: []string{"system:masters"}}}, l.cfg.Users...) {
		token := tokens[user.Name]
		if token == "" {
			token = rand.Text()
		}
		if err := w.Write([]string{token, user.Name, user.Name, strings.Join(user.Groups, ",")}); err != nil {
			return err
		}
		if err := l.writeKubeconfig(user.Name, token, ca); err != nil {
			return err
		}
	}
	w.Flush()
	return os.WriteFile(l.pki("tokens.csv"), table.Bytes(), 0o600)
}

// readTokens returns the tokens of an earlier run by user.
func (l *Lab) readTokens() (map[string]string, error) {
	f, err := os.Open(l.pki("tokens.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("tokens.csv: %w", err)
	}
	tokens := map[string]string{}
	for _, row := range rows {
		tokens[row[1]] = row[0]
	}
	return tokens, nil
}

func (l *Lab) writeKubeconfig(user, token string, ca []byte) error {
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["lab"] = &clientcmdapi.Cluster{Server: l.serverURL(), CertificateAuthorityData: ca}
	cfg.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token}
	cfg.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: user}
	cfg.CurrentContext = "lab"
	return clientcmd.WriteToFile(*cfg, l.KubeconfigFor(user))
}

// RESTConfigFor is the client configuration of one of Config.Users, without client-side rate limiting.
func (l *Lab) RESTConfigFor(user string) (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", l.KubeconfigFor(user))
	if err != nil {
		return nil, fmt.Errorf("lab user %s: %w", user, err)
	}
	cfg.QPS, cfg.Burst = -1, -1
	return cfg, nil
}

// writePKI makes an authority, and one certificate with which both the API server and kwok serve.
func (l *Lab) writePKI(now time.Time) error {
	caKey, err := newKey(l.pki("ca.key"))
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "atlhyper-lab"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if err := writeCertificate(l.pki("ca.crt"), ca, ca, caKey, caKey); err != nil {
		return err
	}
	if _, err := newKey(l.pki("service-account.key")); err != nil {
		return err
	}
	key, err := newKey(l.pki("serving.key"))
	if err != nil {
		return err
	}
	return writeCertificate(l.pki("serving.crt"), &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses:  []net.IP{net.ParseIP(loopback), net.ParseIP("10.96.0.1")},
	}, ca, key, caKey)
}

func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func writeCertificate(path string, cert, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}
