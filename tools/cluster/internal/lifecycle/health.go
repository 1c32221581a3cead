// Health of each component (I/O: asks it).
package lifecycle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"tenantry.local/tools/cluster/internal/node"
	"tenantry.local/tools/cluster/internal/pki"
	"tenantry.local/tools/cluster/internal/state"
)

const askTimeout = 5 * time.Second

func newClient(c *state.Cluster) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig("admin"))
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.Timeout = 15 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return client, nil
}

// ask wants a 200 from a page; authority and client name certificates in the pki folder.
func ask(ctx context.Context, c *state.Cluster, url, authority, client string) error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if authority != "" {
		pem, err := os.ReadFile(pki.CertPath(c.Path("pki"), authority))
		if err != nil {
			return fmt.Errorf("read authority: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	if client != "" {
		pair, err := tls.LoadX509KeyPair(pki.CertPath(c.Path("pki"), client), pki.KeyPath(c.Path("pki"), client))
		if err != nil {
			return fmt.Errorf("read client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	asker := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := asker.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 300))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

func etcdHealth(ctx context.Context, c *state.Cluster) error {
	return ask(ctx, c, fmt.Sprintf("https://127.0.0.1:%d/health", c.Ports.Etcd), "etcd-ca", "etcd-client")
}

func apiServerHealth(ctx context.Context, c *state.Cluster) error {
	return ask(ctx, c, c.Server()+"/readyz", "ca", "admin")
}

func controllerManagerHealth(ctx context.Context, c *state.Cluster) error {
	return ask(ctx, c, fmt.Sprintf("https://127.0.0.1:%d/healthz", c.Ports.ControllerManager), "ca", "")
}

func schedulerHealth(ctx context.Context, c *state.Cluster) error {
	return ask(ctx, c, fmt.Sprintf("https://127.0.0.1:%d/healthz", c.Ports.Scheduler), "ca", "")
}

func containerdHealth(_ context.Context, c *state.Cluster) error { return node.ContainerdReady(c) }

func proxyHealth(ctx context.Context, c *state.Cluster) error {
	return ask(ctx, c, fmt.Sprintf("http://127.0.0.1:%d/healthz", c.Ports.ProxyHealth), "", "")
}

func provisionerHealth(ctx context.Context, c *state.Cluster) error {
	return ask(ctx, c, fmt.Sprintf("http://127.0.0.1:%d/", c.Ports.ProvisionerHealth), "", "")
}

func networkPolicyHealth(ctx context.Context, c *state.Cluster) error {
	return ask(ctx, c, fmt.Sprintf("http://127.0.0.1:%d/", c.Ports.PolicyHealth), "", "")
}

func ingressHealth(ctx context.Context, c *state.Cluster) error {
	for _, port := range []int{c.Ports.IngressHTTP, c.Ports.IngressHTTPS} {
		dialer := net.Dialer{Timeout: askTimeout}
		connection, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		connection.Close()
	}
	return nil
}

// dnsHealth asks for the one Service that every cluster has.
func dnsHealth(ctx context.Context, _ *state.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(state.GatewayIP, "53"))
	}}
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+state.DNSDomain+".")
	if err != nil {
		return err
	}
	if len(addresses) != 1 || addresses[0] != state.APIService {
		return fmt.Errorf("kubernetes.default resolves to %v, want %s", addresses, state.APIService)
	}
	return nil
}

// nodeHealth asks kubelet and then what the API server has heard from it.
func nodeHealth(ctx context.Context, c *state.Cluster) error {
	if err := ask(ctx, c, fmt.Sprintf("http://127.0.0.1:%d/healthz", c.Ports.KubeletHealth), "", ""); err != nil {
		return err
	}
	client, err := newClient(c)
	if err != nil {
		return err
	}
	found, err := client.CoreV1().Nodes().Get(ctx, c.NodeName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range found.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			if condition.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("node is not ready: %s", condition.Message)
		}
	}
	return errors.New("node has not reported yet")
}

// defaultsThere wants what pods need: the default storage class and service account.
func defaultsThere(ctx context.Context, c *state.Cluster) error {
	client, err := newClient(c)
	if err != nil {
		return err
	}
	classes, err := client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(classes.Items) == 0 {
		return errors.New("no storage class")
	}
	_, err = client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err
}
