// What the stand-in knows of the cluster, and the status it writes to Ingresses (I/O: the API server).
package ingress

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"tenantry.local/tools/cluster/internal/bootstrap"
)

type watcher struct {
	client    kubernetes.Interface
	address   networkingv1.IngressLoadBalancerIngress
	ingresses networkinglisters.IngressLister
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
	secrets   corelisters.SecretLister
	table     atomic.Pointer[Table]
	changed   chan struct{}
}

func watch(ctx context.Context, client kubernetes.Interface, address networkingv1.IngressLoadBalancerIngress) (*watcher, error) {
	const resync = 30 * time.Second
	all := informers.NewSharedInformerFactory(client, resync)
	tls := informers.NewSharedInformerFactoryWithOptions(client, resync, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = "type=" + string(corev1.SecretTypeTLS)
	}))
	w := &watcher{
		client:    client,
		address:   address,
		ingresses: all.Networking().V1().Ingresses().Lister(),
		services:  all.Core().V1().Services().Lister(),
		slices:    all.Discovery().V1().EndpointSlices().Lister(),
		secrets:   tls.Core().V1().Secrets().Lister(),
		changed:   make(chan struct{}, 1),
	}
	w.table.Store(BuildTable(nil, bootstrap.IngressClass))
	notify := func(any) {
		select {
		case w.changed <- struct{}{}:
		default: // a rebuild is due already
		}
	}
	if _, err := all.Networking().V1().Ingresses().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: notify, UpdateFunc: func(_, object any) { notify(object) }, DeleteFunc: notify,
	}); err != nil {
		return nil, fmt.Errorf("watch Ingresses: %w", err)
	}
	for _, factory := range []informers.SharedInformerFactory{all, tls} {
		factory.Start(ctx.Done())
		for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
			if !synced {
				return nil, fmt.Errorf("list %v: stopped before the first answer", kind)
			}
		}
	}
	notify(nil)
	return w, nil
}

// run rebuilds the table after changes and writes the status that tells users where their Ingress answers.
func (w *watcher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		}
		all, err := w.ingresses.List(labels.Everything())
		if err != nil {
			klog.ErrorS(err, "Listing Ingresses failed")
			continue
		}
		w.table.Store(BuildTable(all, bootstrap.IngressClass))
		for _, ingress := range all {
			if err := w.writeStatus(ctx, ingress); err != nil {
				klog.ErrorS(err, "Writing a status failed, the next resync tries again")
			}
		}
		time.Sleep(50 * time.Millisecond) // many changes at once make one table
	}
}

func (w *watcher) writeStatus(ctx context.Context, ingress *networkingv1.Ingress) error {
	want := []networkingv1.IngressLoadBalancerIngress{w.address}
	if !ofClass(ingress, bootstrap.IngressClass) || equality.Semantic.DeepEqual(ingress.Status.LoadBalancer.Ingress, want) {
		return nil
	}
	updated := ingress.DeepCopy()
	updated.Status.LoadBalancer.Ingress = want
	if _, err := w.client.NetworkingV1().Ingresses(ingress.Namespace).UpdateStatus(ctx, updated, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("status of Ingress %s/%s: %w", ingress.Namespace, ingress.Name, err)
	}
	return nil
}

// resolve turns a backend into an address, or says why it cannot.
func (w *watcher) resolve(b Backend) (string, error) {
	service, err := w.services.Services(b.Namespace).Get(b.Service)
	if err != nil {
		return "", fmt.Errorf("Service %s/%s does not exist", b.Namespace, b.Service)
	}
	if service.Spec.ClusterIP == "" || service.Spec.ClusterIP == corev1.ClusterIPNone {
		return "", fmt.Errorf("Service %s/%s has no cluster IP", b.Namespace, b.Service)
	}
	for _, port := range service.Spec.Ports {
		if port.Port == b.Port.Number || (b.Port.Name != "" && port.Name == b.Port.Name) {
			if !w.hasEndpoint(service) {
				return "", fmt.Errorf("Service %s/%s has no ready endpoint", b.Namespace, b.Service)
			}
			return fmt.Sprintf("%s:%d", service.Spec.ClusterIP, port.Port), nil
		}
	}
	return "", fmt.Errorf("Service %s/%s has no port %s%d", b.Namespace, b.Service, b.Port.Name, b.Port.Number)
}

func (w *watcher) hasEndpoint(service *corev1.Service) bool {
	selector := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	found, err := w.slices.EndpointSlices(service.Namespace).List(selector)
	if err != nil {
		return false
	}
	for _, slice := range found {
		for _, endpoint := range slice.Endpoints {
			if ready := endpoint.Conditions.Ready; ready == nil || *ready {
				return true
			}
		}
	}
	return false
}
