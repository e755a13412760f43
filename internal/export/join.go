package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// Options say what an export holds.
type Options struct {
	// Dir is a directory for what does not fit into memory. Its owner removes it.
	Dir string
	// Memory is the number of bytes of rows that are kept in memory. 0: 64 MiB.
	Memory int64
	// Events writes one row an event.
	Events bool
	// Signals are the only ones that count, in the order of their columns. Nil: those that occur.
	Signals []string
	// Since is the first day that counts, in days since 1970-01-01; events without a date count by the
	// day on which they were first seen. Not set: all count.
	Since Cell
	// FromLake says that the lines are those of a lake, so that they have no cells of a list.
	FromLake bool
	// IsLeftOut reports whether nothing is said about an entity: its lines have their status alone. Nil: something is said
	// about all.
	IsLeftOut func(o schema.Object, id string) bool
}

const defaultMemory = 64 << 20

// Line is a line of a list.
type Line struct {
	// The order of the lines: by list, then row.
	List string
	Row  int64

	File string // as its owner named it
	Line int64  // physical line in the file, from 1
	Key  string
	// Identity is what AddState joins by; empty: nothing can be requested about the line.
	Identity   string
	Object     schema.Object
	Identifier schema.Identifier
	Text       string // of the identifier
	Name       string // on the line
	// EntityID is the entity if no state names one.
	EntityID string
	// Own is what the list or its run says about the line itself. It counts if there is no state.
	Own State
}

// State is what one run says about an identifier.
type State struct {
	Run     string // runs sort by age
	Row     int64
	Command string // that ran; only the statuses of run are about signals
	Status  string
	Reason  string

	EntityID, EntityName, EntityDomain string
}

// Event is one revision of an event.
type Event struct {
	Object   schema.Object
	EntityID string
	UID      string
	Revision int64 // 1 if it is not known
	Fetched  int64 // µs since 1970; the later of two rows with equal content counts
	// Digest identifies what the revision states: a revision may have several rows.
	Digest string

	Category, Signal                      string
	Date, FirstSeen                       Cell
	Headline, URL, Company, CompanyDomain string
	Person, Run                           string
}

// Join collects lines, states and events. It is used by one goroutine.
type Join struct {
	options Options
	dir     *durable.Dir
	states  *sortedRows // identity, #kind, run, #row
	// Lines of a lake, the newest run of each first: file, line, run, #row.
	accounts *sortedRows
	events   *sortedRows // object, entity, #kind, uid, #revision, #fetched
	out      *sortedRows // list, #row, #number, #part, #rank, #order

	lines        int64
	linesMatched bool
	entities     entityFilter      // of lines
	occurred     map[string]bool   // signals of events of lines
	headers      []string          // columns of the list, of which names can be equal
	layouts      map[*string][]int // columns of a file in headers, by its first name
}

// Kinds of rows, in the order in which a merge needs them: what is known before the lines that use it.
const (
	kindKnown = 0
	kindLine  = 1
)

// Parts of a line in the output.
const (
	partCells  = 0 // what the list says
	partState  = 1
	partEvents = 2
)

// NewJoin begins an export.
func NewJoin(o Options) (*Join, error) {
	if o.Memory <= 0 {
		o.Memory = defaultMemory
	}
	dir, err := durable.Open(o.Dir, nil)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir.AbsPath("runs"), 0o700); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	space := extsort.NewSpace(dir, "runs")
	j := &Join{options: o, dir: dir, occurred: map[string]bool{}, layouts: map[*string][]int{}}
	j.states = newSortedRows("states", space, o.Memory/4, "identity", "#kind", "run", "#row")
	j.events = newSortedRows("events", space, o.Memory/2, "object", "entity", "#kind", "uid", "#revision", "#fetched")
	j.accounts = newSortedRows("accounts", space, o.Memory/4, "file", "line", "run", "#row")
	j.out = newSortedRows("out", space, o.Memory/4, "list", "#row", "#number", "#part", "#rank", "#order")
	return j, nil
}

// Close releases memory. It removes no file.
func (j *Join) Close() error {
	for _, s := range []*sortedRows{j.states, j.accounts, j.events, j.out} {
		s.release()
	}
	return j.dir.Close()
}

// lineRef is the place of a line in the output.
type lineRef struct {
	list        string
	row, number int64
}

func (p *packer) ref(r lineRef) {
	p.text(r.list)
	p.number(r.row)
	p.number(r.number)
}

func (u *unpacker) ref() lineRef { return lineRef{u.text(), u.number(), u.number()} }

// begin begins a row of the output.
func (j *Join) begin(r lineRef, part, rank, order int64) *packer {
	j.out.text(r.list)
	for _, n := range []int64{r.row, r.number, part, rank, order} {
		j.out.number(n)
	}
	return &j.out.packed
}

