//go:build unix

package app

import (
	"io/fs"
	"os"
	"syscall"
)

// isLent reports whether root lends a file to the group that this process is in: others cannot
// read it, and only root can change it. Kubernetes (fsGroup) and systemd (LoadCredential, whose access
// list shows as the group's permission) hand out secrets so, and with mode 600 the process could not
// read them.
func isLent(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && lends(info.Mode(), stat.Uid, os.Geteuid())
}

// lends is isLent for a file of an owner that a user reads.
func lends(mode fs.FileMode, owner uint32, user int) bool {
	return owner == 0 && user != 0 && mode.Perm()&0o066 == 0o040
}
