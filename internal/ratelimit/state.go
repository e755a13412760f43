package ratelimit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/siglake/siglake/internal/lease/flock"
)

// accountState is everything that is known about an account, and the content of its file. It is of
// fixed size. A change of it needs a change of slotMagic.
type accountState struct {
	LastStart   int64   // when the last call was to start
	PausedUntil int64   // a 429 asked for a pause until then
	SpeedFactor float64 // share of the full speed, after 429s
	ClockKnown  bool    // whether Clock was measured
	Clock       clockOffset
	Plan        [3]int64   // limits assumed when the rest was recorded
	InFlight    [256]int64 // start of each call in flight; 0: a free slot
	Windows     [3]windowRecord
}

// slotMagic begins every slot, and ends with the version.
const slotMagic = "slquota1"

const slotHeaderSize = len(slotMagic) + 8 + 4 // sequence number, CRC of everything after it

var (
	slotLength = slotHeaderSize + binary.Size(accountState{})
	slotSize   = int64((slotLength + 4095) / 4096 * 4096)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// stateFile keeps a state in a file of two slots. Its user holds the lock of the file.
type stateFile struct {
	file *os.File
	seq  uint64 // of the state in memory, in slot seq%2
	buf  []byte
}

// openStateFile opens the file of an account, and reads it. warning says what was wrong with a file
// that had to be reset.
func openStateFile(dir, account string, s *accountState) (sf *stateFile, warning string, err error) {
	if strings.Trim(account, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "" {
		return nil, "", fmt.Errorf("ratelimit: account %q: the fingerprint may hold only letters, digits, - and _", account)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", fmt.Errorf("ratelimit: %w; use a writable directory", err)
	}
	name := filepath.Join(dir, strings.TrimSuffix("quota-"+account, "-"))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", fmt.Errorf("ratelimit: %w; use a writable directory", err)
	}
	sf = &stateFile{file: f, buf: make([]byte, 0, slotLength)}
	if err := sf.lock(); err != nil {
		f.Close()
		return nil, "", fmt.Errorf("ratelimit: lock %s: %w", name, err)
	}
	defer func() { _ = sf.unlock() }() // closing has released it, or nothing can
	if sf.loadState(s) {
		return sf, "", nil
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 4*slotSize))
	if err == nil && len(content) == 0 {
		return sf, "", nil
	}
	// Truncated in place: a file with another name would have another lock.
	warning = fmt.Sprintf("the account's call counts in %s are unreadable and start from zero", name)
	if err == nil && os.WriteFile(name+".damaged", content, 0o600) == nil {
		warning += "; the old file was saved as " + name + ".damaged"
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, "", fmt.Errorf("ratelimit: %w", err)
	}
	return sf, warning, nil
}

func (sf *stateFile) lock() error   { return flock.Lock(sf.file) }
func (sf *stateFile) unlock() error { return flock.Unlock(sf.file) }

// refreshState reads the file again if another process has written to it: its first write is to the
// slot that is not ours.
func (sf *stateFile) refreshState(s *accountState) {
	var head [slotHeaderSize]byte
	_, err := sf.file.ReadAt(head[:], int64((sf.seq+1)%2)*slotSize)
	if err == nil && sf.seq > 0 && slotSequence(head[:]) == sf.seq-1 {
		return
	}
	sf.loadState(s)
}

// loadState reads the newer of the intact slots. It changes nothing if there is none, or none newer
// than the state in memory.
func (sf *stateFile) loadState(s *accountState) bool {
	slots := make([]byte, 2*slotSize)
	n, err := sf.file.ReadAt(slots, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	var newest []byte
	seq := sf.seq
	for at := int64(0); at+int64(slotLength) <= int64(n); at += slotSize {
		if b := slots[at:][:slotLength]; isIntact(b) && slotSequence(b) > seq {
			newest, seq = b, slotSequence(b)
		}
	}
	if newest == nil {
		return false
	}
	if _, err := binary.Decode(newest[slotHeaderSize:], binary.LittleEndian, s); err != nil {
		return false
	}
	sf.seq = seq
	return true
}

// saveState overwrites the older slot. A process that is killed here leaves the other one.
func (sf *stateFile) saveState(s *accountState) error {
	b := append(sf.buf[:0], slotMagic...)
	b = append(b, 0, 0, 0, 0) // the CRC, set below
	b = binary.LittleEndian.AppendUint64(b, sf.seq+1)
	b, err := binary.Append(b, binary.LittleEndian, s)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b[len(slotMagic):], crc32.Checksum(b[len(slotMagic)+4:], castagnoli))
	sf.buf = b
	if _, err := sf.file.WriteAt(b, int64((sf.seq+1)%2)*slotSize); err != nil {
		return err
	}
	sf.seq++
	return nil
}

func slotSequence(slot []byte) uint64 {
	if !bytes.HasPrefix(slot, []byte(slotMagic)) {
		return 0
	}
	return binary.LittleEndian.Uint64(slot[len(slotMagic)+4:])
}

func isIntact(slot []byte) bool {
	return bytes.HasPrefix(slot, []byte(slotMagic)) &&
		binary.LittleEndian.Uint32(slot[len(slotMagic):]) == crc32.Checksum(slot[len(slotMagic)+4:], castagnoli)
}
