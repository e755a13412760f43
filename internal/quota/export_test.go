package quota

import "time"

// Spans shortens the windows, for tests in real time.
func (c *Config) Spans(minute, hour, day time.Duration) {
	c.spans = [3]time.Duration{minute, hour, day}
}
