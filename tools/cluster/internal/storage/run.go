// The storage process: provisioner, resizer and a health page (I/O).
package storage

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"tenantry.local/tools/cluster/internal/bootstrap"
)

// Run serves until the context ends.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("storage-provisioner", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the provisioner")
	root := flags.String("root", "", "folder that holds the volumes")
	health := flags.String("health", "", "address of the health page")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("storage provisioner: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("storage provisioner: %w", err)
	}
	// One shared cache; the periodic resync is the retry of an expansion that failed.
	factory := informers.NewSharedInformerFactory(client, 10*time.Second)
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	grow := &resizer{client, bootstrap.ProvisionerName}
	handle := func(object any) {
		if err := grow.sync(ctx, object.(*corev1.PersistentVolumeClaim)); err != nil {
			klog.ErrorS(err, "Expansion failed, it will be tried again")
		}
	}
	if _, err := claims.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(_, object any) { handle(object) },
	}); err != nil {
		return fmt.Errorf("storage provisioner: %w", err)
	}
	// The controller adds an index to the cache, so it is made before the cache fills.
	provision := controller.NewProvisionController(ctx, client, bootstrap.ProvisionerName, &provisioner{*root},
		controller.LeaderElection(false),
		controller.ClaimsInformer(claims),
		controller.Threadiness(4),
	)
	factory.Start(ctx.Done())
	failed := make(chan error, 1)
	go func() { failed <- serveHealth(*health, claims) }()
	go provision.Run(ctx)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("health page of the storage provisioner: %w", err)
	}
}

func serveHealth(address string, claims cache.SharedIndexInformer) error {
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !claims.HasSynced() {
			http.Error(w, "claims not listed yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}))
}
