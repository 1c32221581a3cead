// Tests of the routing rules (no I/O).
package ingress

import (
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ingressFor(name, class, host string, age time.Duration, paths ...string) *networkingv1.Ingress {
	prefix := networkingv1.PathTypePrefix
	rule := networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{}}}
	for _, path := range paths {
		rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{
			Path: path, PathType: &prefix,
			Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name + path}},
		})
	}
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1000, 0).Add(-age))},
		Spec: networkingv1.IngressSpec{
			IngressClassName: &class,
			Rules:            []networkingv1.IngressRule{rule},
			TLS:              []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: name + "-tls"}},
		},
	}
}

func TestFind(t *testing.T) {
	table := BuildTable([]*networkingv1.Ingress{
		ingressFor("young", "tenantry", "crm.example.test", 0, "/"),
		ingressFor("old", "tenantry", "crm.example.test", time.Hour, "/", "/api"),
		ingressFor("wild", "tenantry", "*.wild.test", 0, "/"),
		ingressFor("other", "nginx", "other.test", 0, "/"),
	}, "tenantry")
	cases := []struct{ host, path, service string }{
		{"crm.example.test", "/", "old/"},
		{"CRM.example.test:8443", "/x", "old/"},
		{"crm.example.test", "/api", "old/api"},
		{"crm.example.test", "/api/v1", "old/api"},
		{"crm.example.test", "/apiary", "old/"},
		{"a.wild.test", "/", "wild/"},
		{"a.b.wild.test", "/", ""},
		{"other.test", "/", ""},
	}
	for _, c := range cases {
		backend, found := table.Find(c.host, c.path)
		if found != (c.service != "") || backend.Service != c.service {
			t.Errorf("%s%s goes to %q, want %q", c.host, c.path, backend.Service, c.service)
		}
	}
	if secret, ok := table.Secret("x.wild.test"); !ok || secret.Name != "wild-tls" {
		t.Errorf("wildcard secret: got %v", secret)
	}
	if secret, _ := table.Secret("crm.example.test"); secret.Name != "old-tls" {
		t.Errorf("secret of the oldest Ingress: got %v", secret)
	}
}
