// Taking a cluster up (I/O). Every step can be done again, so `up` also brings back what died.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"tenantry.local/tools/cluster/internal/bootstrap"
	"tenantry.local/tools/cluster/internal/controlplane"
	"tenantry.local/tools/cluster/internal/node"
	"tenantry.local/tools/cluster/internal/proc"
	"tenantry.local/tools/cluster/internal/state"
)

// Options of `up`.
type Options struct {
	Name             string
	Dir              string
	ControlPlaneOnly bool
	HTTPPort         int
	HTTPSPort        int
	Enforce          bool
}

// patience is generous: the machine may be busy with builds.
const patience = 3 * time.Minute

// Up makes the cluster, or repairs it, and waits until it can be used.
func Up(ctx context.Context, options Options, out io.Writer) error {
	lock, err := state.LockCluster(options.Dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	c, err := state.Load(options.Dir)
	switch {
	case errors.Is(err, state.ErrNone):
		if c, err = create(options, out); err != nil {
			return err
		}
	case err != nil:
		return err
	case healthy(ctx, c):
		fmt.Fprintf(out, "cluster %s is running already\n", c.Name)
		summary(c, out)
		return nil
	default:
		fmt.Fprintf(out, "cluster %s exists but is not healthy: starting what is missing\n", c.Name)
	}
	start := time.Now()
	if err := bringUp(ctx, c, out); err != nil {
		return fmt.Errorf("%w\nlogs are in %s; `cluster status` shows what runs, `cluster down` removes all of it", err, c.Path("logs"))
	}
	fmt.Fprintf(out, "cluster %s is ready after %.1f s\n", c.Name, time.Since(start).Seconds())
	summary(c, out)
	return nil
}

func summary(c *state.Cluster, out io.Writer) {
	fmt.Fprintf(out, "  kubeconfig  %s\n  audit log   %s\n", c.Kubeconfig("admin"), controlplane.AuditLog(c))
	if c.WithNode {
		fmt.Fprintf(out, "  ingress     http %d, https %d, authority %s\n", c.Ports.IngressHTTP, c.Ports.IngressHTTPS, controlplane.IngressCA(c))
	}
}

// create notes the cluster's existence before anything else, so that `down` finds every later step.
func create(options Options, out io.Writer) (*state.Cluster, error) {
	if entries, err := os.ReadDir(options.Dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty and holds no cluster: choose another --state, since `down` removes the whole folder", options.Dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	c := &state.Cluster{Name: options.Name, Dir: options.Dir, WithNode: !options.ControlPlaneOnly, Created: time.Now().UTC(), Enforce: options.Enforce}
	if c.WithNode && os.Geteuid() != 0 {
		fmt.Fprintln(out, "not root: control plane only")
		c.WithNode = false
	}
	if c.WithNode {
		if err := node.CheckHost(); err != nil {
			return nil, err
		}
	}
	c.Ports.IngressHTTP, c.Ports.IngressHTTPS = options.HTTPPort, options.HTTPSPort
	if err := c.Save(); err != nil {
		return nil, err
	}
	if err := claim(c); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.Dir), state.ReleaseAll(c.Dir))
	}
	return c, c.Save()
}

func claim(c *state.Cluster) error {
	if c.WithNode {
		if err := state.ClaimNode(c); err != nil {
			return err
		}
	}
	return state.ReservePorts(c)
}

type stage struct {
	name string
	do   func(context.Context) error
}

func bringUp(ctx context.Context, c *state.Cluster, out io.Writer) error {
	if err := claim(c); err != nil { // again, for a cluster that outlived the host's run folder
		return err
	}
	if err := c.Save(); err != nil {
		return err
	}
	for _, s := range stages(c) {
		start := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "  %-34s %5.1f s\n", s.name, time.Since(start).Seconds())
	}
	return nil
}

