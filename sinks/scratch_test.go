package sinks

import "testing"

// TestScratchDir: lakes of one name in two stores do not share a scratch directory: each
// would sweep the files of the other. One on AWS keeps the directory that it had.
func TestScratchDir(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, endpoint := range []string{"", "http://one:9000", "http://two:9000"} {
		for _, uri := range []string{"s3://bucket/lake", "s3://bucket/other"} {
			dir, err := ScratchDir(uri, endpoint, "/scratch")
			if err != nil {
				t.Fatal(err)
			}
			if before, taken := seen[dir]; taken {
				t.Errorf("%s at %q and %s share %s", uri, endpoint, before, dir)
			}
			seen[dir] = uri + " at " + endpoint
			again, err := ScratchDir(uri+"/", endpoint, "/scratch")
			if err != nil || again != dir {
				t.Errorf("%s/ at %q has %s, %v; want %s", uri, endpoint, again, err, dir)
			}
		}
	}
	if dir, err := ScratchDir("s3://bucket/lake", "", "/scratch"); err != nil || dir != "/scratch/5746bde05df12a01" {
		t.Errorf("a lake on AWS has %s, %v", dir, err)
	}
}
