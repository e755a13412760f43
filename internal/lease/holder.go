package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/lease/flock"
)

// Holder is the process that holds a lock, by what it says of itself. What it does not say is empty.
type Holder struct {
	PID     int
	Host    string
	Command string
	Since   time.Time // by its own clock
}

// text is the holder as the file of a Flock has it.
func (h *Holder) text() string {
	return fmt.Sprintf("process %d on %s, %s, since %s\n", h.PID, h.Host, h.Command, h.Since.UTC().Format(time.RFC3339))
}

// holderText is what text writes. Earlier versions did not name the host.
var holderText = regexp.MustCompile(`^process ([0-9]+)(?: on ([^,]*))?, (.*), since ([^ ,]+)$`)

func parseHolder(text string) (h Holder) {
	m := holderText.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return h
	}
	h.PID, _ = strconv.Atoi(m[1])
	h.Host, h.Command = m[2], m[3]
	h.Since, _ = time.Parse(time.RFC3339, m[4])
	return h
}

// hostname is for people only.
func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "unknown host"
	}
	return host
}

// FlockHolder returns the process that holds the lock in a directory; nil if none does. It takes the
// lock for a moment, shared with others that look: AcquireFlock tries again after a moment. A process
// on another host is found as well, if the file system locks files across hosts.
func FlockHolder(dir string) (*Holder, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	free, err := flock.TryLockShared(f)
	if free || err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxHolderText))
	if err != nil {
		return nil, err
	}
	h := parseHolder(string(text))
	return &h, nil
}

// maxHolderText is the part of a lock's file that is read.
const maxHolderText = 400

// ObjectHolder returns the process that holds a lease; nil if none does. It writes nothing, so whether
// a lease has expired is judged by this machine's clock, with some minutes to spare for its error.
func ObjectHolder(ctx context.Context, b Bucket, name string) (*Holder, error) {
	l := &Lease{bucket: b, name: name}
	current, etag, err := l.readClaim(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || current.Released || current.Process.hasEnded() {
		return nil, err
	}
	o, err := b.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if o.ETag != etag { // renewed meanwhile
		o.Modified = time.Now()
	}
	if ttl := time.Duration(current.TTL * float64(time.Second)); time.Since(o.Modified) > ttl+clockError {
		return nil, nil
	}
	return &Holder{PID: current.Process.ID, Host: current.Host, Command: current.Command, Since: current.Since}, nil
}

// clockError is the largest expected difference between this machine's clock and the store's.
const clockError = 2 * time.Minute

var _ Bucket = (*bucket.Bucket)(nil)
