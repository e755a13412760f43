package app

// WorkMeter shows how much of a command's work is done: a bar on a terminal, else nothing. Its functions are
// called by several goroutines at once; they may be nil.
type WorkMeter struct {
	Add   func(n int) // so much more is done
	Close func()
}

// NewWorkMeter makes a meter of some work: what is counted, such as answers, and how many of them there are.
// Nil: nothing is shown.
type NewWorkMeter func(what string, total int) WorkMeter

// begin makes a meter, all of whose functions are set.
func (n NewWorkMeter) begin(what string, total int) WorkMeter {
	var m WorkMeter
	if n != nil {
		m = n(what, total)
	}
	if m.Add == nil {
		m.Add = func(int) {}
	}
	if m.Close == nil {
		m.Close = func() {}
	}
	return m
}
