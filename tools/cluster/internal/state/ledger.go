// The host-wide ledger: who holds which ports and who holds the node (I/O: files in a run folder, under a lock).
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Ports are taken below the range from which the system takes ports for outgoing connections.
const (
	firstPort = 20000
	lastPort  = 29999
)

type ledger struct {
	Node  string           `json:"node,omitempty"`
	Ports map[int]portHold `json:"ports"`
}

type portHold struct {
	Dir   string    `json:"dir"`
	Since time.Time `json:"since"`
}

func runDir() string {
	if os.Geteuid() == 0 {
		return "/run/tenantry-cluster"
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("tenantry-cluster-run-%d", os.Geteuid()))
}

// Lock is a held file lock.
type Lock struct{ file *os.File }

// Release lets the lock go.
func (l *Lock) Release() { l.file.Close() }

// LockCluster keeps two commands from changing one cluster at once. The lock lies outside of the state folder, which `down` removes.
func LockCluster(dir string) (*Lock, error) {
	name := "cluster-" + strconv.FormatUint(hash(dir), 36) + ".lock"
	return lockFile(filepath.Join(runDir(), name))
}

func lockFile(path string) (*Lock, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("make run folder: %w", err)
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open lock: %w", err)
		}
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		held, errHeld := file.Stat()
		named, errNamed := os.Stat(path)
		if errHeld == nil && errNamed == nil && os.SameFile(held, named) {
			return &Lock{file}, nil
		}
		file.Close() // somebody removed the file between open and lock
	}
}

// Remove deletes the lock file of a cluster that is gone, and the run folder when it is empty.
func (l *Lock) Remove() {
	os.Remove(l.file.Name())
	os.Remove(runDir()) // fails, as it should, while another cluster has something in it
}

func hash(text string) uint64 {
	sum := uint64(14695981039346656037)
	for i := range len(text) {
		sum = (sum ^ uint64(text[i])) * 1099511628211
	}
	return sum
}

func withLedger(change func(*ledger) error) error {
	lock, err := lockFile(filepath.Join(runDir(), "ledger.lock"))
	if err != nil {
		return err
	}
	defer lock.Release()
	path := filepath.Join(runDir(), "ledger.json")
	book := ledger{Ports: map[int]portHold{}}
	if raw, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(raw, &book); err != nil {
			return fmt.Errorf("%s is damaged (remove it when no cluster runs): %w", path, err)
		}
	}
	if book.Ports == nil {
		book.Ports = map[int]portHold{}
	}
	book.forgetGone()
	if err := change(&book); err != nil {
		return err
	}
	if book.Node == "" && len(book.Ports) == 0 {
		os.Remove(path)
		os.Remove(lock.file.Name()) // still held; whoever waits for it notices and makes a new one
		return nil
	}
	return writeJSON(path, book)
}

// forgetGone drops what clusters hold whose state folder is no more.
func (l *ledger) forgetGone() {
	gone := func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, "cluster.json"))
		return errors.Is(err, fs.ErrNotExist)
	}
	for port, hold := range l.Ports {
		if gone(hold.Dir) && time.Since(hold.Since) > time.Minute {
			delete(l.Ports, port)
		}
	}
	if l.Node != "" && gone(l.Node) {
		l.Node = ""
	}
}

// ReservePorts fills every port that is still 0 with a free one and holds it for the cluster.
func ReservePorts(c *Cluster) error {
	return withLedger(func(book *ledger) error {
		for _, port := range c.portFields() {
			if *port != 0 {
				if err := book.checkPort(*port, c.Dir); err != nil {
					return err
				}
			} else {
				free, err := book.freePort()
				if err != nil {
					return err
				}
				*port = free
			}
			book.Ports[*port] = portHold{c.Dir, time.Now()}
		}
		return nil
	})
}

func (c *Cluster) portFields() []*int {
	p := &c.Ports
	return []*int{&p.API, &p.Etcd, &p.EtcdPeer, &p.ControllerManager, &p.Scheduler, &p.Kubelet, &p.KubeletHealth,
		&p.ProxyHealth, &p.ProxyMetrics, &p.ProvisionerHealth, &p.PolicyHealth, &p.IngressHTTP, &p.IngressHTTPS, &p.ContainerdStreamer}
}

// checkPort looks at a port that was asked for, or that the cluster holds already.
func (l *ledger) checkPort(port int, dir string) error {
	hold, taken := l.Ports[port]
	switch {
	case taken && hold.Dir == dir:
		return nil
	case taken:
		return fmt.Errorf("port %d is held by the cluster in %s: choose another one", port, hold.Dir)
	case !isFree(port):
		return fmt.Errorf("port %d is in use: choose another one", port)
	}
	return nil
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return false
	}
	listener.Close()
	return true
}

func (l *ledger) freePort() (int, error) {
	start := rand.IntN(lastPort - firstPort)
	for i := range lastPort - firstPort {
		port := firstPort + (start+i)%(lastPort-firstPort)
		if _, taken := l.Ports[port]; !taken && isFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free TCP port between 20000 and 29999")
}

// ClaimNode makes the cluster the one that has a node on this host.
func ClaimNode(c *Cluster) error {
	return withLedger(func(book *ledger) error {
		if book.Node != "" && book.Node != c.Dir {
			return fmt.Errorf("the cluster in %s already has a node on this host, and a node uses the host's network: "+
				"take it down first (cluster down --state %s), or use --control-plane-only", book.Node, book.Node)
		}
		book.Node = c.Dir
		return nil
	})
}

// NodeHolder is the state folder of the cluster that has the host's node, or nothing.
func NodeHolder() (dir string, err error) {
	err = withLedger(func(book *ledger) error {
		dir = book.Node
		return nil
	})
	return dir, err
}

// ReleaseAll gives back the ports and the node of a cluster.
func ReleaseAll(dir string) error {
	return withLedger(func(book *ledger) error {
		for _, port := range book.portsOf(dir) {
			delete(book.Ports, port)
		}
		if book.Node == dir {
			book.Node = ""
		}
		return nil
	})
}

func (l *ledger) portsOf(dir string) []int {
	var ports []int
	for port, hold := range l.Ports {
		if hold.Dir == dir {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return ports
}
