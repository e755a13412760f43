package lease

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// currentProcess is this process.
func currentProcess() process {
	p := process{ID: os.Getpid()}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return p
	}
	// Containers of one machine share its boot id, but each numbers its own
	// processes.
	if p.PIDNamespace, err = os.Readlink("/proc/self/ns/pid"); err != nil {
		return p
	}
	if _, p.Start, err = processStat(p.ID); err != nil {
		return p
	}
	p.Boot = strings.TrimSpace(string(boot))
	return p
}

// hasEnded reports whether the process certainly has ended.
func (p process) hasEnded() bool {
	current := currentProcess()
	if p.Boot == "" || p.Boot != current.Boot || p.PIDNamespace != current.PIDNamespace || p.ID <= 0 {
		return false
	}
	// /proc may hide the processes of other users.
	if err := syscall.Kill(p.ID, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	state, start, err := processStat(p.ID)
	return err == nil && (start != p.Start || state == "Z" || state == "X")
}

// processStat reads a process's state and its start time, in ticks since boot.
func processStat(id int) (state, start string, err error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/stat")
	if err != nil {
		return "", "", err
	}
	// The name before these fields, in parentheses, may hold any character.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", "", errors.New("the line is too short")
	}
	return fields[0], fields[19], nil
}
