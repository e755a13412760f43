//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// TestPermissions: a lake and its journal are their owner's alone, whatever the umask of
// the shell, unless --umask shares them; and then the journal still never with all users.
func TestPermissions(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	list := writeList(t, "access", 20)
	for _, tt := range []struct {
		flags               []string
		file, dir, journals fs.FileMode // the permissions that new ones may have
	}{
		{nil, 0o600, 0o700, 0o700},
		{[]string{"--umask", "007"}, 0o660, 0o770, 0o770},
		{[]string{"--umask", "022"}, 0o644, 0o755, 0o750},
	} {
		t.Run(strings.Join(tt.flags, " "), func(t *testing.T) {
			t.Parallel()
			lake := filepath.Join(t.TempDir(), "lake")
			for _, words := range [][]string{{"run", list, "--simulate", "--signals", "news"}, {"run", list, "--simulate", "--signals", "growth"}, {"compact", "--min-files", "2"}, {"rebuild", "--into", lake + "/../again"}} {
				args := append(words, append([]string{"--lake", lake}, tt.flags...)...)
				// The umask of this shell hides nothing.
				cmd := exec.Command("sh", "-c", `umask 0; exec "$0" "$@"`, program)
				cmd.Args = append(cmd.Args, args...)
				cmd.Env = append(os.Environ(), runAsProgram+"=0", "XDG_STATE_HOME="+t.TempDir())
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", args, err, out)
				}
			}
			seen, group := 0, false
			for _, root := range []string{lake, lake + "/../again"} {
				err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					info, err := d.Info()
					if err != nil {
						return err
					}
					allowed := tt.file
					if d.IsDir() {
						allowed = tt.dir
					}
					if strings.Contains(path, "/_state/journal") {
						allowed &= tt.journals
					}
					if over := info.Mode().Perm() &^ allowed; over != 0 {
						t.Errorf("%s has mode %04o, want at most %04o", path, info.Mode().Perm(), allowed)
					}
					group = group || info.Mode().Perm()&0o060 == 0o060
					seen++
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if wants := tt.file == 0o660; seen < 20 || group != wants {
				t.Errorf("%d files and folders, shared with the group: %t; want many, and %t", seen, group, wants)
			}
		})
	}

	for _, text := range []string{"9", "0999", "-1", "", "700", "1777"} {
		if code, _, stderr := runProgram(t, "status", "--lake", t.TempDir(), "--umask="+text); code != exitUsage || !strings.Contains(stderr, "--umask") {
			t.Errorf("--umask=%s: exit %d, %s; want %d", text, code, stderr, exitUsage)
		}
	}
}

// TestKeyFile: a key file that others can read or change is refused before anything is
// sent, with the mend; --insecure-key-file accepts it.
func TestKeyFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	envFor(t).set(app.KeyVariable, "")
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode  fs.FileMode
		flags []string
		code  int
	}{
		{0o600, nil, exitComplete}, {0o400, nil, exitComplete}, {0o611, nil, exitComplete},
		{0o640, nil, exitAuth}, {0o604, nil, exitAuth}, {0o620, nil, exitAuth}, {0o602, nil, exitAuth}, {0o644, nil, exitAuth},
		{0o644, []string{"--insecure-key-file"}, exitComplete},
	} {
		if err := os.Chmod(file, tt.mode); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := runProgram(t, append([]string{"usage", "--base-url", r.server.URL, "--api-key-file", file}, tt.flags...)...)
		if code != tt.code || code != exitComplete && (!strings.Contains(stderr, "chmod 600 "+file) || !strings.Contains(stderr, fmt.Sprintf("%04o", tt.mode)) || !strings.Contains(stderr, "--insecure-key-file")) {
			t.Errorf("mode %04o, %v: exit %d, %s; want %d, and what to do", tt.mode, tt.flags, code, stderr, tt.code)
		}
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runProgram(t, "usage", "--base-url", r.server.URL, "--api-key-file", large); code != exitAuth || !strings.Contains(stderr, "more than a key") {
		t.Errorf("a large file: exit %d, %s; want %d", code, stderr, exitAuth)
	}
}
