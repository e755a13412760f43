package ratelimit_test

import (
	"testing"

	"github.com/siglake/siglake/internal/ratelimit"
)

func TestPlanNamed(t *testing.T) {
	if p, ok := ratelimit.PlanByName("Scale"); !ok || p.Day != 50000 {
		t.Errorf("PlanByName(Scale) = %+v, %v, want 50000 a day, true", p, ok)
	}
	if p, ok := ratelimit.PlanByName("gold"); ok {
		t.Errorf("PlanByName(gold) = %+v, true, want false", p)
	}
}
