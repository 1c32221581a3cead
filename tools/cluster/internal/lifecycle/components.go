// Package lifecycle takes clusters up and down. components.go: what runs, how it is started and how it is asked for its health (I/O: health only).
package lifecycle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"tenantry.local/tools/cluster/internal/controlplane"
	"tenantry.local/tools/cluster/internal/node"
	"tenantry.local/tools/cluster/internal/proc"
	"tenantry.local/tools/cluster/internal/state"
)

type component struct {
	name string
	// program is a program of the host; without one, the component is a sub-command of this binary.
	program string
	args    func(*state.Cluster) []string
	health  func(context.Context, *state.Cluster) error
}

var (
	etcd              = component{"etcd", "", controlplane.EtcdArgs, etcdHealth}
	apiServer         = component{"kube-apiserver", "", controlplane.APIServerArgs, apiServerHealth}
	controllerManager = component{"kube-controller-manager", "", controlplane.ControllerManagerArgs, controllerManagerHealth}
	scheduler         = component{"kube-scheduler", "", controlplane.SchedulerArgs, schedulerHealth}
	containerd        = component{"containerd", "containerd", containerdArgs, containerdHealth}
	coreDNS           = component{"coredns", "coredns", coreDNSArgs, dnsHealth}
	kubeProxy         = component{"kube-proxy", "", node.ProxyArgs, proxyHealth}
	kubelet           = component{"kubelet", "", node.KubeletArgs, nodeHealth}
	provisioner       = component{"storage-provisioner", "", provisionerArgs, provisionerHealth}
	ingress           = component{"ingress", "", ingressArgs, ingressHealth}
	networkPolicy     = component{"network-policy", "", networkPolicyArgs, networkPolicyHealth}
)

func components(c *state.Cluster) []component {
	all := []component{etcd, apiServer, controllerManager, scheduler}
	if c.WithNode {
		all = append(all, containerd, coreDNS, kubeProxy, kubelet, provisioner, ingress)
	}
	if c.WithNode && c.Enforce {
		all = append(all, networkPolicy)
	}
	return all
}

func networkPolicyArgs(c *state.Cluster) []string {
	return []string{
		"-kubeconfig", c.Kubeconfig("network-policy"),
		"-network", c.Network(),
		"-bridge", state.Bridge,
		"-health", fmt.Sprintf("127.0.0.1:%d", c.Ports.PolicyHealth),
	}
}

func containerdArgs(c *state.Cluster) []string {
	return []string{"--config", c.Path("containerd.toml")}
}

func coreDNSArgs(c *state.Cluster) []string { return []string{"-conf", c.Path("Corefile")} }

func provisionerArgs(c *state.Cluster) []string {
	return []string{
		"-kubeconfig", c.Kubeconfig("provisioner"),
		"-root", c.Path("volumes"),
		"-health", fmt.Sprintf("127.0.0.1:%d", c.Ports.ProvisionerHealth),
	}
}

func ingressArgs(c *state.Cluster) []string {
	return []string{
		"-kubeconfig", c.Kubeconfig("ingress"),
		"-pki", c.Path("pki"),
		"-addresses", "127.0.0.1," + state.GatewayIP,
		"-http-port", fmt.Sprint(c.Ports.IngressHTTP),
		"-https-port", fmt.Sprint(c.Ports.IngressHTTPS),
	}
}

// ensure starts a component unless it runs.
func ensure(c *state.Cluster, comp component) error {
	if _, running := proc.Find(c.Dir, comp.name); running {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	spec := proc.Spec{Name: comp.name, Path: self, Args: append([]string{comp.name}, comp.args(c)...)}
	switch comp.program {
	case "":
	case "coredns":
		spec.Args = comp.args(c)
		if spec.Path, err = sibling("coredns"); err != nil {
			return err
		}
	default:
		spec.Path, spec.Args = comp.program, comp.args(c)
	}
	_, err = proc.Start(c.Dir, spec)
	return err
}

// sibling finds a program that tools/cluster/build puts beside this one.
func sibling(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing: run tools/cluster/build, which makes it: %w", path, err)
	}
	return path, nil
}
