// Preparing the host for the node: files, kernel settings, control groups, network (I/O; Clean undoes all of it).
package node

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"tenantry.local/tools/cluster/internal/state"
)

var programs = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "nft", "iptables", "conntrack", "mount"}

// CheckHost says what is missing before anything is changed.
func CheckHost() error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return fmt.Errorf("a node needs root on Linux; use --control-plane-only")
	}
	var missing []string
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if _, err := os.Stat(cniPlugins + "/bridge"); err != nil {
		missing = append(missing, cniPlugins+"/bridge")
	}
	if missing != nil {
		return fmt.Errorf("a node needs these programs: %s; run tools/cluster/build as root, or install the packages that it names, or use --control-plane-only",
			strings.Join(missing, ", "))
	}
	return nil
}

// Prepare writes the configuration and changes the host. Every change is noted in the state before it is made.
func Prepare(c *state.Cluster, pauseBinary string) error {
	if err := writeConfig(c, pauseBinary); err != nil {
		return err
	}
	if err := noteHost(c); err != nil {
		return err
	}
	if err := makeCgroups(c.Cgroup()); err != nil {
		return err
	}
	if err := setSysctls(); err != nil {
		return err
	}
	return makeNetwork()
}

func writeConfig(c *state.Cluster, pauseBinary string) error {
	for _, folder := range []string{"containerd", "cni/conf", "volumes", "kubelet", "pod-logs"} {
		if err := os.MkdirAll(c.Path(folder), 0o755); err != nil {
			return fmt.Errorf("prepare node: %w", err)
		}
	}
	cni, err := cniConfig(c)
	if err != nil {
		return err
	}
	// A host without a resolver is fine: CoreDNS then serves the cluster's names only.
	hostResolver, _ := os.ReadFile("/etc/resolv.conf")
	files := map[string]string{
		"containerd.toml":          containerdConfig(c),
		"cni/conf/10-net.conflist": string(cni),
		"kubelet.yaml":             kubeletConfig(c),
		"resolv.conf":              "nameserver " + state.GatewayIP + "\n",
		"Corefile":                 corefile(c, string(hostResolver)),
	}
	for name, content := range files {
		if err := os.WriteFile(c.Path(name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("prepare node: %w", err)
		}
	}
	return PackImage(pauseBinary, PauseImage, PauseArchive(c))
}

// noteHost records what the host looks like before the node, once.
func noteHost(c *state.Cluster) error {
	if c.Sysctls != nil {
		return nil
	}
	c.Sysctls = readSysctls()
	for _, path := range hostFolders {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			c.HostPaths = append(c.HostPaths, path)
		}
	}
	tables, err := nftTables()
	if err != nil {
		return err
	}
	c.NftTables = tables
	return c.Save()
}
