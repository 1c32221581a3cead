// Package ingress is the stand-in for an ingress controller. routes.go: which Service answers a request (pure).
package ingress

import (
	"cmp"
	"net"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// Backend is where an Ingress sends a request.
type Backend struct {
	Namespace string
	Service   string
	Port      networkingv1.ServiceBackendPort
}

// SecretName names a TLS secret.
type SecretName struct{ Namespace, Name string }

type route struct {
	path    string
	kind    networkingv1.PathType
	backend Backend
}

// Table answers for every Ingress of the class; it is built anew whenever one changes.
type Table struct {
	hosts    map[string][]route
	fallback *Backend
	tls      map[string]SecretName
}

// BuildTable reads the Ingresses of one class. The oldest Ingress wins where two claim the same host and path.
func BuildTable(all []*networkingv1.Ingress, class string) *Table {
	table := &Table{hosts: map[string][]route{}, tls: map[string]SecretName{}}
	own := slices.DeleteFunc(slices.Clone(all), func(i *networkingv1.Ingress) bool { return !ofClass(i, class) })
	slices.SortFunc(own, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	for _, ingress := range own {
		table.add(ingress)
	}
	for _, routes := range table.hosts {
		slices.SortStableFunc(routes, func(a, b route) int {
			return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(exactFirst(a.kind), exactFirst(b.kind)))
		})
	}
	return table
}

func ofClass(ingress *networkingv1.Ingress, class string) bool {
	name := ingress.Spec.IngressClassName
	return name != nil && *name == class
}

func exactFirst(kind networkingv1.PathType) int {
	if kind == networkingv1.PathTypeExact {
		return 0
	}
	return 1
}

func (t *Table) add(ingress *networkingv1.Ingress) {
	for _, entry := range ingress.Spec.TLS {
		for _, host := range entry.Hosts {
			if _, taken := t.tls[host]; !taken && entry.SecretName != "" {
				t.tls[strings.ToLower(host)] = SecretName{ingress.Namespace, entry.SecretName}
			}
		}
	}
	if backend := toBackend(ingress.Namespace, ingress.Spec.DefaultBackend); backend != nil && t.fallback == nil {
		t.fallback = backend
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		host := strings.ToLower(rule.Host)
		for _, path := range rule.HTTP.Paths {
			backend := toBackend(ingress.Namespace, &path.Backend)
			if backend == nil {
				continue
			}
			kind := networkingv1.PathTypePrefix
			if path.PathType != nil && *path.PathType == networkingv1.PathTypeExact {
				kind = networkingv1.PathTypeExact
			}
			t.hosts[host] = append(t.hosts[host], route{cmp.Or(path.Path, "/"), kind, *backend})
		}
	}
}

func toBackend(namespace string, backend *networkingv1.IngressBackend) *Backend {
	if backend == nil || backend.Service == nil {
		return nil
	}
	return &Backend{namespace, backend.Service.Name, backend.Service.Port}
}

// Find the Service for a request: the exact host, then a wildcard, then rules without a host, then the default backend.
func (t *Table) Find(hostport, path string) (Backend, bool) {
	host := strings.ToLower(hostport)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for _, candidate := range append(hostAndWildcard(host), "") {
		for _, r := range t.hosts[candidate] {
			if matches(r, path) {
				return r.backend, true
			}
		}
	}
	if t.fallback != nil {
		return *t.fallback, true
	}
	return Backend{}, false
}

// Secret names the TLS secret for a host.
func (t *Table) Secret(host string) (SecretName, bool) {
	for _, candidate := range hostAndWildcard(strings.ToLower(host)) {
		if name, ok := t.tls[candidate]; ok {
			return name, true
		}
	}
	return SecretName{}, false
}

func hostAndWildcard(host string) []string {
	if _, parent, ok := strings.Cut(host, "."); ok {
		return []string{host, "*." + parent}
	}
	return []string{host}
}

// matches by whole path elements: /a matches /a and /a/b, not /ab.
func matches(r route, path string) bool {
	if r.kind == networkingv1.PathTypeExact {
		return path == r.path
	}
	prefix := strings.TrimSuffix(r.path, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/") || prefix == ""
}
