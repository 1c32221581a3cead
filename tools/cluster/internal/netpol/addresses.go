// Addresses of pods as soon as they have one: the API server hears of it a second later (I/O: the CNI library's folder).
package netpol

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// resultsDir is where the CNI library keeps what its plugins answered, one file a pod and interface.
const resultsDir = "/var/lib/cni/results"

type podName struct{ namespace, name string }

// addresses reads who has which address in a network. Files that are being written are read again with the next change.
func addresses(network string) map[podName]string {
	found := map[podName]string{}
	entries, err := os.ReadDir(resultsDir)
	if err != nil {
		return found
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), network+"-") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(resultsDir, entry.Name()))
		if err != nil {
			continue
		}
		if who, address, ok := parseResult(raw); ok {
			found[who] = address
		}
	}
	return found
}

func parseResult(raw []byte) (podName, string, bool) {
	var result struct {
		CniArgs [][2]string `json:"cniArgs"`
		Result  struct {
			IPs []struct {
				Address string `json:"address"`
			} `json:"ips"`
		} `json:"result"`
	}
	if err := json.Unmarshal(raw, &result); err != nil || len(result.Result.IPs) == 0 {
		return podName{}, "", false
	}
	var who podName
	for _, pair := range result.CniArgs {
		switch pair[0] {
		case "K8S_POD_NAMESPACE":
			who.namespace = pair[1]
		case "K8S_POD_NAME":
			who.name = pair[1]
		}
	}
	prefix, err := netip.ParsePrefix(result.Result.IPs[0].Address)
	if err != nil || who.name == "" {
		return podName{}, "", false
	}
	return who, prefix.Addr().String(), true
}
