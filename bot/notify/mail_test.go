package notify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/notify"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
)

// certificate is what our mail server shows. That of the test's authority is trusted as one of the system's is.
var certificate tls.Certificate

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "notify")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, own, own, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		roots := filepath.Join(dir, "roots.pem")
		if err := errors.Join(os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600), os.Setenv("SSL_CERT_FILE", roots)); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

var own = &x509.Certificate{
	SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
}

// post is a mail that was handed in.
type post struct {
	from string
	to   []string
	raw  []byte
	user string
}

// office is a mail server. Its fields are set before it is used.
type office struct {
	refuse func(to string) error // before a recipient is taken
	after  func() error          // after a mail was taken, in place of saying so

	mu  sync.Mutex
	got []post
	srv *smtp.Server
}

type sitting struct {
	office *office
	post   post
}

func (o *office) NewSession(*smtp.Conn) (smtp.Session, error) { return &sitting{office: o}, nil }
func (s *sitting) AuthMechanisms() []string                   { return []string{sasl.Plain} }

func (s *sitting) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "atlhyper" || password != "p4ss" {
			return smtp.ErrAuthFailed
		}
		s.post.user = user
		return nil
	}), nil
}

func (s *sitting) Mail(from string, _ *smtp.MailOptions) error {
	s.post.from = from
	return nil
}

func (s *sitting) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.office.refuse != nil {
		if err := s.office.refuse(to); err != nil {
			return err
		}
	}
	s.post.to = append(s.post.to, to)
	return nil
}

func (s *sitting) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.post.raw = raw
	s.office.mu.Lock()
	s.office.got = append(s.office.got, s.post)
	s.office.mu.Unlock()
	if s.office.after != nil {
		return s.office.after()
	}
	return nil
}

func (s *sitting) Reset()        { s.post.to, s.post.raw = nil, nil }
func (s *sitting) Logout() error { return nil }

// open starts the server and gives its port.
func (o *office) open(t *testing.T, way string) string {
	t.Helper()
	o.srv = smtp.NewServer(o)
	o.srv.Domain, o.srv.AllowInsecureAuth, o.srv.ErrorLog = "localhost", false, quiet{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := &tls.Config{Certificates: []tls.Certificate{certificate}}
	switch way {
	case "starttls":
		o.srv.TLSConfig = served
	case "implicit":
		l = tls.NewListener(l, served)
	}
	done := make(chan error, 1)
	go func() { done <- o.srv.Serve(l) }()
	t.Cleanup(func() {
		o.srv.Close()
		<-done
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (o *office) all() []post {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]post{}, o.got...)
}

func mailPlan(t *testing.T, port, way, targets string) *notify.Plan {
	t.Helper()
	login := "  username: atlhyper\n  password: {env: PASSWORD}\n"
	if way == "none" {
		login = ""
	}
	return plan(t, fmt.Sprintf("mail:\n  server: localhost:%s\n  tls: %s\n  from: AtlHyper <atlhyper@example.com>\n%s%s", port, way, login, targets), map[string]string{"PASSWORD": "p4ss"})
}

const toOps = `
targets:
- {name: ops, mail: [ops@example.com, boss@example.com]}
default: [ops]
`

func TestMailGoesOutEachWayThatAServerTakesIt(t *testing.T) {
	for _, way := range []string{"starttls", "implicit", "none"} {
		t.Run(way, func(t *testing.T) {
			o := &office{}
			w := newWorld(t, mailPlan(t, o.open(t, way), way, toOps), nil)
			w.ok(w.cfg.Plan.Check(t.Context()))
			w.start()
			i := failing("INC-1", incident.SeverityHigh)
			w.save(i, event.IncidentOpened)
			w.settle()
			w.save(over(i), event.IncidentChanged)
			w.settle()
			w.stop()
			got := map[string]int{}
			ids := map[string]bool{}
			for _, p := range o.all() {
				m := read(t, p.raw)
				got[strings.Join(p.to, ",")+" "+m.header("Subject")]++
				ids[m.Header.Get("Message-ID")] = true
				if (p.user == "") != (way == "none") {
					t.Errorf("logged in as %q", p.user)
				}
				if m.Header.Get("References") == "" {
					t.Error("the mails of one incident are not held together")
				}
			}
			want := map[string]int{}
			for _, to := range []string{"ops@example.com", "boss@example.com"} {
				want[to+" [high] INC-1: checkout is failing — prod-eu / shop"] = 1
				want[to+" [high] INC-1 is over: checkout is failing — prod-eu / shop"] = 1
			}
			if d := cmp.Diff(want, got); d != "" || len(ids) != 4 {
				t.Errorf("%d ids\n%s", len(ids), d)
			}
		})
	}
}

func TestARefusedAddressKeepsNothingFromTheOthers(t *testing.T) {
	o := &office{refuse: func(to string) error {
		if to == "boss@example.com" {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
		}
		return nil
	}}
	w := newWorld(t, mailPlan(t, o.open(t, "starttls"), "starttls", toOps), nil)
	w.start()
	w.save(failing("INC-1", incident.SeverityHigh), event.IncidentOpened)
	w.settle()
	w.stop()
	if all := o.all(); len(all) != 1 || all[0].to[0] != "ops@example.com" {
		t.Errorf("got %+v", all)
	}
	if log := w.logged.String(); !strings.Contains(log, "no such user") || !strings.Contains(log, "boss@example.com") {
		t.Errorf("the log says:\n%s", log)
	}
}

func TestAServerThatIsBusyIsTriedAgain(t *testing.T) {
	tries := 0
	o := &office{refuse: func(string) error {
		if tries++; tries == 1 {
			return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "greylisted"}
		}
		return nil
	}}
	w := newWorld(t, mailPlan(t, o.open(t, "starttls"), "starttls", "targets:\n- {name: ops, mail: ops@example.com}\ndefault: [ops]\n"), nil)
	w.start()
	w.save(failing("INC-1", incident.SeverityHigh), event.IncidentOpened)
	w.settle()
	w.stop()
	if all := o.all(); len(all) != 1 || tries != 2 {
		t.Errorf("%d mails after %d tries", len(all), tries)
	}
}

func TestAMailWhoseAnswerWasLostComesAgainUnderItsId(t *testing.T) {
	first := true
	o := &office{}
	o.after = func() error {
		if first {
			first = false
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the answer is lost"}
		}
		return nil
	}
	w := newWorld(t, mailPlan(t, o.open(t, "starttls"), "starttls", "targets:\n- {name: ops, mail: ops@example.com}\ndefault: [ops]\n"), nil)
	w.start()
	w.save(failing("INC-1", incident.SeverityHigh), event.IncidentOpened)
	w.settle()
	w.stop()
	all := o.all()
	if len(all) != 2 {
		t.Fatalf("%d mails", len(all))
	}
	if a, b := read(t, all[0].raw).Header.Get("Message-ID"), read(t, all[1].raw).Header.Get("Message-ID"); a == "" || a != b {
		t.Errorf("ids %q and %q", a, b)
	}
}

func TestAPasswordIsNotGivenToWhoCannotProveItsName(t *testing.T) {
	o := &office{}
	port := o.open(t, "none") // offers no STARTTLS
	w := newWorld(t, mailPlan(t, port, "starttls", toOps), nil)
	err := w.cfg.Plan.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "STARTTLS") || strings.Contains(err.Error(), "p4ss") {
		t.Errorf("checked as %v", err)
	}
}

