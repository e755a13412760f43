package quota

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

// accountState is everything that is known about an account, and what its file holds.
// It is of fixed size. A change of its layout needs another slotMagic.
type accountState struct {
	LastStart   int64   // when the last admitted call starts
	PausedUntil int64   // a 429 asked for a pause until then
	SpeedFactor float64 // share of the full speed, after 429s
	ClockKnown  bool    // Clock was measured
	Clock       clockOffset
	Plan        [3]int64   // limits that were assumed when this was learned
	InFlight    [256]int64 // when each call in flight started; 0 is a free slot
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

// stateFile keeps a state in a file of two slots. Its user holds the file's lock.
type stateFile struct {
	file *os.File
	seq  uint64 // of the state in memory; its slot is seq%2
	buf  []byte
}

// openStateFile opens the file of an account, and reads it. The warning says what
// is wrong with a file that had to be emptied.
func openStateFile(dir, account string, s *accountState) (sf *stateFile, warning string, err error) {
	if strings.Trim(account, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "" {
		return nil, "", fmt.Errorf("quota: account %q: only letters, digits, - and _ can name its file", account)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", fmt.Errorf("quota: %w; name a folder that can be written", err)
	}
	name := filepath.Join(dir, strings.TrimSuffix("quota-"+account, "-"))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, "", fmt.Errorf("quota: %w; name a folder that can be written", err)
	}
	sf = &stateFile{file: f, buf: make([]byte, 0, slotLength)}
	if err := sf.lock(); err != nil {
		f.Close()
		return nil, "", fmt.Errorf("quota: lock %s: %w", name, err)
	}
	defer func() { _ = sf.unlock() }() // closing the file released it, or nothing can
	if sf.loadState(s) {
		return sf, "", nil
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 4*slotSize))
	if err == nil && len(content) == 0 {
		return sf, "", nil
	}
	// Emptied in place: a file of another name would have another lock.
	warning = fmt.Sprintf("the account's call counts in %s cannot be read and are begun anew", name)
	if err == nil && os.WriteFile(name+".damaged", content, 0o600) == nil {
		warning += "; the old file is kept as " + name + ".damaged"
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, "", fmt.Errorf("quota: %w", err)
	}
	return sf, warning, nil
}

func (sf *stateFile) lock() error   { return flock.Lock(sf.file) }
func (sf *stateFile) unlock() error { return flock.Unlock(sf.file) }

// refreshState reads the file again if another process wrote to it: it would have
// begun with the slot that this process did not write last.
func (sf *stateFile) refreshState(s *accountState) {
	var head [slotHeaderSize]byte
	_, err := sf.file.ReadAt(head[:], int64((sf.seq+1)%2)*slotSize)
	if err == nil && sf.seq > 0 && slotSequence(head[:]) == sf.seq-1 {
		return
	}
	sf.loadState(s)
}

// loadState reads the newer of the slots that are whole. It changes nothing when
// there is none, or none that is newer than what is known.
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

// saveState overwrites the older slot. A process killed here leaves the newer one
// intact.
func (sf *stateFile) saveState(s *accountState) error {
	b := append(sf.buf[:0], slotMagic...)
	b = append(b, 0, 0, 0, 0) // the CRC, below
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
