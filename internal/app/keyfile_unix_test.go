//go:build unix

package app

import (
	"io/fs"
	"testing"
)

// TestLends: a secret that root lends to a group, as orchestrators do, is accepted; one that others can
// read, or that a user other than root can change, is not.
func TestLends(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode  fs.FileMode
		owner uint32
		user  int
		want  bool
	}{
		{0o440, 0, 65532, true},
		{0o640, 0, 65532, true},
		{0o440, 0, 0, false},         // root needs no group
		{0o440, 65532, 65532, false}, // its own file: chmod 600 mends it
		{0o440, 1000, 65532, false},
		{0o444, 0, 65532, false},
		{0o460, 0, 65532, false},
		{0o442, 0, 65532, false},
		{0o404, 0, 65532, false},
	} {
		if got := lends(c.mode, c.owner, c.user); got != c.want {
			t.Errorf("lends(%04o, owner %d, user %d) = %t, want %t", c.mode, c.owner, c.user, got, c.want)
		}
	}
}
