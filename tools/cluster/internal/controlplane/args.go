// Package controlplane knows how etcd, the API server, the controller manager and the scheduler are started (args.go: pure).
package controlplane

import (
	"fmt"

	"tenantry.local/tools/cluster/internal/pki"
	"tenantry.local/tools/cluster/internal/state"
)

// EtcdArgs for one member that trades durability for speed: it is a test cluster.
func EtcdArgs(c *state.Cluster) []string {
	dir := c.Path("pki")
	client := fmt.Sprintf("https://127.0.0.1:%d", c.Ports.Etcd)
	peer := fmt.Sprintf("http://127.0.0.1:%d", c.Ports.EtcdPeer)
	return []string{
		"--name=" + c.Name,
		"--data-dir=" + c.Path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + c.Name + "=" + peer,
		"--client-cert-auth",
		"--trusted-ca-file=" + pki.CertPath(dir, "etcd-ca"),
		"--cert-file=" + pki.CertPath(dir, "etcd"),
		"--key-file=" + pki.KeyPath(dir, "etcd"),
		"--quota-backend-bytes=8589934592",
		"--auto-compaction-mode=periodic",
		"--auto-compaction-retention=5m",
		"--unsafe-no-fsync",
		"--logger=zap",
		"--log-level=warn",
	}
}

// APIServerArgs with RBAC, Node authorisation, audit and aggregation.
func APIServerArgs(c *state.Cluster) []string {
	dir := c.Path("pki")
	args := []string{
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", c.Ports.Etcd),
		"--etcd-cafile=" + pki.CertPath(dir, "etcd-ca"),
		"--etcd-certfile=" + pki.CertPath(dir, "etcd-client"),
		"--etcd-keyfile=" + pki.KeyPath(dir, "etcd-client"),
		fmt.Sprintf("--secure-port=%d", c.Ports.API),
		"--cert-dir=" + dir,
		"--tls-cert-file=" + pki.CertPath(dir, "apiserver"),
		"--tls-private-key-file=" + pki.KeyPath(dir, "apiserver"),
		"--client-ca-file=" + pki.CertPath(dir, "ca"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc." + state.DNSDomain,
		"--service-account-key-file=" + dir + "/service-account.pub",
		"--service-account-signing-key-file=" + dir + "/service-account-key.pem",
		"--service-cluster-ip-range=" + state.ServiceCIDR,
		"--kubelet-certificate-authority=" + pki.CertPath(dir, "ca"),
		"--kubelet-client-certificate=" + pki.CertPath(dir, "apiserver-kubelet-client"),
		"--kubelet-client-key=" + pki.KeyPath(dir, "apiserver-kubelet-client"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + pki.CertPath(dir, "front-proxy-ca"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + pki.CertPath(dir, "front-proxy-client"),
		"--proxy-client-key-file=" + pki.KeyPath(dir, "front-proxy-client"),
		"--enable-aggregator-routing=true",
		"--allow-privileged=true",
		"--advertise-address=" + state.GatewayIP,
		"--profiling=false",
		"--audit-policy-file=" + c.Path("audit-policy.yaml"),
		"--audit-log-path=" + AuditLog(c),
		"--audit-log-format=json",
		"--audit-log-maxsize=8192",
		"--v=1",
	}
	if c.WithNode {
		return append(args, "--bind-address=0.0.0.0")
	}
	return append(args, "--bind-address=127.0.0.1", "--endpoint-reconciler-type=none")
}

// AuditLog is the file that gets one JSON line for every request.
func AuditLog(c *state.Cluster) string { return c.Path("audit.log") }

// AuditPolicy records who did what to which object, without the bodies.
const AuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: ["RequestReceived"]
rules:
- level: Metadata
`

// ControllerManagerArgs with every controller that is on by default.
func ControllerManagerArgs(c *state.Cluster) []string {
	dir := c.Path("pki")
	kubeconfig := c.Kubeconfig("controller-manager")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.Ports.ControllerManager),
		"--cert-dir=" + dir,
		"--tls-cert-file=" + pki.CertPath(dir, "controller-manager-serving"),
		"--tls-private-key-file=" + pki.KeyPath(dir, "controller-manager-serving"),
		"--client-ca-file=" + pki.CertPath(dir, "ca"),
		"--requestheader-client-ca-file=" + pki.CertPath(dir, "front-proxy-ca"),
		"--root-ca-file=" + pki.CertPath(dir, "ca"),
		"--service-account-private-key-file=" + dir + "/service-account-key.pem",
		"--cluster-signing-cert-file=" + pki.CertPath(dir, "ca"),
		"--cluster-signing-key-file=" + pki.KeyPath(dir, "ca"),
		"--use-service-account-credentials=true",
		"--allocate-node-cidrs=false",
		"--leader-elect=false",
		"--concurrent-namespace-syncs=20",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--flex-volume-plugin-dir=" + c.Path("volume-plugins"),
		"--profiling=false",
		"--v=1",
	}
}

// SchedulerArgs for the default scheduler.
func SchedulerArgs(c *state.Cluster) []string {
	dir := c.Path("pki")
	kubeconfig := c.Kubeconfig("scheduler")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.Ports.Scheduler),
		"--cert-dir=" + dir,
		"--tls-cert-file=" + pki.CertPath(dir, "scheduler-serving"),
		"--tls-private-key-file=" + pki.KeyPath(dir, "scheduler-serving"),
		"--client-ca-file=" + pki.CertPath(dir, "ca"),
		"--requestheader-client-ca-file=" + pki.CertPath(dir, "front-proxy-ca"),
		"--leader-elect=false",
		"--profiling=false",
		"--v=1",
	}
}
