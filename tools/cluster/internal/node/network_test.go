// Tests of reading nft's listings (no I/O).
package node

import "testing"

func TestHasRules(t *testing.T) {
	empty := "table ip nat {\n\tchain POSTROUTING {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t}\n}\n"
	if hasRules(empty) {
		t.Error("a table with nothing but an empty base chain has no rules")
	}
	used := "table ip nat {\n\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\ttcp dport 80 counter accept\n\t}\n}\n"
	if !hasRules(used) {
		t.Error("a rule was not seen")
	}
}
