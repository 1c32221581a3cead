// Status of a cluster (I/O: asks every component).
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tenantry.local/tools/cluster/internal/proc"
	"tenantry.local/tools/cluster/internal/state"
)

// ErrUnhealthy is returned when a component is not well.
var ErrUnhealthy = errors.New("cluster is not healthy")

// Status prints one line for each component.
func Status(ctx context.Context, dir string, out io.Writer) error {
	c, err := state.Load(dir)
	if err != nil {
		return err
	}
	kind := "control plane only"
	if c.WithNode {
		kind = "with node " + c.NodeName()
	}
	fmt.Fprintf(out, "cluster %s, %s\n", c.Name, kind)
	result := error(nil)
	for _, comp := range components(c) {
		process, alive := proc.Find(c.Dir, comp.name)
		pid, health := "-", "not running"
		if alive {
			pid, health = fmt.Sprint(process.Pid), "healthy"
			if err := comp.health(ctx, c); err != nil {
				health = err.Error()
			}
		}
		if health != "healthy" {
			result = ErrUnhealthy
		}
		fmt.Fprintf(out, "  %-24s %8s  %s\n", comp.name, pid, health)
	}
	summary(c, out)
	return result
}

func healthy(ctx context.Context, c *state.Cluster) bool {
	for _, comp := range components(c) {
		if _, alive := proc.Find(c.Dir, comp.name); !alive || comp.health(ctx, c) != nil {
			return false
		}
	}
	return true
}
