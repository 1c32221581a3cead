// Tests of names and folders (no I/O).
package state

import (
	"strings"
	"testing"
)

func TestLocation(t *testing.T) {
	for _, name := range []string{"", "Big", "-a", "a-", "1a", strings.Repeat("a", 31), "a/b"} {
		if _, err := Location(name, "/tmp/x"); err == nil {
			t.Errorf("name %q was accepted", name)
		}
	}
	if dir, err := Location("a-1", "/tmp/x/"); err != nil || dir != "/tmp/x" {
		t.Errorf("got %q, %v", dir, err)
	}
	if _, err := Location("a", "/"+strings.Repeat("x", socketPathBudget)); err == nil {
		t.Error("a folder too long for unix sockets was accepted")
	}
}
