// Loading image archives into the cluster's containerd (I/O: the ctr program).
package node

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"tenantry.local/tools/cluster/internal/state"
)

// LoadImage imports an OCI or docker archive and returns the names under which pods can use what it holds.
func LoadImage(c *state.Cluster, archive string) ([]string, error) {
	out, err := ctr(c, "images", "import", archive)
	if err != nil {
		return nil, fmt.Errorf("load image %s: %w", archive, err)
	}
	var names []string
	for line := range strings.Lines(out) {
		// "unpacking NAME (sha256:...)...done"
		rest, ok := strings.CutPrefix(line, "unpacking ")
		if !ok {
			continue
		}
		name, err := normalise(c, strings.Fields(rest)[0])
		if err != nil {
			return nil, fmt.Errorf("load image %s: %w", archive, err)
		}
		names = append(names, name)
	}
	if names == nil {
		return nil, fmt.Errorf("load image %s: the archive names no image; write it as oci-archive:FILE:NAME:TAG", archive)
	}
	return names, waitKnown(c, names)
}

// normalise tags an image that was given without a registry under the full name that kubelet asks for.
func normalise(c *state.Cluster, name string) (string, error) {
	full, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	if full.String() == name {
		return name, nil
	}
	if _, err := ctr(c, "images", "tag", "--force", name, full.String()); err != nil {
		return "", fmt.Errorf("name image %s: %w", full, err)
	}
	return full.String(), nil
}

// waitKnown waits until kubelet's side of containerd has noticed the images; it hears of them by an event.
func waitKnown(c *state.Cluster, names []string) error {
	deadline := time.Now().Add(15 * time.Second)
	for {
		out, err := ctr(c, "images", "list")
		if err != nil {
			return fmt.Errorf("list images: %w", err)
		}
		known := func(name string) bool {
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, name+" ") && strings.Contains(line, "io.cri-containerd.image=managed") {
					return true
				}
			}
			return false
		}
		if !slices.ContainsFunc(names, func(name string) bool { return !known(name) }) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("containerd does not offer %s to kubelet after 15 s", strings.Join(names, ", "))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func ctr(c *state.Cluster, args ...string) (string, error) {
	cmd := exec.Command("ctr", append([]string{"--address", c.ContainerdSocket(), "--namespace", "k8s.io"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// ContainerdReady says whether containerd answers.
func ContainerdReady(c *state.Cluster) error {
	_, err := ctr(c, "version")
	return err
}
