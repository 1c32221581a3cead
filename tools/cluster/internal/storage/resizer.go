// Volume expansion: a folder has no size, so a larger claim is accepted as asked (I/O: the API server).
package storage

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

type resizer struct {
	client          kubernetes.Interface
	provisionerName string
}

// sync brings one claim's capacity, and its volume's, up to what the claim asks for.
func (r *resizer) sync(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	asked, grow := wanted(claim)
	if !grow {
		return nil
	}
	volume, err := r.client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("expand claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	if volume.Annotations["pv.kubernetes.io/provisioned-by"] != r.provisionerName {
		return nil
	}
	capacity := map[string]any{"capacity": map[string]string{"storage": asked.String()}}
	if now := volume.Spec.Capacity[corev1.ResourceStorage]; now.Cmp(asked) < 0 {
		patch, err := json.Marshal(map[string]any{"spec": capacity})
		if err != nil {
			return fmt.Errorf("expand volume %s: %w", volume.Name, err)
		}
		if _, err := r.client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("expand volume %s: %w", volume.Name, err)
		}
	}
	patch, err := json.Marshal(map[string]any{"status": capacity})
	if err != nil {
		return fmt.Errorf("expand claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	claims := r.client.CoreV1().PersistentVolumeClaims(claim.Namespace)
	if _, err := claims.Patch(ctx, claim.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("expand claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	klog.InfoS("Expanded", "claim", klog.KObj(claim), "capacity", asked.String())
	return nil
}

// wanted says what a bound claim asks for and whether that is more than it has.
func wanted(claim *corev1.PersistentVolumeClaim) (resource.Quantity, bool) {
	asked := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	has := claim.Status.Capacity[corev1.ResourceStorage]
	return asked, claim.Status.Phase == corev1.ClaimBound && claim.Spec.VolumeName != "" && has.Cmp(asked) < 0
}
