// Taking a cluster down, in whatever condition it is (I/O).
package lifecycle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"tenantry.local/tools/cluster/internal/node"
	"tenantry.local/tools/cluster/internal/proc"
	"tenantry.local/tools/cluster/internal/state"
)

// Down ends every process of the cluster, undoes every change to the host and removes the state folder.
func Down(name, dir string, out io.Writer) error {
	lock, err := state.LockCluster(dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	c, err := state.Load(dir)
	if errors.Is(err, state.ErrNone) {
		fmt.Fprintf(out, "no cluster %s in %s\n", name, dir)
		lock.Remove()
		return killMarked(dir, func(proc.Process) bool { return true })
	}
	if err != nil {
		return err
	}
	// kubelet goes before the pods, or it would start them again; the runtime goes after them, because it reaps them.
	if err := killMarked(dir, func(p proc.Process) bool { return !strings.HasPrefix(p.Command(), "containerd") }); err != nil {
		return err
	}
	if err := cleanNode(c); err != nil {
		return fmt.Errorf("%w\nthe state in %s is kept: run `cluster down` again", err, dir)
	}
	if err := removeState(c); err != nil {
		return err
	}
	if err := state.ReleaseAll(dir); err != nil {
		return err
	}
	lock.Remove()
	fmt.Fprintf(out, "cluster %s is gone\n", c.Name)
	return nil
}

func cleanNode(c *state.Cluster) error {
	if c.WithNode {
		if err := node.KillPods(c); err != nil {
			return err
		}
	}
	if err := killMarked(c.Dir, func(proc.Process) bool { return true }); err != nil {
		return err
	}
	holder, err := state.NodeHolder()
	if err != nil {
		return err
	}
	if !c.WithNode || (holder != "" && holder != c.Dir) {
		return nil // the node on this host is another cluster's
	}
	return node.Clean(c)
}

// killMarked ends the cluster's processes that the filter picks, until there are none.
func killMarked(dir string, pick func(proc.Process) bool) error {
	for range 10 {
		found, err := proc.Marked(dir)
		if err != nil {
			return err
		}
		found = slices.DeleteFunc(found, func(p proc.Process) bool { return !pick(p) })
		if len(found) == 0 {
			return nil
		}
		if err := proc.Kill(found); err != nil {
			return err
		}
	}
	return fmt.Errorf("processes of the cluster in %s keep coming back: does something restart them?", dir)
}

// removeState never walks into a mount: that could be a folder of the host.
func removeState(c *state.Cluster) error {
	mounts, err := node.MountsBelow(c.Dir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("not removing %s: %s is still mounted; unmount it and run `cluster down` again", c.Dir, mounts[0])
	}
	// cluster.json goes last, so that a removal that is cut short can be taken up again.
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return fmt.Errorf("remove state: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() != "cluster.json" {
			if err := os.RemoveAll(c.Path(entry.Name())); err != nil {
				return fmt.Errorf("remove state: %w", err)
			}
		}
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}