func stages(c *state.Cluster) []stage {
	all := []stage{
		{"certificates", func(context.Context) error { return prepareControlPlane(c) }},
	}
	if c.WithNode {
		all = append(all, stage{"host prepared, containerd started", func(context.Context) error { return prepareNode(c) }})
	}
	all = append(all,
		stage{"etcd", func(ctx context.Context) error { return startAndWait(ctx, c, etcd) }},
		stage{"API server", func(ctx context.Context) error { return startAndWait(ctx, c, apiServer) }},
		stage{"rights, storage and ingress classes", func(ctx context.Context) error { return bootstrapObjects(ctx, c) }},
	)
	if c.WithNode {
		all = append(all,
			stage{"sandbox image", func(ctx context.Context) error { return loadPause(ctx, c) }},
			stage{"node's components started", func(context.Context) error { return ensureAll(c, coreDNS, kubeProxy, kubelet, provisioner, ingress) }},
		)
	}
	all = append(all, stage{"controllers and scheduler", func(ctx context.Context) error { return startAndWait(ctx, c, controllerManager, scheduler) }})
	if c.WithNode {
		all = append(all,
			stage{"node ready", func(ctx context.Context) error { return wait(ctx, c, kubelet.name, kubelet.health) }},
			stage{"Services and DNS answering", func(ctx context.Context) error { return startAndWait(ctx, c, kubeProxy, coreDNS) }},
			stage{"storage and ingress", func(ctx context.Context) error { return startAndWait(ctx, c, provisioner, ingress) }},
		)
	}
	if c.WithNode && c.Enforce {
		all = append(all, stage{"NetworkPolicies enforced", func(ctx context.Context) error { return startAndWait(ctx, c, networkPolicy) }})
	}
	return append(all, stage{"defaults for pods", func(ctx context.Context) error { return wait(ctx, c, controllerManager.name, defaultsThere) }})
}

func prepareControlPlane(c *state.Cluster) error {
	if err := os.WriteFile(c.Path("audit-policy.yaml"), []byte(controlplane.AuditPolicy), 0o644); err != nil {
		return fmt.Errorf("write audit policy: %w", err)
	}
	return controlplane.EnsurePKI(c)
}

func prepareNode(c *state.Cluster) error {
	pause, err := sibling("pause")
	if err != nil {
		return err
	}
	if err := node.Prepare(c, pause); err != nil {
		return err
	}
	return ensure(c, containerd)
}

func bootstrapObjects(ctx context.Context, c *state.Cluster) error {
	if err := ensureAll(c, controllerManager, scheduler); err != nil {
		return err
	}
	client, err := newClient(c)
	if err != nil {
		return err
	}
	// The API server's own roles appear a moment after it is ready.
	return wait(ctx, c, apiServer.name, func(ctx context.Context, _ *state.Cluster) error { return bootstrap.Apply(ctx, client) })
}

func loadPause(ctx context.Context, c *state.Cluster) error {
	if err := wait(ctx, c, containerd.name, containerd.health); err != nil {
		return err
	}
	_, err := node.LoadImage(c, node.PauseArchive(c))
	return err
}

func ensureAll(c *state.Cluster, all ...component) error {
	for _, comp := range all {
		if err := ensure(c, comp); err != nil {
			return err
		}
	}
	return nil
}

func startAndWait(ctx context.Context, c *state.Cluster, all ...component) error {
	if err := ensureAll(c, all...); err != nil {
		return err
	}
	for _, comp := range all {
		if err := wait(ctx, c, comp.name, comp.health); err != nil {
			return err
		}
	}
	return nil
}

// wait asks until the answer is good, the component is dead or patience ends.
func wait(ctx context.Context, c *state.Cluster, name string, check func(context.Context, *state.Cluster) error) error {
	deadline := time.Now().Add(patience)
	for {
		err := check(ctx, c)
		if err == nil {
			return nil
		}
		if _, alive := proc.Find(c.Dir, name); !alive {
			return fmt.Errorf("%s has ended; the end of %s:\n%s", name, proc.LogPath(c.Dir, name), proc.LogTail(c.Dir, name))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not well after %s: %w", name, patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
