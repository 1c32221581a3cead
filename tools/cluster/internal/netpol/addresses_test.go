// Tests of reading what the CNI library keeps (no I/O).
package netpol

import "testing"

func TestAnAddressIsReadWithThePodThatHasIt(t *testing.T) {
	raw := `{"kind":"cniCacheV1","networkName":"n","cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-0"]],
		"result":{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.244.1.7/16","gateway":"10.244.0.1"}]}}`
	who, address, ok := parseResult([]byte(raw))
	if !ok || who != (podName{"shop", "web-0"}) || address != "10.244.1.7" {
		t.Errorf("read %v %q %v", who, address, ok)
	}
	for _, raw := range []string{"", "{", `{"result":{"ips":[]}}`, `{"result":{"ips":[{"address":"10.244.1.7/16"}]}}`} {
		if _, _, ok := parseResult([]byte(raw)); ok {
			t.Errorf("read something of %q", raw)
		}
	}
}
