// Certificates and keys as files NAME.pem and NAME-key.pem (I/O: reads and writes them).
package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CertPath is where the certificate called name lies in a folder.
func CertPath(dir, name string) string { return filepath.Join(dir, name+".pem") }

// KeyPath is where the key called name lies in a folder.
func KeyPath(dir, name string) string { return filepath.Join(dir, name+"-key.pem") }

// EnsureAuthority reads an authority from a folder, or makes it and writes it there.
func EnsureAuthority(dir, name, commonName string) (*Authority, error) {
	pair, err := Read(dir, name)
	if err == nil {
		return ParseAuthority(pair)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	authority, err := NewAuthority(commonName)
	if err != nil {
		return nil, err
	}
	return authority, Write(dir, name, authority.Pair)
}

// Read a certificate and its key.
func Read(dir, name string) (Pair, error) {
	cert, err := os.ReadFile(CertPath(dir, name))
	if err != nil {
		return Pair{}, fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(KeyPath(dir, name))
	if err != nil {
		return Pair{}, fmt.Errorf("read key: %w", err)
	}
	return Pair{cert, key}, nil
}

// Write a certificate and its key; the key first, so that a certificate never lacks its key.
func Write(dir, name string, pair Pair) error {
	if err := os.WriteFile(KeyPath(dir, name), pair.Key, 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := os.WriteFile(CertPath(dir, name), pair.Cert, 0o644); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	return nil
}
