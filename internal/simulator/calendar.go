package simulator

import "time"

// day counts days since 1970-01-01 in UTC. Windows and events of the API have no finer
// resolution, and an integer makes windows and draws cheap.
type day int32

// worldStart is the first day of the simulated history. It bounds the work that an early startDate can
// cause.
var worldStart = dayOf(time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC))

func dayOf(t time.Time) day {
	secs := t.Unix()
	d := secs / 86400
	if secs%86400 < 0 {
		d--
	}
	return day(d)
}

func dayFrom(year int, month time.Month, date int) day {
	return dayOf(time.Date(year, month, date, 0, 0, 0, 0, time.UTC))
}

// parseDay accepts YYYY-MM-DD for days that exist, and nothing else.
func parseDay(s string) (day, bool) {
	if len(s) != len("2006-01-02") {
		return 0, false
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, false
	}
	return dayOf(t), true
}

func (d day) date() (year int, month time.Month, date int) {
	return time.Unix(int64(d)*86400, 0).UTC().Date()
}

// midnight returns the time at which the day begins.
func (d day) midnight() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d day) String() string { return string(d.appendTo(nil)) }

func (d day) appendTo(b []byte) []byte {
	y, m, n := d.date()
	return append(b,
		byte('0'+y/1000%10), byte('0'+y/100%10), byte('0'+y/10%10), byte('0'+y%10), '-',
		byte('0'+m/10), byte('0'+m%10), '-',
		byte('0'+n/10), byte('0'+n%10))
}

// monday returns the Monday on or before d.
func (d day) monday() day {
	// Day 0 was a Thursday, three days after a Monday.
	over := (int(d) + 3) % 7
	if over < 0 {
		over += 7
	}
	return d - day(over)
}

// monthIndex numbers calendar months without gaps, so that months can be subtracted.
func (d day) monthIndex() int {
	y, m, _ := d.date()
	return y*12 + int(m) - 1
}

func firstOfMonth(month int) day {
	return dayFrom(month/12, time.Month(month%12+1), 1)
}

// monthsBack goes n calendar months back. A day that the target month lacks becomes the month's
// last.
func (d day) monthsBack(n int) day {
	_, _, date := d.date()
	target := d.monthIndex() - n
	return min(firstOfMonth(target)+day(date-1), firstOfMonth(target+1)-1)
}
