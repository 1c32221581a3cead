// Package node runs the cluster's only node on this host. config.go: the files that its components read (pure).
package node

import (
	"encoding/json"
	"fmt"
	"strings"

	"tenantry.local/tools/cluster/internal/pki"
	"tenantry.local/tools/cluster/internal/state"
)

// PauseImage is the sandbox image, made by PauseArchive.
const PauseImage = "tenantry.local/pause:1"

const cniPlugins = "/usr/lib/cni"

// containerdConfig keeps everything of containerd, runc and CNI below the state folder.
func containerdConfig(c *state.Cluster) string {
	return fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = %[3]q
[ttrpc]
  address = %[4]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[5]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[6]q
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "%[7]d"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[8]q
    conf_dir = %[9]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = %[10]q
`, c.Path("containerd", "root"), c.Path("containerd", "state"), c.ContainerdSocket(), c.Path("containerd", "t.sock"),
		c.Path("containerd", "opt"), PauseImage, c.Ports.ContainerdStreamer, cniPlugins, c.Path("cni", "conf"),
		c.Path("containerd", "runc"))
}

// cniConfig is one bridge for all pods; masquerading is done in this harness's own nft table.
func cniConfig(c *state.Cluster) ([]byte, error) {
	type object map[string]any
	config := object{
		"cniVersion": "0.4.0",
		"name":       c.Network(),
		"plugins": []object{
			{
				"type": "bridge", "bridge": state.Bridge, "isGateway": true, "hairpinMode": true, "ipMasq": false,
				"ipam": object{
					"type":    "host-local",
					"dataDir": c.Path("cni", "addresses"),
					"ranges":  [][]object{{{"subnet": state.PodCIDR, "gateway": state.GatewayIP, "rangeStart": state.PodFirstIP}}},
					"routes":  []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}, "snat": true},
		},
	}
	raw, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode CNI configuration: %w", err)
	}
	return raw, nil
}

// kubeletConfig never collects images, since they cannot be pulled again.
func kubeletConfig(c *state.Cluster) string {
	dir := c.Path("pki")
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
port: %[2]d
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: %[3]d
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[4]q}
authorization: {mode: Webhook}
tlsCertFile: %[5]q
tlsPrivateKeyFile: %[6]q
containerRuntimeEndpoint: %[7]q
clusterDNS: [%[1]s]
clusterDomain: %[8]s
resolvConf: %[9]q
cgroupDriver: cgroupfs
cgroupRoot: %[10]q
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
podLogsDir: %[11]q
volumePluginDir: %[12]q
oomScoreAdj: 0
maxPods: 250
serializeImagePulls: false
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 100Mi
  nodefs.available: 1%%
  nodefs.inodesFree: 1%%
  imagefs.available: 1%%
logging: {verbosity: 1}
`, state.GatewayIP, c.Ports.Kubelet, c.Ports.KubeletHealth, pki.CertPath(dir, "ca"),
		pki.CertPath(dir, "kubelet-serving"), pki.KeyPath(dir, "kubelet-serving"), "unix://"+c.ContainerdSocket(),
		state.DNSDomain, c.Path("resolv.conf"), "/"+c.Cgroup(), c.Path("pod-logs"), c.Path("volume-plugins"))
}

// KubeletArgs that are not in the configuration file.
func KubeletArgs(c *state.Cluster) []string {
	return []string{
		"--config=" + c.Path("kubelet.yaml"),
		"--kubeconfig=" + c.Kubeconfig("kubelet"),
		"--hostname-override=" + c.NodeName(),
		"--node-ip=" + state.GatewayIP,
		"--root-dir=" + c.Path("kubelet"),
		"--cert-dir=" + c.Path("pki"),
	}
}

// ProxyArgs for kube-proxy in nftables mode.
func ProxyArgs(c *state.Cluster) []string {
	return []string{
		"--kubeconfig=" + c.Kubeconfig("kube-proxy"),
		"--hostname-override=" + c.NodeName(),
		"--proxy-mode=nftables",
		"--cluster-cidr=" + state.PodCIDR,
		"--conntrack-max-per-core=0",
		"--oom-score-adj=0",
		fmt.Sprintf("--healthz-bind-address=127.0.0.1:%d", c.Ports.ProxyHealth),
		fmt.Sprintf("--metrics-bind-address=127.0.0.1:%d", c.Ports.ProxyMetrics),
	}
}

// corefile serves the cluster's names, and the rest by the host's resolver when the host has one.
func corefile(c *state.Cluster, hostResolver string) string {
	forward := ""
	if strings.Contains("\n"+hostResolver, "\nnameserver ") {
		forward = "    forward . /etc/resolv.conf\n"
	}
	return fmt.Sprintf(`.:53 {
    bind %s
    errors
    kubernetes %s in-addr.arpa ip6.arpa {
        kubeconfig %s
        pods insecure
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }
%s    cache 5
    loop
}
`, state.GatewayIP, state.DNSDomain, c.Kubeconfig("coredns"), forward)
}
