// The ingress process (I/O).
package ingress

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"tenantry.local/tools/cluster/internal/pki"
)

// Run serves until the context ends.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("ingress", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the ingress stand-in")
	authorityDir := flags.String("pki", "", "folder with the authority ingress-ca")
	addresses := flags.String("addresses", "", "addresses to listen on, the last one goes to the Ingress status")
	httpPort := flags.Int("http-port", 0, "port for HTTP")
	httpsPort := flags.Int("https-port", 0, "port for HTTPS")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pair, err := pki.Read(*authorityDir, "ingress-ca")
	if err != nil {
		return err
	}
	authority, err := pki.ParseAuthority(pair)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	hosts := strings.Split(*addresses, ",")
	watcher, err := watch(ctx, client, status(hosts[len(hosts)-1], *httpPort, *httpsPort))
	if err != nil {
		return err
	}
	go watcher.run(ctx)
	certs := &certificates{watcher: watcher, authority: authority, issued: map[string]*tls.Certificate{}}
	return serve(ctx, newProxy(watcher), certs, hosts, *httpPort, *httpsPort)
}

func status(address string, ports ...int) networkingv1.IngressLoadBalancerIngress {
	entry := networkingv1.IngressLoadBalancerIngress{IP: address}
	for _, port := range ports {
		entry.Ports = append(entry.Ports, networkingv1.IngressPortStatus{Port: int32(port), Protocol: corev1.ProtocolTCP})
	}
	return entry
}

func serve(ctx context.Context, handler http.Handler, certs *certificates, hosts []string, httpPort, httpsPort int) error {
	ended := make(chan error, 2*len(hosts))
	for _, host := range hosts {
		for _, port := range []int{httpPort, httpsPort} {
			listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				return fmt.Errorf("ingress: %w", err)
			}
			server := &http.Server{
				Handler:           handler,
				ReadHeaderTimeout: 30 * time.Second,
				TLSConfig:         &tls.Config{GetCertificate: certs.choose, MinVersion: tls.VersionTLS12},
			}
			go func() {
				if port == httpsPort {
					ended <- server.ServeTLS(listener, "", "")
				} else {
					ended <- server.Serve(listener)
				}
			}()
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return fmt.Errorf("ingress: %w", err)
	}
}
