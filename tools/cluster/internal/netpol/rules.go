// Package netpol enforces NetworkPolicies on the node: rules.go makes rules of the packet filter from the objects (pure).
package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Table is the name of the tables that this package makes.
const Table = "tenantry_policy"

// Pod is what the rules need to know of a pod that has an address.
type Pod struct {
	Namespace string
	Name      string
	Labels    labels.Set
	Address   string
	Ports     []corev1.ContainerPort
}

// World is everything that the rules follow from.
type World struct {
	Pods       []Pod
	Namespaces map[string]labels.Set
	Policies   []*networkingv1.NetworkPolicy
	Bridge     string
}

// Rules is a script for nft that replaces the tables in one step.
//
// What a pod may send is asked where its packets are forwarded or reach this host, what it may be sent where they are
// forwarded: kube-proxy has put the pod's address in the place of the Service's by then. What this host sends to pods
// passes, as kubelet's probes must; so does what belongs to a connection that was let through.
func Rules(w World) string {
	slices.SortFunc(w.Pods, func(a, b Pod) int { return strings.Compare(a.Address, b.Address) })
	var chains, from, to strings.Builder
	for _, pod := range w.Pods {
		if allowed, isolated := w.allowed(pod, networkingv1.PolicyTypeEgress); isolated {
			writeChain(&chains, &from, "out", pod, "daddr", allowed)
		}
		if allowed, isolated := w.allowed(pod, networkingv1.PolicyTypeIngress); isolated {
			writeChain(&chains, &to, "in", pod, "saddr", allowed)
		}
	}
	return fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
%[2]s  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    ct state established,related accept
%[3]s%[4]s  }
  chain input {
    type filter hook input priority filter - 5; policy accept;
    ct state established,related accept
%[3]s  }
}
table ip6 %[1]s
delete table ip6 %[1]s
table ip6 %[1]s {
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    iifname %[5]q drop
  }
  chain input {
    type filter hook input priority filter - 5; policy accept;
    iifname %[5]q meta l4proto != ipv6-icmp drop
  }
}
`, Table, chains.String(), from.String(), to.String(), w.Bridge)
}

func writeChain(chains, jumps *strings.Builder, direction string, pod Pod, other string, allowed []string) {
	name := direction + "_" + strings.ReplaceAll(pod.Address, ".", "_")
	fmt.Fprintf(chains, "  chain %s { # %s/%s\n    ip %s %s return\n", name, pod.Namespace, pod.Name, other, pod.Address)
	for _, match := range allowed {
		fmt.Fprintf(chains, "    %sreturn\n", match)
	}
	chains.WriteString("    counter drop\n  }\n")
	own := map[string]string{"daddr": "saddr", "saddr": "daddr"}[other]
	fmt.Fprintf(jumps, "    ip %s %s jump %s\n", own, pod.Address, name)
}

// allowed lists the matches of what a pod may do in one direction, and whether any policy is about that.
func (w World) allowed(pod Pod, direction networkingv1.PolicyType) ([]string, bool) {
	var matches []string
	isolated := false
	for _, policy := range w.Policies {
		if policy.Namespace != pod.Namespace || !slices.Contains(policy.Spec.PolicyTypes, direction) ||
			!selects(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		isolated = true
		if direction == networkingv1.PolicyTypeEgress {
			for _, rule := range policy.Spec.Egress {
				matches = append(matches, w.matches(policy.Namespace, "daddr", rule.To, rule.Ports, nil)...)
			}
		} else {
			for _, rule := range policy.Spec.Ingress {
				matches = append(matches, w.matches(policy.Namespace, "saddr", rule.From, rule.Ports, &pod)...)
			}
		}
	}
	slices.Sort(matches)
	return slices.Compact(matches), isolated
}

// matches turns one rule into matches. target has the ports by name: the pod itself on the way in, each peer on the way out.
func (w World) matches(namespace, side string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, target *Pod) []string {
	if len(peers) == 0 {
		return withPorts("", ports, w.named(target, w.Pods))
	}
	var all []string
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if match, ok := block(side, peer.IPBlock); ok {
				all = append(all, withPorts(match, ports, w.named(target, nil))...)
			}
			continue
		}
		var addresses []string
		var found []Pod
		for _, pod := range w.Pods {
			if w.isPeer(namespace, peer, pod) {
				addresses = append(addresses, pod.Address)
				found = append(found, pod)
			}
		}
		if len(addresses) > 0 {
			match := fmt.Sprintf("ip %s { %s } ", side, strings.Join(addresses, ", "))
			all = append(all, withPorts(match, ports, w.named(target, found))...)
		}
	}
	return all
}

func (w World) isPeer(namespace string, peer networkingv1.NetworkPolicyPeer, pod Pod) bool {
	if peer.NamespaceSelector == nil {
		return pod.Namespace == namespace && selects(peer.PodSelector, pod.Labels)
	}
	of, known := w.Namespaces[pod.Namespace]
	return known && selects(peer.NamespaceSelector, of) && (peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels))
}

// named finds numbers of ports by name in the pod that they belong to, or in all that a rule leads to.
func (w World) named(target *Pod, found []Pod) func(string) []int32 {
	pods := found
	if target != nil {
		pods = []Pod{*target}
	}
	return func(name string) []int32 {
		var numbers []int32
		for _, pod := range pods {
			for _, port := range pod.Ports {
				if port.Name == name && !slices.Contains(numbers, port.ContainerPort) {
					numbers = append(numbers, port.ContainerPort)
				}
			}
		}
		return numbers
	}
}

func withPorts(match string, ports []networkingv1.NetworkPolicyPort, named func(string) []int32) []string {
	if len(ports) == 0 {
		return []string{match}
	}
	var all []string
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case port.Port == nil:
			all = append(all, fmt.Sprintf("%smeta l4proto %s ", match, protocol))
		case port.Port.Type == intstr.String:
			for _, number := range named(port.Port.StrVal) {
				all = append(all, fmt.Sprintf("%s%s dport %d ", match, protocol, number))
			}
		case port.EndPort != nil:
			all = append(all, fmt.Sprintf("%s%s dport %d-%d ", match, protocol, port.Port.IntVal, *port.EndPort))
		default:
			all = append(all, fmt.Sprintf("%s%s dport %d ", match, protocol, port.Port.IntVal))
		}
	}
	return all
}

// block matches a range without its exceptions; the pods of this cluster have IPv4 only.
func block(side string, block *networkingv1.IPBlock) (string, bool) {
	whole, err := netip.ParsePrefix(block.CIDR)
	if err != nil || !whole.Addr().Is4() {
		return "", false
	}
	match := fmt.Sprintf("ip %s %s ", side, whole.Masked())
	if whole.Bits() == 0 {
		match = ""
	}
	var except []netip.Prefix
	for _, text := range block.Except {
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Addr().Is4() {
			except = append(except, prefix.Masked())
		}
	}
	if len(except) > 0 {
		var texts []string
		for _, prefix := range outermost(except) {
			texts = append(texts, prefix.String())
		}
		match += fmt.Sprintf("ip %s != { %s } ", side, strings.Join(texts, ", "))
	}
	return match, true
}

// outermost leaves out what lies in another one: nft takes no ranges that overlap.
func outermost(all []netip.Prefix) []netip.Prefix {
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if a.Bits() != b.Bits() {
			return a.Bits() - b.Bits()
		}
		return a.Addr().Compare(b.Addr())
	})
	var kept []netip.Prefix
	for _, one := range all {
		if !slices.ContainsFunc(kept, func(k netip.Prefix) bool { return k.Overlaps(one) }) {
			kept = append(kept, one)
		}
	}
	return kept
}

func selects(selector *metav1.LabelSelector, of labels.Set) bool {
	made, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && made.Matches(of)
}
