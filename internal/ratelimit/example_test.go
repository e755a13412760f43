package ratelimit_test

import (
	"fmt"
	"time"

	"github.com/siglake/siglake/internal/ratelimit"
)

// The duration of 12,000 calls on the Scale plan, with a tenth left to others.
func ExampleLimiter_EstimateDuration() {
	plan, _ := ratelimit.PlanByName("scale")
	l, err := ratelimit.Open(ratelimit.Config{Plan: plan, Reserve: ratelimit.Reserve{Share: 0.1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	fmt.Println(l.EstimateDuration(12_000, 0, now, 400*time.Millisecond, 8).Round(time.Minute))
	// Output: 2h12m0s
}
