// The reverse proxy (I/O: network).
package ingress

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"k8s.io/klog/v2"
)

type proxy struct {
	watcher *watcher
	reverse *httputil.ReverseProxy
}

type targetKey struct{}

func newProxy(w *watcher) *proxy {
	return &proxy{w, &httputil.ReverseProxy{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 32,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
		FlushInterval: -1, // streams pass at once
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: r.In.Context().Value(targetKey{}).(string)})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			klog.InfoS("Backend failed", "host", r.Host, "path", r.URL.Path, "err", err)
			http.Error(w, "tenantry test ingress: 502: the backend cannot be reached: "+err.Error(), http.StatusBadGateway)
		},
	}}
}

// ServeHTTP answers 404 without a route, 503 when the Service cannot take requests and 502 when it fails.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	backend, ok := p.watcher.table.Load().Find(r.Host, r.URL.Path)
	if !ok {
		http.Error(w, "tenantry test ingress: 404: no Ingress of class tenantry for "+r.Host+r.URL.Path, http.StatusNotFound)
		return
	}
	target, err := p.watcher.resolve(backend)
	if err != nil {
		http.Error(w, "tenantry test ingress: 503: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), targetKey{}, target)))
}
