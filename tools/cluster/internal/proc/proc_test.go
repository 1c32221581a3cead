// Tests of naming processes (I/O: starts and kills one).
package proc

import "testing"

func TestLifeOfAProcess(t *testing.T) {
	dir := t.TempDir()
	process, err := Start(dir, Spec{Name: "sleeper", Path: "sleep", Args: []string{"60"}})
	if err != nil {
		t.Fatal(err)
	}
	if found, alive := Find(dir, "sleeper"); !alive || found != process {
		t.Errorf("pid file gives %v, %v", found, alive)
	}
	if marked, err := Marked(dir); err != nil || len(marked) != 1 || marked[0] != process {
		t.Errorf("marked: %v, %v", marked, err)
	}
	other := process
	other.Start++
	if other.Alive() {
		t.Error("a process with another start time is another process")
	}
	if err := Kill([]Process{other}); err != nil || !process.Alive() {
		t.Errorf("the wrong process was killed: %v", err)
	}
	if err := Kill([]Process{process}); err != nil || process.Alive() {
		t.Errorf("the process lives on: %v", err)
	}
}