// worst is an incident whose names try everything.
func worst() *incident.Incident {
	i := failing("INC-7", incident.SeverityCritical)
	long := strings.Repeat("very-long-name-", 12)
	i.Title = "<script>alert(1)</script>\r\nBcc: all@example.com\u202egnp.exe & \"checkout\" is failing"
	i.Cause.Entity.Name = long
	i.Cause.Summary = "deployment/" + long + ": <img src=x onerror=alert(1)> password=hunter2hunter2 写真が壊れています"
	i.Entities = nil
	for n := range 9 {
		i.Entities = append(i.Entities, incident.Affected{Entity: entity.Ref{Cluster: "prod-eu", Kind: "Service", Namespace: "shop", Name: fmt.Sprintf("%s%d", long, n)}, Role: incident.RoleSymptom, Why: "</td></table>{{.}} error rate 31 %"})
	}
	i.Budget = "budget burning 22×, 2.1 % of checkout's 30 d budget spent"
	i.Acknowledged = "<b>Mia</b>"
	return i
}

func TestTheMailAsItIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		incident *incident.Incident
		lang     string
		age      time.Duration
	}{
		"opened":   {failing("INC-1", incident.SeverityHigh), "en", 6 * time.Minute},
		"japanese": {failing("INC-1", incident.SeverityHigh), "ja", 6 * time.Minute},
		"chinese":  {failing("INC-1", incident.SeverityHigh), "zh", 6 * time.Minute},
		"worst":    {worst(), "en", 6 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			o := &office{}
			w := newWorld(t, mailPlan(t, o.open(t, "starttls"), "starttls", "targets:\n- {name: ops, mail: ops@example.com, lang: "+c.lang+"}\ndefault: [ops]\n"), func(cfg *notify.Config) {
				cfg.Now = func() time.Time { return opened.Add(c.age) }
			})
			w.save(c.incident, event.IncidentOpened)
			w.start()
			w.settle()
			w.stop()
			all := o.all()
			if len(all) != 1 {
				t.Fatalf("%d mails; the log says:\n%s", len(all), w.logged)
			}
			m := read(t, all[0].raw)
			golden(t, name+".txt", "From: "+m.header("From")+"\nTo: "+m.header("To")+"\nSubject: "+m.header("Subject")+"\nAuto-Submitted: "+m.header("Auto-Submitted")+"\n\n"+m.text)
			golden(t, name+".html", m.html)
			if m.Header.Get("Bcc") != "" || len(all[0].to) != 1 {
				t.Errorf("a name became a header: %v to %v", m.Header, all[0].to)
			}
		})
	}
}

// letter is a mail, read.
type letter struct {
	*mail.Message
	text, html string
}

func (l letter) header(name string) string {
	s, err := new(mime.WordDecoder).DecodeHeader(l.Header.Get(name))
	if err != nil {
		return "undecodable: " + err.Error()
	}
	return s
}

func read(t *testing.T, raw []byte) letter {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	l := letter{Message: m}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return l
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(body), "\r\n", "\n")
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			l.html = text
		} else {
			l.text = text
		}
	}
}
