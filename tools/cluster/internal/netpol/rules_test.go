// Tests of the rules that follow from NetworkPolicies (no I/O).
package netpol

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func world(policies ...*networkingv1.NetworkPolicy) World {
	return World{
		Bridge:     "br0",
		Namespaces: map[string]labels.Set{"shop": {"team": "a"}, "data": {"team": "b"}},
		Policies:   policies,
		Pods: []Pod{
			{"shop", "web", labels.Set{"app": "web"}, "10.244.1.1", nil},
			{"shop", "job", labels.Set{"app": "job"}, "10.244.1.2", nil},
			{"data", "sql", labels.Set{"app": "sql"}, "10.244.1.3", []corev1.ContainerPort{{Name: "sql", ContainerPort: 5432}}},
		},
	}
}

func policy(namespace string, pods map[string]string, types ...networkingv1.PolicyType) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: pods}, PolicyTypes: types},
	}
}

// chain is the text of one chain, empty when there is none.
func chain(rules, name string) string {
	_, rest, found := strings.Cut(rules, "chain "+name+" {")
	if !found {
		return ""
	}
	text, _, _ := strings.Cut(rest, "\n  }")
	return text
}

func TestOnlyPodsThatAPolicyIsAboutAreHeld(t *testing.T) {
	rules := Rules(world(policy("shop", map[string]string{"app": "job"}, networkingv1.PolicyTypeEgress)))
	if held := chain(rules, "out_10_244_1_2"); !strings.Contains(held, "counter drop") || strings.Contains(held, "dport") {
		t.Errorf("job may send something: %s", held)
	}
	for _, name := range []string{"out_10_244_1_1", "out_10_244_1_3", "in_10_244_1_2"} {
		if held := chain(rules, name); held != "" {
			t.Errorf("%s is held: %s", name, held)
		}
	}
	for _, hook := range []string{"forward", "input"} {
		if !strings.Contains(chain(rules, hook), "ip saddr 10.244.1.2 jump out_10_244_1_2") {
			t.Errorf("%s does not ask what job sends", hook)
		}
	}
}

func TestWhatSeveralPoliciesAllowAddsUp(t *testing.T) {
	names := policy("shop", nil, networkingv1.PolicyTypeEgress)
	udp, port, last := corev1.ProtocolUDP, intstr.FromInt32(53), int32(60)
	names.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{
			CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8", "10.9.0.0/16", "192.168.0.0/16"}}}},
		Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &port, EndPort: &last}},
	}}
	sql := policy("shop", map[string]string{"app": "web"}, networkingv1.PolicyTypeEgress)
	named := intstr.FromString("sql")
	sql.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{
		To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}}},
		Ports: []networkingv1.NetworkPolicyPort{{Port: &named}},
	}}
	rules := Rules(world(names, sql))
	allNames := "ip daddr != { 10.0.0.0/8, 192.168.0.0/16 } udp dport 53-60 return"
	toSQL := "ip daddr { 10.244.1.3 } tcp dport 5432 return"
	if web := chain(rules, "out_10_244_1_1"); !strings.Contains(web, allNames) || !strings.Contains(web, toSQL) {
		t.Errorf("web: %s", web)
	}
	if job := chain(rules, "out_10_244_1_2"); !strings.Contains(job, allNames) || strings.Contains(job, toSQL) {
		t.Errorf("job: %s", job)
	}
}

func TestAPeerWithoutANamespaceIsOneOfTheSame(t *testing.T) {
	own := policy("data", nil, networkingv1.PolicyTypeIngress)
	own.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}}
	held := chain(Rules(world(own)), "in_10_244_1_3")
	if strings.Contains(held, "10.244.1.1") || !strings.Contains(held, "ip saddr { 10.244.1.3 } return") {
		t.Errorf("who may write to sql: %s", held)
	}
	own.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
	if held := chain(Rules(world(own)), "in_10_244_1_3"); !strings.Contains(held, "\n    return\n") {
		t.Errorf("a rule without peers and ports lets everything in: %s", held)
	}
}
