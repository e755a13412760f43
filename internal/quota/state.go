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
)

// state is everything that is known about an account, and what its file holds.
// It is of fixed size; whoever changes it changes magic.
type state struct {
	Turn   int64   // when the last call was told to leave
	Hold   int64   // a 429 asked for silence until then
	Pace   float64 // share of the full speed, after 429s
	Dated  bool    // Clock was measured
	Clock  clock
	Plan   [3]int64   // limits that were assumed when this was learned
	Flying [256]int64 // when each call in flight left; 0 is a free place
	Window [3]tally
}

// magic begins every slot, and ends with the version.
const magic = "slquota1"

const slotHeader = len(magic) + 8 + 4 // sequence number, CRC of everything after it

var (
	slotLength = slotHeader + binary.Size(state{})
	slotSize   = int64((slotLength + 4095) / 4096 * 4096)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// store keeps a state in a file of two slots. Its user holds the file's lock.
type store struct {
	file *os.File
	seq  uint64 // of the state in memory; its slot is seq%2
	slot []byte
}

// openStore opens the file of an account, and reads it. trouble says what was
// wrong with a file that had to be begun anew.
func openStore(dir, account string, s *state) (st *store, trouble string, err error) {
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
	st = &store{file: f, slot: make([]byte, 0, slotLength)}
	if err := st.lock(); err != nil {
		f.Close()
		return nil, "", fmt.Errorf("quota: lock %s: %w", name, err)
	}
	defer func() { _ = st.unlock() }() // closing gave it back, or nothing can
	if st.load(s) {
		return st, "", nil
	}
	old, err := io.ReadAll(io.NewSectionReader(f, 0, 4*slotSize))
	if err == nil && len(old) == 0 {
		return st, "", nil
	}
	// Emptied in place: a file of another name would have another lock.
	trouble = fmt.Sprintf("the account's call counts in %s cannot be read and are begun anew", name)
	if err == nil && os.WriteFile(name+".damaged", old, 0o600) == nil {
		trouble += "; the old file is kept as " + name + ".damaged"
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, "", fmt.Errorf("quota: %w", err)
	}
	return st, trouble, nil
}

func (st *store) lock() error   { return lockFile(st.file) }
func (st *store) unlock() error { return unlockFile(st.file) }

// refresh reads the file again if another process wrote to it: it would have
// begun with the slot that is not ours.
func (st *store) refresh(s *state) {
	var head [slotHeader]byte
	_, err := st.file.ReadAt(head[:], int64((st.seq+1)%2)*slotSize)
	if err == nil && st.seq > 0 && sequence(head[:]) == st.seq-1 {
		return
	}
	st.load(s)
}

// load reads the newer of the slots that are whole. It changes nothing when
// there is none, or none that is newer than what is known.
func (st *store) load(s *state) bool {
	both := make([]byte, 2*slotSize)
	n, err := st.file.ReadAt(both, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	var best []byte
	seq := st.seq
	for at := int64(0); at+int64(slotLength) <= int64(n); at += slotSize {
		if b := both[at:][:slotLength]; whole(b) && sequence(b) > seq {
			best, seq = b, sequence(b)
		}
	}
	if best == nil {
		return false
	}
	if _, err := binary.Decode(best[slotHeader:], binary.LittleEndian, s); err != nil {
		return false
	}
	st.seq = seq
	return true
}

// save writes over the older slot. Whoever is killed in here leaves the other.
func (st *store) save(s *state) error {
	b := append(st.slot[:0], magic...)
	b = append(b, 0, 0, 0, 0) // the CRC, below
	b = binary.LittleEndian.AppendUint64(b, st.seq+1)
	b, err := binary.Append(b, binary.LittleEndian, s)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b[len(magic):], crc32.Checksum(b[len(magic)+4:], castagnoli))
	st.slot = b
	if _, err := st.file.WriteAt(b, int64((st.seq+1)%2)*slotSize); err != nil {
		return err
	}
	st.seq++
	return nil
}

func sequence(slot []byte) uint64 {
	if !bytes.HasPrefix(slot, []byte(magic)) {
		return 0
	}
	return binary.LittleEndian.Uint64(slot[len(magic)+4:])
}

func whole(slot []byte) bool {
	return bytes.HasPrefix(slot, []byte(magic)) &&
		binary.LittleEndian.Uint32(slot[len(magic):]) == crc32.Checksum(slot[len(magic)+4:], castagnoli)
}
