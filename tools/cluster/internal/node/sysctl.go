// Kernel settings that the node, kubelet and kube-proxy change (I/O: /proc/sys).
package node

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// changed lists every setting that is put back by Clean: the two that this harness sets and those of kubelet and kube-proxy.
var changed = []string{
	"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables",
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_tcp_timeout_established",
	"net/netfilter/nf_conntrack_tcp_timeout_close_wait", "net/netfilter/nf_conntrack_tcp_be_liberal",
	"net/ipv4/conf/all/route_localnet", "net/ipv4/vs/conntrack",
}

func readSysctls() map[string]string {
	values := map[string]string{}
	for _, name := range changed {
		if raw, err := os.ReadFile("/proc/sys/" + name); err == nil {
			values[name] = strings.TrimSpace(string(raw))
		}
	}
	return values
}

func setSysctls() error {
	if _, err := os.Stat("/proc/sys/net/bridge"); err != nil {
		_ = exec.Command("modprobe", "br_netfilter").Run() // the check below says so when it did not help
	}
	for _, name := range changed[:2] {
		if err := os.WriteFile("/proc/sys/"+name, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s (is the module br_netfilter there?): %w", name, err)
		}
	}
	return nil
}

func restoreSysctls(values map[string]string) error {
	now := readSysctls()
	for name, value := range values {
		if now[name] == value {
			continue
		}
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
			return fmt.Errorf("put sysctl %s back to %s: %w", name, value, err)
		}
	}
	return nil
}
