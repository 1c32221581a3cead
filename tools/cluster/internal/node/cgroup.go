// The control group of the cluster's pods: made for kubelet, and emptied and removed at the end (I/O: cgroup file systems).
package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tenantry.local/tools/cluster/internal/proc"
)

// cgroupMounts lists the mounted hierarchies, version 1 and 2.
func cgroupMounts() ([]string, error) {
	raw, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("find cgroup mounts: %w", err)
	}
	var mounts []string
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			mounts = append(mounts, fields[1])
		}
	}
	return mounts, nil
}

func makeCgroups(name string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		group := filepath.Join(mount, name)
		if err := os.MkdirAll(group, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		if err := inheritCpuset(mount, group); err != nil {
			return err
		}
	}
	return nil
}

// inheritCpuset fills what version 1 leaves empty and refuses processes without.
func inheritCpuset(parent, group string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(group, file), value, 0o644)
		}
		if err != nil {
			return fmt.Errorf("set up cgroup %s: %w", group, err)
		}
	}
	return nil
}

// killCgroups ends every process in the group and removes it. Only pods of this cluster are ever in it.
func killCgroups(name string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		left := 0
		for _, mount := range mounts {
			left += killGroup(filepath.Join(mount, name))
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cgroup %s still holds %d groups or processes after 30 s of SIGKILL", name, left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// killGroup removes one hierarchy's group from the leaves up and counts what could not be removed yet.
func killGroup(path string) (left int) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	for _, entry := range entries {
		if entry.IsDir() {
			left += killGroup(filepath.Join(path, entry.Name()))
		}
	}
	procs, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
	for _, field := range strings.Fields(string(procs)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		if process, ok := proc.ByPid(pid); ok {
			process.Signal(syscall.SIGKILL)
		}
	}
	// A frozen group never dies; an error means that it was not frozen or has no freezer.
	_ = os.WriteFile(filepath.Join(path, "freezer.state"), []byte("THAWED"), 0o644)
	if err := syscall.Rmdir(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		left++
	}
	return left
}
