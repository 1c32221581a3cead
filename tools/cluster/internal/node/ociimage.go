// Images of one static program as OCI archives: the sandbox image, and those of tests (I/O: reads the program, writes the archive).
package node

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"tenantry.local/tools/cluster/internal/state"
)

// PauseArchive is where the sandbox image's archive lies.
func PauseArchive(c *state.Cluster) string { return c.Path("pause.tar") }

type object = map[string]any

// PackImage makes an image of nothing but one static program, run as a user that is not root.
func PackImage(program, name, archive string) error {
	raw, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("pack image %s: %w (tools/cluster/build makes the harness's own programs)", name, err)
	}
	content, err := imageArchive(raw, name)
	if err != nil {
		return fmt.Errorf("pack image %s: %w", name, err)
	}
	if err := os.WriteFile(archive, content, 0o644); err != nil {
		return fmt.Errorf("pack image %s: %w", name, err)
	}
	return nil
}

func imageArchive(program []byte, name string) ([]byte, error) {
	layer, err := tarball(file{"program", 0o755, program})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       object{"Entrypoint": []string{"/program"}, "User": "65535:65535"},
		"rootfs":       object{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(object{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        descriptor("application/vnd.oci.image.config.v1+json", config),
		"layers":        []object{descriptor("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	if err != nil {
		return nil, err
	}
	entry := descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
	entry["annotations"] = object{"org.opencontainers.image.ref.name": name}
	index, err := json.Marshal(object{"schemaVersion": 2, "manifests": []object{entry}})
	if err != nil {
		return nil, err
	}
	return tarball(
		file{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		file{"index.json", 0o644, index},
		blob(manifest), blob(config), blob(layer),
	)
}

type file struct {
	name    string
	mode    int64
	content []byte
}

func blob(content []byte) file {
	return file{fmt.Sprintf("blobs/sha256/%x", sha256.Sum256(content)), 0o644, content}
}

func digest(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

func descriptor(mediaType string, content []byte) object {
	return object{"mediaType": mediaType, "digest": digest(content), "size": len(content)}
}

func tarball(files ...file) ([]byte, error) {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Format: tar.FormatPAX}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
