package quota_test

import (
	"testing"

	"github.com/siglake/siglake/internal/quota"
)

func TestPlanNamed(t *testing.T) {
	if p, ok := quota.PlanByName("Scale"); !ok || p.Day != 50000 {
		t.Errorf("PlanByName(Scale) = %+v, %v, want 50000 a day, true", p, ok)
	}
	if p, ok := quota.PlanByName("gold"); ok {
		t.Errorf("PlanByName(gold) = %+v, true, want false", p)
	}
}
