// Package proc starts components as detached processes and finds and ends them again (I/O: processes, pid files, /proc).
package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Mark is the variable in a component's environment that names its cluster's state folder.
// It finds components whose pid file was never written, because `up` was killed in between.
const Mark = "TENANTRY_CLUSTER_STATE_MARK"

// Process names one process for good: a pid may be used again, a pid with its start time is not.
type Process struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// Spec says what to start.
type Spec struct {
	Name string
	Path string
	Args []string
	Env  []string
}

// Start runs a component detached from this process, its output appended to logs/NAME.log, and writes its pid file.
func Start(dir string, spec Spec) (Process, error) {
	for _, folder := range []string{"logs", "pids"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return Process{}, fmt.Errorf("start %s: %w", spec.Name, err)
		}
	}
	log, err := os.OpenFile(LogPath(dir, spec.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return Process{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	inherited := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, Mark+"=") })
	cmd.Env = append(append(inherited, spec.Env...), Mark+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	pid := cmd.Process.Pid
	go cmd.Wait() // no zombie while this command runs; it ends before the component does
	stat, err := readStat(pid)
	if err != nil {
		return Process{}, fmt.Errorf("%s ended at once: see %s", spec.Name, LogPath(dir, spec.Name))
	}
	process := Process{pid, stat.start}
	raw, err := json.Marshal(process)
	if err != nil {
		return process, fmt.Errorf("pid file of %s: %w", spec.Name, err)
	}
	path := filepath.Join(dir, "pids", spec.Name)
	if err := os.WriteFile(path+".new", raw, 0o644); err != nil {
		return process, fmt.Errorf("pid file of %s: %w", spec.Name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return process, fmt.Errorf("pid file of %s: %w", spec.Name, err)
	}
	return process, nil
}

// LogPath is the file that a component writes to.
func LogPath(dir, name string) string { return filepath.Join(dir, "logs", name+".log") }

// Find reads a component's pid file; ok only when that very process still runs.
func Find(dir, name string) (Process, bool) {
	raw, err := os.ReadFile(filepath.Join(dir, "pids", name))
	if err != nil {
		return Process{}, false
	}
	var process Process
	if json.Unmarshal(raw, &process) != nil {
		return Process{}, false
	}
	return process, process.Alive()
}

// Alive says whether the process runs; a zombie does not.
func (p Process) Alive() bool {
	stat, err := readStat(p.Pid)
	return err == nil && stat.start == p.Start && stat.state != 'Z' && stat.state != 'X'
}

// Signal sends a signal, but never to another process that got the same pid.
func (p Process) Signal(signal syscall.Signal) {
	if p.Alive() {
		_ = syscall.Kill(p.Pid, signal) // an error means that it ended meanwhile, which is what callers want
	}
}

// Kill ends processes and waits until they are gone.
func Kill(processes []Process) error {
	for _, process := range processes {
		process.Signal(syscall.SIGKILL)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		processes = slices.DeleteFunc(processes, func(p Process) bool { return !p.Alive() })
		if len(processes) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes do not end after SIGKILL, the first has pid %d", len(processes), processes[0].Pid)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Marked lists every process that was started for the cluster in a folder, or by such a process.
func Marked(dir string) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	wanted := []byte(Mark + "=" + dir)
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(v []byte) bool { return bytes.Equal(v, wanted) }) {
			continue
		}
		if stat, err := readStat(pid); err == nil && stat.state != 'Z' {
			found = append(found, Process{pid, stat.start})
		}
	}
	return found, nil
}

// Command is the short name of the program that the process runs.
func (p Process) Command() string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.Pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// ByPid makes a Process of a pid that was just read from a trusted place such as a cgroup.
func ByPid(pid int) (Process, bool) {
	stat, err := readStat(pid)
	return Process{pid, stat.start}, err == nil
}

type stat struct {
	state byte
	start uint64
}

func readStat(pid int) (stat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The command's name stands in brackets and may hold anything; fields are counted after it.
	_, rest, ok := strings.Cut(string(raw[bytes.LastIndexByte(raw, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return stat{}, errors.New("unreadable /proc stat")
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("unreadable /proc stat: %w", err)
	}
	return stat{fields[0][0], start}, nil
}

// LogTail is the end of a component's log, for an error message.
func LogTail(dir, name string) string {
	raw, err := os.ReadFile(LogPath(dir, name))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if len(lines) > 12 {
		lines = lines[len(lines)-12:]
	}
	return strings.Join(lines, "\n")
}
