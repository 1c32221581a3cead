// Tests of when a claim is expanded (no I/O).
package storage

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestWanted(t *testing.T) {
	claim := func(phase corev1.PersistentVolumeClaimPhase, asked, has string) *corev1.PersistentVolumeClaim {
		size := func(text string) corev1.ResourceList {
			return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(text)}
		}
		c := &corev1.PersistentVolumeClaim{}
		c.Spec.VolumeName = "pv"
		c.Spec.Resources.Requests = size(asked)
		c.Status.Phase, c.Status.Capacity = phase, size(has)
		return c
	}
	cases := []struct {
		name  string
		claim *corev1.PersistentVolumeClaim
		grow  bool
	}{
		{"larger", claim(corev1.ClaimBound, "2Gi", "1Gi"), true},
		{"same in another unit", claim(corev1.ClaimBound, "1024Mi", "1Gi"), false},
		{"not bound yet", claim(corev1.ClaimPending, "2Gi", "1Gi"), false},
	}
	for _, c := range cases {
		if _, grow := wanted(c.claim); grow != c.grow {
			t.Errorf("%s: grow is %v, want %v", c.name, grow, c.grow)
		}
	}
}
