// The cluster's certificates and kubeconfigs: who exists, with which rights (I/O: writes the pki and kubeconfigs folders).
package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"tenantry.local/tools/cluster/internal/pki"
	"tenantry.local/tools/cluster/internal/state"
)

// Users that talk to the API server, by the name of their kubeconfig.
const (
	UserProvisioner = "tenantry:storage-provisioner"
	UserIngress     = "tenantry:ingress"
	UserDNS         = "tenantry:coredns"
	UserPolicy      = "tenantry:network-policy"
	UserAPIServer   = "kube-apiserver-kubelet-client"
)

type identity struct {
	authority string
	name      string
	request   pki.Request
	// kubeconfig is written for identities that call the API server.
	kubeconfig bool
}

func identities(c *state.Cluster) []identity {
	local := []string{"localhost", "127.0.0.1", "::1"}
	apiHosts := append([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + state.DNSDomain, state.APIService, state.GatewayIP}, local...)
	client := func(name, user string, groups ...string) identity {
		return identity{"ca", name, pki.Request{User: user, Groups: groups, Client: true}, true}
	}
	server := func(name string, hosts []string) identity {
		return identity{"ca", name, pki.Request{User: name, Hosts: hosts, Server: true}, false}
	}
	return []identity{
		client("admin", "kubernetes-admin", "system:masters"),
		client("controller-manager", "system:kube-controller-manager"),
		client("scheduler", "system:kube-scheduler"),
		client("kubelet", "system:node:"+c.NodeName(), "system:nodes"),
		client("kube-proxy", "system:kube-proxy"),
		client("coredns", UserDNS),
		client("provisioner", UserProvisioner),
		client("ingress", UserIngress),
		client("network-policy", UserPolicy),
		server("apiserver", apiHosts),
		server("controller-manager-serving", local),
		server("scheduler-serving", local),
		server("kubelet-serving", append([]string{c.NodeName(), state.GatewayIP}, local...)),
		{"ca", "apiserver-kubelet-client", pki.Request{User: UserAPIServer, Client: true}, false},
		{"front-proxy-ca", "front-proxy-client", pki.Request{User: "front-proxy-client", Client: true}, false},
		{"etcd-ca", "etcd", pki.Request{User: "etcd", Hosts: local, Server: true, Client: true}, false},
		{"etcd-ca", "etcd-client", pki.Request{User: "kube-apiserver", Client: true}, false},
	}
}

// EnsurePKI makes what is missing of the authorities, certificates, keys and kubeconfigs.
func EnsurePKI(c *state.Cluster) error {
	dir := c.Path("pki")
	for _, folder := range []string{dir, c.Path("kubeconfigs")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("make folder for keys: %w", err)
		}
	}
	authorities := map[string]*pki.Authority{}
	for _, name := range []string{"ca", "front-proxy-ca", "etcd-ca", "ingress-ca"} {
		authority, err := pki.EnsureAuthority(dir, name, "tenantry test cluster "+c.Name+" "+name)
		if err != nil {
			return err
		}
		authorities[name] = authority
	}
	if err := os.WriteFile(IngressCA(c), authorities["ingress-ca"].Cert, 0o644); err != nil {
		return fmt.Errorf("write the ingress authority's certificate: %w", err)
	}
	for _, id := range identities(c) {
		pair, err := pki.Read(dir, id.name)
		if errors.Is(err, fs.ErrNotExist) {
			if pair, err = authorities[id.authority].Issue(id.request); err == nil {
				err = pki.Write(dir, id.name, pair)
			}
		}
		if err != nil {
			return err
		}
		if id.kubeconfig {
			if err := writeKubeconfig(c, id.name, authorities["ca"].Cert, pair); err != nil {
				return err
			}
		}
	}
	return ensureServiceAccountKey(dir)
}

// IngressCA is the file with the certificate of the authority behind certificates made on the fly.
func IngressCA(c *state.Cluster) string { return c.Path("ingress-ca.pem") }

func ensureServiceAccountKey(dir string) error {
	private, public := filepath.Join(dir, "service-account-key.pem"), filepath.Join(dir, "service-account.pub")
	if _, err := os.Stat(public); err == nil {
		return nil
	}
	rawPrivate, rawPublic, err := pki.NewKeyPair()
	if err != nil {
		return err
	}
	if err := os.WriteFile(private, rawPrivate, 0o600); err != nil {
		return fmt.Errorf("write service-account key: %w", err)
	}
	if err := os.WriteFile(public, rawPublic, 0o644); err != nil {
		return fmt.Errorf("write service-account key: %w", err)
	}
	return nil
}

func writeKubeconfig(c *state.Cluster, user string, ca []byte, pair pki.Pair) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[c.Name] = &clientcmdapi.Cluster{Server: c.Server(), CertificateAuthorityData: ca}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	config.Contexts[c.Name] = &clientcmdapi.Context{Cluster: c.Name, AuthInfo: user}
	config.CurrentContext = c.Name
	if err := clientcmd.WriteToFile(*config, c.Kubeconfig(user)); err != nil {
		return fmt.Errorf("write kubeconfig of %s: %w", user, err)
	}
	return nil
}
