// Package state holds what is known of one cluster: its name, folder, ports and file paths (I/O: reads and writes cluster.json).
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Addresses of the pod network. Only one cluster with a node runs on a host at a time, so they can be constants.
const (
	Bridge      = "tenantry0"
	GatewayIP   = "10.244.0.1"
	PodCIDR     = "10.244.0.0/16"
	PodFirstIP  = "10.244.1.0"
	ServiceCIDR = "10.96.0.0/16"
	APIService  = "10.96.0.1"
	DNSDomain   = "cluster.local"

	// socketPathBudget is what a unix socket's path (108 bytes) leaves for the state folder.
	socketPathBudget = 60
)

// Ports of one cluster, chosen free when it is made and kept in its state.
type Ports struct {
	API                int `json:"api"`
	Etcd               int `json:"etcd"`
	EtcdPeer           int `json:"etcdPeer"`
	ControllerManager  int `json:"controllerManager"`
	Scheduler          int `json:"scheduler"`
	Kubelet            int `json:"kubelet"`
	KubeletHealth      int `json:"kubeletHealth"`
	ProxyHealth        int `json:"proxyHealth"`
	ProxyMetrics       int `json:"proxyMetrics"`
	ProvisionerHealth  int `json:"provisionerHealth"`
	PolicyHealth       int `json:"policyHealth"`
	IngressHTTP        int `json:"ingressHTTP"`
	IngressHTTPS       int `json:"ingressHTTPS"`
	ContainerdStreamer int `json:"containerdStreamer"`
}

// Cluster is the content of cluster.json.
type Cluster struct {
	Name     string `json:"name"`
	Dir      string `json:"dir"`
	WithNode bool   `json:"withNode"`
	// Enforce is whether NetworkPolicies hold.
	Enforce   bool              `json:"enforceNetworkPolicies,omitempty"`
	Ports     Ports             `json:"ports"`
	Created   time.Time         `json:"created"`
	Sysctls   map[string]string `json:"sysctlsBefore,omitempty"`
	HostPaths []string          `json:"hostPathsMade,omitempty"`
	NftTables []string          `json:"nftTablesBefore,omitempty"`
}

// ErrNone says that there is no cluster in the folder.
var ErrNone = errors.New("no such cluster")

var namePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$`)

// Location checks a name and works out the folder of the cluster.
func Location(name, dir string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("cluster name %q: use 1 to 30 small letters, digits and dashes, beginning with a letter", name)
	}
	if dir == "" {
		dir = filepath.Join(defaultRoot(), name)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("state folder %q: %w", dir, err)
	}
	if len(abs) > socketPathBudget {
		return "", fmt.Errorf("state folder %q is %d bytes long; unix sockets below it need at most %d: choose a shorter --state", abs, len(abs), socketPathBudget)
	}
	return abs, nil
}

func defaultRoot() string {
	if os.Geteuid() == 0 {
		return "/var/lib/tenantry-cluster"
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".tenantry-cluster")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("tenantry-cluster-%d", os.Geteuid()))
}

// Load reads the state of the cluster in a folder; ErrNone when there is none.
func Load(dir string) (*Cluster, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNone, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster state: %w", err)
	}
	var c Cluster
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("cluster state in %s is damaged: %w", dir, err)
	}
	return &c, nil
}

// Save writes the state in one step, so that a killed `up` never leaves half a file.
func (c *Cluster) Save() error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	return writeJSON(c.Path("cluster.json"), c)
}

func writeJSON(path string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Path of something below the state folder.
func (c *Cluster) Path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// NodeName is the name of the cluster's only node.
func (c *Cluster) NodeName() string { return c.Name + "-node" }

// Cgroup is the name of the control group that holds the cluster's pods.
func (c *Cluster) Cgroup() string { return "tenantry-" + c.Name }

// Network is the name of the cluster's CNI network.
func (c *Cluster) Network() string { return "tenantry-" + c.Name }

// Kubeconfig is the file that a user of the cluster has.
func (c *Cluster) Kubeconfig(user string) string {
	if user == "admin" {
		return c.Path("kubeconfig")
	}
	return c.Path("kubeconfigs", user)
}

// Server is the address of the API server on this host.
func (c *Cluster) Server() string { return fmt.Sprintf("https://127.0.0.1:%d", c.Ports.API) }

// ContainerdSocket is the socket of the cluster's own containerd.
func (c *Cluster) ContainerdSocket() string { return c.Path("containerd", "c.sock") }
