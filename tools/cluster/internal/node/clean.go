// Taking the node off the host again, also after a crash or half of an `up` (I/O: processes, mounts, links, tables, files).
package node

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tenantry.local/tools/cluster/internal/state"
)

// hostFolders are outside of the state folder and cannot be moved by configuration. Clean removes those that were not there before.
var hostFolders = []string{
	"/run/containerd/s", "/run/containerd/fifo", "/run/containerd",
	"/var/lib/cni/results", "/var/lib/cni/cache", "/var/lib/cni",
	"/var/lib/kubelet/device-plugins", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods",
}

// Clean undoes Prepare and what the node's components did. All marked processes are dead when it is called.
func Clean(c *state.Cluster) error {
	sandboxes := sandboxIDs(c)
	problems := []error{killCgroups(c.Cgroup()), Unmount(c.Dir), removeLinks(), removeTables(c), restoreSysctls(c.Sysctls)}
	for _, socket := range shimSockets(c) {
		os.Remove(socket)
	}
	removeMatching("/var/lib/cni/results", func(name string) bool {
		ofSandbox := func(id string) bool { return strings.Contains(name, id) }
		return strings.HasPrefix(name, c.Network()+"-") || slices.ContainsFunc(sandboxes, ofSandbox)
	})
	removeMatching("/var/log/containers", func(name string) bool {
		target, err := os.Readlink(filepath.Join("/var/log/containers", name))
		return err == nil && strings.HasPrefix(target, c.Dir+"/")
	})
	if slices.Contains(c.HostPaths, "/var/lib/kubelet") {
		os.RemoveAll("/var/lib/kubelet/device-plugins")
	}
	for _, path := range hostFolders {
		if slices.Contains(c.HostPaths, path) {
			os.Remove(path) // only when it is empty: others may use it by now
		}
	}
	return errors.Join(problems...)
}

// shimSockets lists the sockets of this cluster's shims, which lie outside of its own folders under names that tell nothing:
// those that nobody listens on and that are younger than the cluster.
func shimSockets(c *state.Cluster) []string {
	const dir = "/run/containerd/s"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	listening, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil
	}
	var sockets []string
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err == nil && info.ModTime().After(c.Created) && !strings.Contains(string(listening), " "+path+"\n") {
			sockets = append(sockets, path)
		}
	}
	return sockets
}

// sandboxIDs lists the pods that containerd knows; their names are in files of the CNI library outside of the state folder.
func sandboxIDs(c *state.Cluster) []string {
	entries, err := os.ReadDir(c.Path("containerd", "root", "io.containerd.grpc.v1.cri", "sandboxes"))
	if err != nil {
		return nil
	}
	var ids []string
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	return ids
}

func removeMatching(dir string, match func(name string) bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if match(entry.Name()) {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// Unmount takes down everything mounted below a folder, the deepest first.
func Unmount(dir string) error {
	for range 10 {
		points, err := MountsBelow(dir)
		if err != nil || len(points) == 0 {
			return err
		}
		for _, point := range slices.Backward(points) {
			if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, syscall.EINVAL) {
				return fmt.Errorf("unmount %s: %w", point, err)
			}
		}
	}
	return fmt.Errorf("mounts below %s come back: does something of the cluster still run?", dir)
}

// MountsBelow lists mount points in the order in which they were mounted.
func MountsBelow(dir string) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer file.Close()
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			if point := unescape.Replace(fields[4]); strings.HasPrefix(point, dir+"/") {
				points = append(points, point)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return points, nil
}

// KillPods ends every container of the cluster.
func KillPods(c *state.Cluster) error { return killCgroups(c.Cgroup()) }
