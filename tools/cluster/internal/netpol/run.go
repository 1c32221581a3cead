// The process that keeps the packet filter as the NetworkPolicies say (I/O: the API server, nft).
package netpol

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

type enforcer struct {
	network, bridge string
	pods            corelisters.PodLister
	namespaces      corelisters.NamespaceLister
	policies        networkinglisters.NetworkPolicyLister
	changed         chan struct{}
	applied         atomic.Bool
}

// Run serves until the context ends. The rules stay when it does: `down` removes them.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("network-policy", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the enforcer")
	health := flags.String("health", "", "address of the health page")
	network := flags.String("network", "", "name of the CNI network")
	bridge := flags.String("bridge", "", "bridge of the pods")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("network policy: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("network policy: %w", err)
	}
	e, err := watch(ctx, client, *network, *bridge)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- e.serveHealth(*health) }()
	go e.run(ctx)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("health page of network policy: %w", err)
	}
}

func watch(ctx context.Context, client kubernetes.Interface, network, bridge string) (*enforcer, error) {
	all := informers.NewSharedInformerFactory(client, 0)
	e := &enforcer{
		network: network, bridge: bridge,
		pods:       all.Core().V1().Pods().Lister(),
		namespaces: all.Core().V1().Namespaces().Lister(),
		policies:   all.Networking().V1().NetworkPolicies().Lister(),
		changed:    make(chan struct{}, 1),
	}
	notify := func(any) {
		select {
		case e.changed <- struct{}{}:
		default: // new rules are due already
		}
	}
	for _, informer := range []cache.SharedIndexInformer{
		all.Core().V1().Pods().Informer(), all.Core().V1().Namespaces().Informer(), all.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: notify, UpdateFunc: func(_, object any) { notify(object) }, DeleteFunc: notify,
		}); err != nil {
			return nil, fmt.Errorf("network policy: %w", err)
		}
	}
	all.Start(ctx.Done())
	for kind, synced := range all.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("list %v: stopped before the first answer", kind)
		}
	}
	notify(nil)
	return e, nil
}

// run writes the rules when objects change, and looks for new addresses: a pod must not run for long before its rules do.
func (e *enforcer) run(ctx context.Context) {
	last := ""
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var seen map[podName]string
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.changed:
			seen = addresses(e.network)
		case <-look.C:
			now := addresses(e.network)
			if sameAddresses(seen, now) && e.applied.Load() {
				continue
			}
			seen = now
		}
		rules := Rules(e.world(seen))
		if rules == last {
			continue
		}
		if err := nft(rules); err != nil {
			klog.ErrorS(err, "Writing the rules failed, they are tried again")
			e.applied.Store(false)
			last = ""
			time.Sleep(100 * time.Millisecond)
			continue
		}
		last = rules
		e.applied.Store(true)
	}
}

func sameAddresses(a, b map[podName]string) bool {
	if len(a) != len(b) {
		return false
	}
	for who, address := range a {
		if b[who] != address {
			return false
		}
	}
	return true
}

func (e *enforcer) world(known map[podName]string) World {
	w := World{Bridge: e.bridge, Namespaces: map[string]labels.Set{}}
	everything := labels.Everything()
	namespaces, _ := e.namespaces.List(everything) // lists from memory do not fail
	for _, namespace := range namespaces {
		w.Namespaces[namespace.Name] = namespace.Labels
	}
	w.Policies, _ = e.policies.List(everything)
	pods, _ := e.pods.List(everything)
	for _, pod := range pods {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if ended || pod.Spec.HostNetwork {
			continue
		}
		address := known[podName{pod.Namespace, pod.Name}]
		if address == "" {
			address = pod.Status.PodIP
		}
		if address == "" {
			continue
		}
		one := Pod{Namespace: pod.Namespace, Name: pod.Name, Labels: pod.Labels, Address: address}
		for _, container := range pod.Spec.Containers {
			one.Ports = append(one.Ports, container.Ports...)
		}
		w.Pods = append(w.Pods, one)
	}
	return w
}

func nft(script string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = bytes.NewReader([]byte(script))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (e *enforcer) serveHealth(address string) error {
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !e.applied.Load() {
			http.Error(w, "no rules yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}))
}
