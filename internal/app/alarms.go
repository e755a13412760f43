package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Alarm is a condition of a listener that a person has to learn of who looks at no log.
type Alarm struct {
	Condition AlarmCondition `json:"condition"`
	Lake      string         `json:"lake"`
	Time      time.Time      `json:"time"`
	Text      string         `json:"text"` // what happened, and what to do
}

// AlarmCondition names what is wrong.
type AlarmCondition string

// The conditions.
const (
	AlarmNotStored      AlarmCondition = "not-stored"      // it answers 503
	AlarmNotAccepted    AlarmCondition = "not-accepted"    // it refuses all deliveries for their signature or age
	AlarmNotPublished   AlarmCondition = "not-published"   // it cannot publish
	AlarmListenerFailed AlarmCondition = "listener-failed" // it cannot start, or has ended with an error
)

// Alarmer sends an alarm to where people see it.
type Alarmer func(context.Context, *Alarm) error

// alarms sends alarms about a lake's listener, each condition once a day (UTC), also if a supervisor starts it
// again and again. Several goroutines can use it.
type alarms struct {
	env  *Env
	o    StoreOptions
	lake string
	send Alarmer // nil: alarms are not wanted

	mu   sync.Mutex
	sent alarmDays // of this process; and alarms under way
}

// alarmDays are the days on which alarms were sent last.
type alarmDays map[AlarmCondition]string

func newAlarms(env *Env, o StoreOptions, lake string, send Alarmer) *alarms {
	return &alarms{env: env, o: o, lake: lake, send: send, sent: alarmDays{}}
}

// raise sends an alarm, unless its condition was reported today. What cannot be sent is warned about, and is sent when
// the condition is met again.
func (a *alarms) raise(ctx context.Context, condition AlarmCondition, text string) {
	now := a.env.Now().UTC()
	today := now.Format(time.DateOnly)
	if a.send == nil || !a.claim(condition, today) {
		return
	}
	local, record := a.localRecord(), a.openRecord(ctx)
	if record != nil {
		defer record.closeDir() //nolint:errcheck // what was written is durable
	}
	if local.days[condition] == today || record != nil && record.days[condition] == today {
		return
	}
	if err := a.send(ctx, &Alarm{condition, a.lake, now.Truncate(time.Second), text}); err != nil {
		a.env.Log.Warn("an alarm was not sent", "condition", string(condition), "text", text, "error", err)
		a.release(condition)
		return
	}
	err := local.note(condition, today)
	if record != nil {
		err = record.note(ctx, condition, today)
	}
	if err != nil {
		a.env.Log.Info("there is no record of an alarm, so that it may be repeated", "condition", string(condition), "error", err)
	}
}

// claim reports whether the process has not reported a condition today, and notes that it does.
func (a *alarms) claim(condition AlarmCondition, today string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sent[condition] == today {
		return false
	}
	a.sent[condition] = today
	return true
}

func (a *alarms) release(condition AlarmCondition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sent, condition)
}

// decodeAlarmDays reads a record. One that is damaged is empty: an alarm is rather sent twice.
func decodeAlarmDays(text []byte) alarmDays {
	days := alarmDays{}
	if json.Unmarshal(bytes.TrimSpace(text), &days) != nil || days == nil {
		return alarmDays{}
	}
	return days
}

// encodeWith adds an alarm of a day, and forgets those of other days.
func (d alarmDays) encodeWith(condition AlarmCondition, today string) []byte {
	maps.DeleteFunc(d, func(_ AlarmCondition, day string) bool { return day != today })
	d[condition] = today
	text, err := json.Marshal(d)
	if err != nil { // of texts alone
		panic(err)
	}
	return append(text, '\n')
}

// alarmsName is the file or object of a lake with the days on which alarms were sent.
const alarmsName = StateDir + "/alarms.json"

// alarmRecord is that of the lake, which counts wherever the listener runs.
type alarmRecord struct {
	stateFile
	days alarmDays
}

// openRecord reads the record; nil if it cannot be read.
func (a *alarms) openRecord(ctx context.Context) *alarmRecord {
	f, err := openStateFile(ctx, a.env, a.o, a.lake, alarmsName)
	if err != nil {
		return nil
	}
	r := &alarmRecord{stateFile: *f}
	text, err := r.readText(ctx)
	if err != nil {
		_ = r.closeDir() // it was only read
		return nil
	}
	r.days = decodeAlarmDays(text)
	return r
}

func (r *alarmRecord) note(ctx context.Context, condition AlarmCondition, today string) error {
	return r.replace(ctx, r.days.encodeWith(condition, today))
}

// localAlarms is a record on this machine, for the time in which the lake cannot be written: a supervisor starts a
// listener with a full disk every few seconds.
type localAlarms struct {
	path string // empty: there is no place for it
	days alarmDays
}

// localSize is the length of a local record: it is written in place, which takes no room on a full disk.
const localSize = 1 << 10

func (a *alarms) localRecord() *localAlarms {
	r := &localAlarms{days: alarmDays{}}
	if dir := userStateDir(a.env, "alarms"); dir != "" {
		sum := sha256.Sum256([]byte(a.lake))
		r.path = filepath.Join(dir, hex.EncodeToString(sum[:8])+".json")
		text, _ := os.ReadFile(r.path) // without it, there is no record
		r.days = decodeAlarmDays(text)
	}
	return r
}

func (r *localAlarms) note(condition AlarmCondition, today string) error {
	return r.write(r.days.encodeWith(condition, today))
}

// write writes the record in place. If a crash cuts it, it is empty.
func (r *localAlarms) write(text []byte) error {
	if r.path == "" || len(text) > localSize {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(append(text, bytes.Repeat([]byte(" "), localSize-len(text))...), 0)
	return errors.Join(err, f.Close())
}

// prepare makes the local record while there is room for it.
func (a *alarms) prepare() {
	if r := a.localRecord(); a.send != nil && len(r.days) == 0 {
		_ = r.write([]byte("{}\n")) // without it, an alarm is rather sent twice
	}
}
