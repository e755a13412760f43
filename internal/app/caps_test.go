package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPeriod(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("east", 5*3600)
	for _, c := range []struct {
		now     time.Time
		monthly bool
		want    [2]string
	}{
		{time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), false, [2]string{"2026-12-31", "2027-01-01"}},
		{time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), true, [2]string{"2026-12-01", "2027-01-01"}},
		{time.Date(2027, 1, 1, 3, 0, 0, 0, zone), false, [2]string{"2026-12-31", "2027-01-01"}}, // in UTC it is still December
		{time.Date(2027, 1, 1, 3, 0, 0, 0, zone), true, [2]string{"2026-12-01", "2027-01-01"}},
		{time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), false, [2]string{"2028-02-29", "2028-03-01"}},
		{time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), true, [2]string{"2028-02-01", "2028-03-01"}},
	} {
		begin, end := (&periodCap{monthly: c.monthly}).period(c.now)
		got := [2]string{begin.Format(time.DateOnly), end.Format(time.DateOnly)}
		if got != c.want || begin.Hour()+end.Hour() != 0 || begin.Location() != time.UTC {
			t.Errorf("period(%s, monthly %t) = %s to %s, want %s", c.now, c.monthly, begin, end, c.want)
		}
	}
}

func TestPeriodCapOptions(t *testing.T) {
	t.Parallel()
	o := MoneyOptions{MaxPerDay: "5", MaxPerMonth: "unlimited", MaxLakePerMonth: "7", Job: "nightly"}
	got, err := o.periodCaps()
	want := []periodCap{{"max-credits-per-day", 5, false, "nightly"}, {"max-lake-credits-per-month", 7, true, ""}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(periodCap{})); diff != "" || err != nil {
		t.Errorf("periodCaps() (-want +got):\n%s\n%v", diff, err)
	}
	for _, o := range []MoneyOptions{{MaxCredits: "5"}, {MaxPerDay: "5"}, {MaxLakePerMonth: "unlimited"}} {
		o.Unattended = true
		if _, err := o.budget(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	o = MoneyOptions{Unattended: true}
	if _, err := o.budget(); err == nil {
		t.Error("an unattended run without any cap is allowed")
	}
}
