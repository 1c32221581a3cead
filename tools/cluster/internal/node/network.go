// The pod bridge and the tables of the packet filter (I/O: netlink, the nft and iptables programs).
package node

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"tenantry.local/tools/cluster/internal/netpol"
	"tenantry.local/tools/cluster/internal/state"
)

const natTable = "tenantry_cluster"

func makeNetwork() error {
	if err := makeBridge(); err != nil {
		return err
	}
	rules := fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
  chain postrouting {
    type nat hook postrouting priority srcnat + 10;
    ip saddr %[2]s ip daddr != %[2]s masquerade
  }
}
`, natTable, state.PodCIDR)
	return nft(rules)
}

func makeBridge() error {
	link, err := netlink.LinkByName(state.Bridge)
	if err != nil {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: state.Bridge}}
		if err := netlink.LinkAdd(bridge); err != nil {
			return fmt.Errorf("make bridge %s: %w", state.Bridge, err)
		}
		link = bridge
	}
	address, err := netlink.ParseAddr(state.GatewayIP + "/16")
	if err != nil {
		return fmt.Errorf("bridge address: %w", err)
	}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("give bridge %s its address: %w", state.Bridge, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring bridge %s up: %w", state.Bridge, err)
	}
	return nil
}

// removeLinks deletes the bridge and the pods' ends that hang on it.
func removeLinks() error {
	bridge, err := netlink.LinkByName(state.Bridge)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, link := range links {
		if link.Attrs().MasterIndex == bridge.Attrs().Index {
			_ = netlink.LinkDel(link) // it may have gone together with its network namespace
		}
	}
	if err := netlink.LinkDel(bridge); err != nil {
		return fmt.Errorf("delete bridge %s: %w", state.Bridge, err)
	}
	return nil
}

// removeTables deletes the tables of kube-proxy and of this harness, and what the portmap plugin left in iptables.
func removeTables(c *state.Cluster) error {
	tables, err := nftTables()
	if err != nil {
		return err
	}
	for _, table := range tables {
		own := table == "ip "+natTable || table == "ip "+netpol.Table || table == "ip6 "+netpol.Table || table == "ip kube-proxy" || table == "ip6 kube-proxy"
		if own && !slices.Contains(c.NftTables, table) {
			if err := nft("delete table " + table + "\n"); err != nil {
				return err
			}
		}
	}
	if err := removePortMappings(c.Network()); err != nil {
		return err
	}
	return removeEmptyTables(c.NftTables)
}

// removePortMappings takes the host-port rules of one CNI network out of iptables.
func removePortMappings(network string) error {
	out, err := exec.Command("iptables-save", "-t", "nat").Output()
	if err != nil {
		return nil // no iptables or no nat table: then there are no rules either
	}
	var script bytes.Buffer
	text := string(out)
	for line := range strings.Lines(text) {
		// -A CNI-HOSTPORT-DNAT ... -m comment --comment "dnat name: \"NETWORK\" id: \"...\"" ... -j CNI-DN-...
		if !strings.HasPrefix(line, "-A CNI-HOSTPORT-DNAT ") || !strings.Contains(line, `\"`+network+`\"`) {
			continue
		}
		_, chain, _ := strings.Cut(strings.TrimSpace(line), " -j ")
		fmt.Fprintf(&script, "-D %s", strings.TrimPrefix(line, "-A "))
		fmt.Fprintf(&script, "-F %[1]s\n-X %[1]s\n", chain)
	}
	if script.Len() > 0 {
		if err := iptablesRestore(script.String()); err != nil {
			return err
		}
	}
	return removeBaseChains()
}

// removeBaseChains deletes the plugin's own chains once no mapping of anybody is left in them.
func removeBaseChains() error {
	out, err := exec.Command("iptables-save", "-t", "nat").Output()
	if err != nil || strings.Contains(string(out), "-A CNI-HOSTPORT-DNAT ") {
		return nil
	}
	var rules, chains bytes.Buffer
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, ":CNI-HOSTPORT-"):
			name := strings.Fields(line)[0][1:]
			fmt.Fprintf(&chains, "-F %[1]s\n-X %[1]s\n", name)
		case strings.HasPrefix(line, "-A ") && strings.Contains(line, "-j CNI-HOSTPORT-") && !strings.HasPrefix(line, "-A CNI-"):
			fmt.Fprintf(&rules, "-D %s", strings.TrimPrefix(line, "-A "))
		}
	}
	if chains.Len() == 0 {
		return nil
	}
	return iptablesRestore(rules.String() + chains.String())
}

func iptablesRestore(lines string) error {
	cmd := exec.Command("iptables-restore", "--noflush")
	cmd.Stdin = strings.NewReader("*nat\n" + lines + "COMMIT\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("remove port mappings from iptables: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// removeEmptyTables deletes the tables that iptables made while the node ran and that hold no rule now.
func removeEmptyTables(before []string) error {
	tables, err := nftTables()
	if err != nil {
		return err
	}
	for _, table := range tables {
		family, name, _ := strings.Cut(table, " ")
		iptables := (family == "ip" || family == "ip6") && slices.Contains([]string{"nat", "filter", "mangle", "raw"}, name)
		if !iptables || slices.Contains(before, table) {
			continue
		}
		out, err := exec.Command("nft", "list", "table", family, name).Output()
		if err != nil || hasRules(string(out)) {
			continue
		}
		if err := nft("delete table " + table + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// hasRules looks for a line inside of a chain that is not its type.
func hasRules(listing string) bool {
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		structure := line == "" || line == "}" || strings.HasSuffix(line, "{") || strings.HasPrefix(line, "type ")
		if !structure {
			return true
		}
	}
	return false
}

func nftTables() ([]string, error) {
	out, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		return nil, fmt.Errorf("list nft tables: %w", err)
	}
	tables := []string{}
	for line := range strings.Lines(string(out)) {
		tables = append(tables, strings.TrimSpace(strings.TrimPrefix(line, "table ")))
	}
	return tables, nil
}

func nft(script string) error {
	for attempt := 0; ; attempt++ {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err == nil {
			return nil
		}
		if attempt == 3 {
			return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(out))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