// AddLine adds a line. names and cells are those of the list, and empty for a line of a lake. names is
// the same slice for all lines of a file.
func (j *Join) AddLine(ctx context.Context, l *Line, names []string, cells [][]byte) error {
	j.lines++
	ref := lineRef{l.List, l.Row, j.lines}
	p := j.begin(ref, partCells, 0, 0)
	p.text(l.File)
	p.number(l.Line)
	p.text(l.Key)
	p.text(string(l.Object))
	p.text(string(l.Identifier))
	p.text(l.Text)
	p.text(l.Name)
	j.packCells(p, names, cells)
	if err := j.out.end(ctx); err != nil {
		return err
	}
	if l.Identity == "" {
		return j.addMatched(ctx, ref, l.Object, l.EntityID, &l.Own)
	}
	j.states.text(l.Identity)
	j.states.number(kindLine)
	j.states.text("")
	j.states.number(j.lines)
	p = &j.states.packed
	p.ref(ref)
	p.text(string(l.Object))
	p.text(l.EntityID)
	p.state(&l.Own)
	return j.states.end(ctx)
}

// packCells packs the cells of a list that are not empty.
func (j *Join) packCells(p *packer, names []string, cells [][]byte) {
	filled := 0
	for _, c := range cells {
		if len(c) > 0 {
			filled++
		}
	}
	p.number(int64(filled))
	for i, c := range cells {
		if len(c) > 0 {
			p.number(int64(j.listColumn(names, i)))
			p.text(strings.ToValidUTF8(string(c), "\ufffd"))
		}
	}
}

// listColumn is the column of the export for a column of a file: files of one list with the same
// header share their columns.
func (j *Join) listColumn(names []string, i int) int {
	if len(names) == 0 {
		names = []string{""}
	}
	layout := j.layouts[&names[0]]
	if layout == nil {
		layout = j.addLayout(names)
	}
	for len(layout) <= i {
		layout = append(layout, j.findColumn(fmt.Sprintf("column %d", len(layout)+1), layout))
	}
	j.layouts[&names[0]] = layout
	return layout[i]
}

func (j *Join) addLayout(names []string) (layout []int) {
	for _, name := range names {
		layout = append(layout, j.findColumn(name, layout))
	}
	return layout
}

// findColumn finds a column by its name that the file has not used yet, or adds it.
func (j *Join) findColumn(name string, used []int) int {
	clean := columnNames{}.add(name)
	for i, base := range j.headers {
		if base == clean && !slices.Contains(used, i) {
			return i
		}
	}
	j.headers = append(j.headers, clean)
	return len(j.headers) - 1
}

func (p *packer) state(s *State) {
	p.text(s.Run)
	p.text(s.Command)
	p.text(s.Status)
	p.text(s.Reason)
	p.text(s.EntityID)
	p.text(s.EntityName)
	p.text(s.EntityDomain)
}

func (u *unpacker) state() State {
	return State{Run: u.text(), Command: u.text(), Status: u.text(), Reason: u.text(), EntityID: u.text(), EntityName: u.text(), EntityDomain: u.text()}
}

// AddState adds what a run says about an identity.
func (j *Join) AddState(ctx context.Context, identity string, s *State) error {
	j.states.text(identity)
	j.states.number(kindKnown)
	j.states.text(s.Run)
	j.states.number(s.Row)
	j.states.packed.state(s)
	return j.states.end(ctx)
}

// wants reports whether an event can be one of a line's.
func (j *Join) wants(e *Event) bool {
	return e.EntityID != "" && !j.leavesOut(e.Object, e.EntityID) && (!j.linesMatched || j.entities.mayHave(e.Object, e.EntityID)) && (j.options.Signals == nil || slices.Contains(j.options.Signals, e.Signal))
}

func (j *Join) leavesOut(o schema.Object, id string) bool {
	return j.options.IsLeftOut != nil && id != "" && j.options.IsLeftOut(o, id)
}

// AddEvent adds a revision of an event, which it may change. One of a signal that does not count is
// ignored.
func (j *Join) AddEvent(ctx context.Context, e *Event) error {
	if !j.wants(e) {
		return nil
	}
	j.events.text(string(e.Object))
	j.events.text(e.EntityID)
	j.events.number(kindKnown)
	j.events.text(e.UID)
	j.events.number(e.Revision)
	j.events.number(e.Fetched)
	if !j.options.Events { // the sums have no use for them
		e.Category, e.URL, e.Company, e.CompanyDomain, e.Person, e.Run, e.UID = "", "", "", "", "", "", ""
	}
	j.events.packed.event(e)
	return j.events.end(ctx)
}

func (p *packer) event(e *Event) {
	for _, s := range []string{e.UID, e.Digest, e.Category, e.Signal, e.Headline, e.URL, e.Company, e.CompanyDomain, e.Person, e.Run} {
		p.text(s)
	}
	p.optional(e.Date)
	p.optional(e.FirstSeen)
}

