package crosscheck

import (
	"bufio"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// TestReadersDuringKills: readers query a lake, by globbing and by its views, while runs are
// published into it and killed at random points. No query ever fails, none sees a part of a run's
// partition, and all views of a session see one generation.
func TestReadersDuringKills(t *testing.T) {
	publications := proof.Size(2, 6, 50)
	wantKills, samples := publications, proof.Size(10, 60, 5000) // pairs of samples: one by globbing, one by the views
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	simulator := exec.Command(program, "simulate", "--listen", "127.0.0.1:0", "--sim-plan", "unlimited", "--latency", "3ms", "--credits", "100000000")
	out, err := simulator.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := simulator.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = simulator.Process.Kill()
		_ = simulator.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(strings.TrimPrefix(line, "simulator listening on "))
	lake, lists := filepath.Join(t.TempDir(), "lake"), t.TempDir()
	t.Setenv("LUSHA_API_KEY", "any-key-will-do")
	t.Setenv("XDG_STATE_HOME", t.TempDir())

	// run publishes the n-th list, and kills it a number of times on the way.
	var kills atomic.Int64
	dice := rand.New(rand.NewPCG(1, 1))
	run := func(n, deaths int) error {
		list := filepath.Join(lists, fmt.Sprintf("%d.txt", n))
		var text strings.Builder
		for i := range 120 {
			fmt.Fprintf(&text, "list-%d-line-%d.example\n", n, i)
		}
		if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
			return err
		}
		for {
			cmd := exec.Command(program, "run", list, "--lake", lake, "--base-url", url, "--plan", "unlimited", "--rate", "0",
				"--signals", "riskNews,surgeInHiring", "--since", "20d", "--batch-size", "20", "--quiet")
			var stderr strings.Builder
			cmd.Stderr = &stderr
			files := countFiles(lake) + dice.IntN(24)
			if err := cmd.Start(); err != nil {
				return err
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }() // awaited below, by its one send
			if deaths > 0 && reaches(ended, func() bool { return countFiles(lake) >= files }) && cmd.Process.Kill() == nil {
				deaths--
			}
			err := <-ended
			switch code := cmd.ProcessState.ExitCode(); {
			case err == nil, code == 21: // killed with calls on the wire: they are in doubt
				return nil
			case code == -1:
				kills.Add(1)
			default:
				return fmt.Errorf("list %d: exit %d: %s", n, code, stderr.String())
			}
		}
	}
	if err := run(0, 0); err != nil {
		t.Fatal(err)
	}
	script := printDDL(t, lake)

	published := make(chan error, 1)
	go func() { // awaited below, by its one send
		for n := 1; n < publications || kills.Load() < int64(wantKills); n++ {
			if err := run(n, 2); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()

	d := openDuckDB(t)
	seen := map[string]int64{}      // rows of a run in a partition, as first seen
	runs := map[int64]int64{}       // runs of a generation
	perRun := map[string]int64{}    // rows of a run in all views, as first seen
	generations := map[int64]bool{} // generations seen
	sampled := 0
	sample := func() {
		_, rows, err := d.Query(t.Context(), "SELECT regexp_replace(filename, '/[^/]*$', ''), run_id, count(*) FROM read_parquet("+
			QuoteLiteral(filepath.Join(lake, "data/*/*/*.parquet"))+", union_by_name = true, filename = true) GROUP BY ALL")
		if err != nil {
			t.Fatalf("sample %d, globbing: %v", sampled, err)
		}
		for _, r := range rows {
			partition, n := fmt.Sprint(r[0], " ", r[1]), r[2].(int64)
			if was, ok := seen[partition]; ok && was != n {
				t.Errorf("sample %d: %s has %d rows, want %d as before", sampled, partition, n, was)
			}
			seen[partition] = n
		}
		if err := d.Exec(t.Context(), script); err != nil {
			t.Fatalf("sample %d: %v", sampled, err)
		}
		var union []string
		for _, table := range schema.EventTables {
			union = append(union, "SELECT run_id FROM "+table.Name)
		}
		_, rows, err = d.Query(t.Context(), "SELECT getvariable('siglake_generation'), run_id, count(*) FROM ("+
			strings.Join(union, " UNION ALL ")+" UNION ALL SELECT run_id FROM accounts) GROUP BY ALL")
		if err != nil {
			t.Fatalf("sample %d: %v", sampled, err)
		}
		generation := rows[0][0].(int64)
		generations[generation] = true
		if was, ok := runs[generation]; ok && was != int64(len(rows)) || int64(len(rows)) != generation {
			t.Errorf("sample %d: generation %d has %d runs", sampled, generation, len(rows))
		}
		runs[generation] = int64(len(rows))
		for _, r := range rows {
			id, n := r[1].(string), r[2].(int64)
			if was, ok := perRun[id]; ok && was != n {
				t.Errorf("sample %d: the views have %d rows of run %s, want %d as before", sampled, n, id, was)
			}
			perRun[id] = n
		}
		sampled++
	}
	for publishing := true; publishing || sampled < samples; {
		select {
		case err := <-published:
			if err != nil {
				t.Fatal(err)
			}
			publishing = false
		default:
		}
		sample()
	}
	// What was seen first is still there in the end.
	sample()
	t.Logf("%d samples, %d publications, %d kills; %d generations were seen, %d partitions of runs", 2*sampled, len(perRun), kills.Load(), len(generations), len(seen))
	if len(perRun) < publications || kills.Load() < int64(wantKills) || len(generations) < publications/2 {
		t.Errorf("%d publications, %d kills, %d generations seen: too few to prove anything", len(perRun), kills.Load(), len(generations))
	}
}

// countFiles counts the files below a directory, temporary ones too.
func countFiles(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return nil // a file may vanish, and the directory need not exist
	})
	return n
}

// reaches waits for a condition; false when the process ended first. The end of the
// process stays in the channel.
func reaches(ended chan error, condition func() bool) bool {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !condition() {
		select {
		case err := <-ended:
			ended <- err
			return false
		case <-poll.C:
		}
	}
	return true
}
