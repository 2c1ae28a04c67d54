package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// Check looks whether the plan's targets can be reached, without telling anybody anything: the mail server up to the
// login, a webhook up to its connection. Each joined error is one fault with its remedy.
func (p *Plan) Check(ctx context.Context) error {
	var errs []error
	if m := p.Mail; m != nil {
		if err := m.check(ctx); err != nil {
			errs = append(errs, fmt.Errorf("mail server %s:%d: %s: check server, tls, username and password under mail, and the network", m.Host, m.Port, p.Mask(err.Error())))
		}
	}
	for _, t := range p.Targets {
		to := t.Webhook + t.Slack // one of the two, or none
		if to == "" {
			continue
		}
		if err := reach(ctx, to); err != nil {
			errs = append(errs, fmt.Errorf("target %s: %s: check the address that its secret holds, and the network", t.Name, p.Mask(err.Error())))
		}
	}
	return errors.Join(errs...)
}

// reach connects to where a webhook is, through the proxy if there is one, and says nothing there.
func reach(ctx context.Context, to string) error {
	u, err := url.Parse(to)
	if err != nil {
		return errors.New("it is no URL")
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		return err
	}
	dial := (&net.Dialer{}).DialContext
	switch {
	case proxy != nil: // what stands behind it shows with the first message
		u = proxy
	case u.Scheme == "https":
		dial = (&tls.Dialer{}).DialContext
	}
	port := u.Port()
	if port == "" {
		if port = "443"; u.Scheme == "http" {
			port = "80"
		}
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return conn.Close()
}