func (u *unpacker) event() (e Event) {
	for _, s := range []*string{&e.UID, &e.Digest, &e.Category, &e.Signal, &e.Headline, &e.URL, &e.Company, &e.CompanyDomain, &e.Person, &e.Run} {
		*s = u.text()
	}
	e.Date, e.FirstSeen = u.optional(), u.optional()
	return e
}

// MatchLines finds the entities of all lines. No line and no state can be added afterwards, and events of
// other entities are ignored from then on: so a short list takes little of a large lake.
func (j *Join) MatchLines(ctx context.Context) error {
	if j.linesMatched {
		return nil
	}
	j.linesMatched = true
	return j.matchStates(ctx)
}

// Match finds the entities and events of all lines. Nothing can be added afterwards.
func (j *Join) Match(ctx context.Context) error {
	if err := j.MatchLines(ctx); err != nil {
		return err
	}
	return j.matchEvents(ctx)
}

// Statuses of lines that no run has answered.
const (
	statusUnknown = "not_requested"
	reasonUnknown = "no run of this lake has requested signals of it"
)

// known is what runs say about one identity, the newest of which counts.
type known struct {
	answered State // by a run of signals, and not only repeated
	repeated State
	entity   State
}

// add adds the next newer state. Lines of the statuses cached and duplicate repeat what another line was
// answered.
func (k *known) add(s State) {
	if s.EntityID != "" {
		k.entity = s
	}
	switch {
	case s.Command != "" && s.Command != "run":
	case s.Status == string(schema.Cached) || s.Status == string(schema.Duplicate):
		k.repeated = s
	default:
		k.answered = s
	}
}

// state is what an export says about a line.
func (k *known) state(own State) State {
	s := own
	switch {
	case k.answered.Status != "":
		s = k.answered
	case k.repeated.Status != "":
		s = k.repeated
	case s.Status == "":
		s.Status, s.Reason = statusUnknown, reasonUnknown
	}
	s.EntityID, s.EntityName, s.EntityDomain = k.entity.EntityID, k.entity.EntityName, k.entity.EntityDomain
	return s
}

// matchStates finds the entity and status of each line that has an identifier.
func (j *Join) matchStates(ctx context.Context) error {
	var identity []byte
	var of known
	return j.states.read(ctx, func(r sortedRow) error {
		if found := r.keyText(0); !bytes.Equal(found, identity) {
			identity, of = append(identity[:0], found...), known{}
		}
		if r.keyNumber(1) == kindKnown {
			of.add(r.state())
			return nil
		}
		ref, object, entity := r.ref(), schema.Object(r.text()), r.text()
		s := of.state(r.state())
		if s.EntityID != "" {
			entity = s.EntityID
		}
		return j.addMatched(ctx, ref, object, entity, &s)
	})
}

// addMatched adds a line whose entity is known, or that has none.
func (j *Join) addMatched(ctx context.Context, ref lineRef, o schema.Object, entity string, s *State) error {
	if j.leavesOut(o, entity) {
		entity, s.EntityName, s.EntityDomain = "", "", ""
	}
	s.EntityID = entity
	j.begin(ref, partState, 0, 0).state(s)
	if err := j.out.end(ctx); err != nil || entity == "" {
		return err
	}
	j.entities.add(o, entity)
	j.events.text(string(o))
	j.events.text(entity)
	j.events.number(kindLine)
	j.events.text("")
	j.events.number(0)
	j.events.number(0)
	j.events.packed.ref(ref)
	return j.events.end(ctx)
}

// matchEvents finds the events of each line that has an entity.
func (j *Join) matchEvents(ctx context.Context) error {
	of := entityEvents{options: &j.options}
	return j.events.read(ctx, func(r sortedRow) error {
		of.begin(r.keyText(0), r.keyText(1))
		if r.keyNumber(2) == kindKnown {
			of.addRevision(r.keyText(3), r.keyNumber(4), r.event())
			return nil
		}
		of.endEvent()
		if j.options.Events {
			return j.addEvents(ctx, &of, r.ref())
		}
		return j.addSums(ctx, &of, r.ref())
	})
}

// addSums adds what the signals of a line add up to.
func (j *Join) addSums(ctx context.Context, of *entityEvents, ref lineRef) error {
	for _, s := range of.sums {
		j.occurred[s.signal] = true
		p := j.begin(ref, partEvents, 0, 0)
		p.text(s.signal)
		p.number(s.count)
		p.optional(s.date)
		p.text(s.headline)
		if err := j.out.end(ctx); err != nil {
			return err
		}
	}
	return nil
}

// addEvents adds the events of a line, the newest first.
func (j *Join) addEvents(ctx context.Context, of *entityEvents, ref lineRef) error {
	for i := range of.events {
		e := &of.events[i]
		rank, order := int64(math.MaxInt64), int64(0)
		if e.Date.Set { // else last
			rank = -e.Date.N
		}
		if e.FirstSeen.Set {
			order = -e.FirstSeen.N
		}
		j.begin(ref, partEvents, rank, order).event(e)
		if err := j.out.end(ctx); err != nil {
			return err
		}
	}
	return nil
}
