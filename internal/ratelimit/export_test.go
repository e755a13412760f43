package ratelimit

import "time"

// SetSpans shortens the windows, for tests in real time.
func (c *Config) SetSpans(minute, hour, day time.Duration) {
	c.spans = [3]time.Duration{minute, hour, day}
}
