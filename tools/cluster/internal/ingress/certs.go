// Certificates for TLS in front: from an Ingress's secret, else issued on the fly (I/O: only what the watcher caches).
package ingress

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"

	"tenantry.local/tools/cluster/internal/pki"
)

type certificates struct {
	watcher   *watcher
	authority *pki.Authority
	mutex     sync.Mutex
	issued    map[string]*tls.Certificate
}

// maxIssued bounds what clients can make us keep by asking for random names.
const maxIssued = 10_000

// choose is called for every TLS handshake.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := strings.ToLower(hello.ServerName)
	if name, ok := c.watcher.table.Load().Secret(host); ok {
		if secret, err := c.watcher.secrets.Secrets(name.Namespace).Get(name.Name); err == nil {
			if cert, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"]); err == nil {
				return &cert, nil
			}
		}
	}
	return c.issue(cmp.Or(host, "localhost"))
}

func (c *certificates) issue(host string) (*tls.Certificate, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if cert, ok := c.issued[host]; ok {
		return cert, nil
	}
	pair, err := c.authority.Issue(pki.Request{User: host, Hosts: []string{host, "127.0.0.1"}, Server: true})
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate for %s: %w", host, err)
	}
	if len(c.issued) >= maxIssued {
		clear(c.issued)
	}
	c.issued[host] = &cert
	return &cert, nil
}
