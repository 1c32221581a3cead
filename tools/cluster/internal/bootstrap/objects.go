// Package bootstrap creates the objects that a fresh cluster needs (objects.go: pure; apply.go calls the API server).
package bootstrap

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tenantry.local/tools/cluster/internal/controlplane"
)

// Names that tests and charts rely on.
const (
	StorageClass          = "standard"
	StorageClassImmediate = "standard-immediate"
	ProvisionerName       = "cluster.tenantry.local/host-directory"
	IngressClass          = "tenantry"
	ingressController     = "cluster.tenantry.local/ingress-stand-in"
)

func storageClasses() []*storagev1.StorageClass {
	expand := true
	reclaim := corev1.PersistentVolumeReclaimDelete
	class := func(name string, mode storagev1.VolumeBindingMode, isDefault string) *storagev1.StorageClass {
		return &storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{
				Name:        name,
				Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": isDefault},
			},
			Provisioner:          ProvisionerName,
			ReclaimPolicy:        &reclaim,
			AllowVolumeExpansion: &expand,
			VolumeBindingMode:    &mode,
		}
	}
	return []*storagev1.StorageClass{
		class(StorageClass, storagev1.VolumeBindingWaitForFirstConsumer, "true"),
		class(StorageClassImmediate, storagev1.VolumeBindingImmediate, "false"),
	}
}

func ingressClass() *networkingv1.IngressClass {
	return &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: IngressClass},
		Spec:       networkingv1.IngressClassSpec{Controller: ingressController},
	}
}

// role is a user of the harness and what it may do.
type role struct {
	user  string
	rules []rbacv1.PolicyRule
}

func roles() []role {
	read := []string{"get", "list", "watch"}
	write := []string{"create", "update", "patch"}
	rule := func(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	return []role{
		{controlplane.UserDNS, []rbacv1.PolicyRule{
			rule("", read, "endpoints", "services", "pods", "namespaces"),
			rule("discovery.k8s.io", read, "endpointslices"),
		}},
		{controlplane.UserPolicy, []rbacv1.PolicyRule{
			rule("", read, "pods", "namespaces"),
			rule("networking.k8s.io", read, "networkpolicies"),
		}},
		{controlplane.UserProvisioner, []rbacv1.PolicyRule{
			rule("", append([]string{"create", "delete", "update", "patch"}, read...), "persistentvolumes"),
			rule("", append([]string{"update", "patch"}, read...), "persistentvolumeclaims"),
			rule("", []string{"update", "patch"}, "persistentvolumeclaims/status"),
			rule("", write, "events"),
			rule("", read, "nodes"),
			rule("storage.k8s.io", read, "storageclasses"),
		}},
		{controlplane.UserIngress, []rbacv1.PolicyRule{
			rule("", read, "services", "secrets"),
			rule("discovery.k8s.io", read, "endpointslices"),
			rule("networking.k8s.io", read, "ingresses"),
			rule("networking.k8s.io", []string{"update", "patch"}, "ingresses/status"),
		}},
	}
}

func clusterRole(r role) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: r.user}, Rules: r.rules}
}

func binding(user, roleName string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
}
