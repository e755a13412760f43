package proof

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMainIsComplete: the tests that Main leaves out under the race detector exist, and make test
// runs their packages without the detector.
func TestMainIsComplete(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.Fields(regexp.MustCompile(`(?m)^WHOLE *:= ((?:.*\\\n)*.*)$`).FindStringSubmatch(string(makefile))[1])
	out, err := exec.Command("git", "-C", "../..", "grep", "--untracked", "-l", "proof.Main(m", "--", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range strings.Fields(string(out)) {
		dir := path.Dir(file)
		if !slices.Contains(whole, "./"+dir) && dir != "internal/proof" {
			t.Errorf("%s leaves tests out, but WHOLE in the Makefile lacks ./%s", file, dir)
		}
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`"(Test\w+)"`).FindAllStringSubmatch(string(text), -1) {
			if exec.Command("git", "-C", "../..", "grep", "--untracked", "-q", "^func "+name[1]+"(", "--", dir+"/*_test.go").Run() != nil {
				t.Errorf("%s leaves out %s, which is not a test", file, name[1])
			}
		}
	}
}
