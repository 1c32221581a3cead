// Creating the bootstrap objects (I/O: calls the API server; what exists is left as it is).
package bootstrap

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"tenantry.local/tools/cluster/internal/controlplane"
)

// Apply creates rights, storage classes and the ingress class.
func Apply(ctx context.Context, client kubernetes.Interface) error {
	rbac := client.RbacV1()
	for _, r := range roles() {
		if err := create(ctx, rbac.ClusterRoles().Create, clusterRole(r)); err != nil {
			return err
		}
		if err := create(ctx, rbac.ClusterRoleBindings().Create, binding(r.user, r.user)); err != nil {
			return err
		}
	}
	kubeletAccess := binding(controlplane.UserAPIServer, "system:kubelet-api-admin")
	if err := create(ctx, rbac.ClusterRoleBindings().Create, kubeletAccess); err != nil {
		return err
	}
	for _, class := range storageClasses() {
		if err := create(ctx, client.StorageV1().StorageClasses().Create, class); err != nil {
			return err
		}
	}
	return create(ctx, client.NetworkingV1().IngressClasses().Create, ingressClass())
}

func create[T metav1.Object](ctx context.Context, call func(context.Context, T, metav1.CreateOptions) (T, error), object T) error {
	if _, err := call(ctx, object, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %T %s: %w", object, object.GetName(), err)
	}
	return nil
}
