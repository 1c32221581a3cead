// The command line for people (I/O: through the packages below internal).
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"tenantry.local/tools/cluster/internal/lifecycle"
	"tenantry.local/tools/cluster/internal/node"
	"tenantry.local/tools/cluster/internal/state"
)

const usage = `A real Kubernetes on this host, for tests.

usage: cluster COMMAND [--name NAME] [--state DIR] ...

  up [--control-plane-only] [--enforce-network-policies] [--http-port P] [--https-port P]
                        make the cluster, or start what died, and wait until it can be used
  down                  end it and remove everything it put on this host
  status                components, pids, health; exit code 1 when something is not well
  load-image FILE...    make the images in OCI or docker archives usable for pods
  kubeconfig            print the path of the administrator's kubeconfig
  kubectl ARGS...       kubectl against the cluster (--name and --state only before ARGS)

NAME is tenantry unless given (or $TENANTRY_CLUSTER); DIR is /var/lib/tenantry-cluster/NAME
for root and ~/.tenantry-cluster/NAME for others (or $TENANTRY_CLUSTER_STATE).
`

// target is the cluster that a command is about.
type target struct {
	name  string
	state string
}

func (t *target) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&t.name, "name", t.name, "name of the cluster")
	flags.StringVar(&t.state, "state", t.state, "folder for the cluster's state")
}

func (t *target) dir() (string, error) { return state.Location(t.name, t.state) }

func (t *target) load() (*state.Cluster, error) {
	dir, err := t.dir()
	if err != nil {
		return nil, err
	}
	c, err := state.Load(dir)
	if errors.Is(err, state.ErrNone) {
		return nil, fmt.Errorf("%w: run `cluster up --name %s` first", err, t.name)
	}
	return c, err
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet("cluster "+name, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	return flags
}

func runCommand(ctx context.Context, args []string) error {
	t := target{cmp.Or(os.Getenv("TENANTRY_CLUSTER"), "tenantry"), os.Getenv("TENANTRY_CLUSTER_STATE")}
	flags := newFlags("")
	t.addFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return flag.ErrHelp
	}
	command, rest := flags.Arg(0), flags.Args()[1:]
	switch command {
	case "kubectl":
		return kubectl(t, rest)
	case "pack-image": // for use_test.sh: an image of one static program
		if len(rest) != 3 {
			return errors.New("pack-image needs PROGRAM NAME:TAG FILE")
		}
		return node.PackImage(rest[0], rest[1], rest[2])
	}
	flags = newFlags(command)
	t.addFlags(flags)
	options := lifecycle.Options{}
	if command == "up" {
		flags.BoolVar(&options.ControlPlaneOnly, "control-plane-only", false, "no node")
		flags.BoolVar(&options.Enforce, "enforce-network-policies", false, "NetworkPolicies hold")
		flags.IntVar(&options.HTTPPort, "http-port", 0, "HTTP port of the ingress stand-in, 0 for a free one")
		flags.IntVar(&options.HTTPSPort, "https-port", 0, "HTTPS port of the ingress stand-in, 0 for a free one")
	}
	if err := flags.Parse(rest); err != nil {
		return err
	}
	if command != "load-image" && flags.NArg() > 0 {
		return fmt.Errorf("%s takes no argument %q", command, flags.Arg(0))
	}
	dir, err := t.dir()
	if err != nil {
		return err
	}
	switch command {
	case "up":
		options.Name, options.Dir = t.name, dir
		return lifecycle.Up(ctx, options, os.Stdout)
	case "down":
		return lifecycle.Down(t.name, dir, os.Stdout)
	case "status":
		return lifecycle.Status(ctx, dir, os.Stdout)
	case "load-image":
		return loadImages(t, flags.Args())
	case "kubeconfig":
		c, err := t.load()
		if err != nil {
			return err
		}
		fmt.Println(c.Kubeconfig("admin"))
		return nil
	}
	return fmt.Errorf("unknown command %q; run `cluster --help`", command)
}

func loadImages(t target, archives []string) error {
	c, err := t.load()
	if err != nil {
		return err
	}
	if !c.WithNode {
		return fmt.Errorf("cluster %s has no node to load images into", c.Name)
	}
	if len(archives) == 0 {
		return errors.New("load-image needs the archive files")
	}
	for _, archive := range archives {
		names, err := node.LoadImage(c, archive)
		if err != nil {
			return err
		}
		fmt.Println(strings.Join(names, "\n"))
	}
	return nil
}

func kubectl(t target, args []string) error {
	for len(args) > 0 {
		name, value, joined := strings.Cut(args[0], "=")
		field := map[string]*string{"--name": &t.name, "--state": &t.state}[name]
		if field == nil {
			break
		}
		args = args[1:]
		if !joined {
			if len(args) == 0 {
				return fmt.Errorf("%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		*field = value
	}
	c, err := t.load()
	if err != nil {
		return err
	}
	if err := os.Setenv("KUBECONFIG", c.Kubeconfig("admin")); err != nil {
		return fmt.Errorf("set KUBECONFIG: %w", err)
	}
	os.Args = append([]string{"kubectl"}, args...)
	runKubectl()
	return nil
}
