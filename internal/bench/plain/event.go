package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/siglake/siglake/schema"
)

// record is what the events of companies can hold.
type record struct {
	CompanyID              *string  `json:"companyId"`
	CompanyName            *string  `json:"companyName"`
	Domain                 *string  `json:"domain"`
	SignalID               *string  `json:"signalId"`
	SignalDate             *string  `json:"signalDate"`
	ChangeRatePercent      *float64 `json:"changeRatePercent"`
	BaselineEmployeesCount *int64   `json:"baselineEmployeesCount"`
	NewEmployeesCount      *int64   `json:"newEmployeesCount"`
	LastMonthVisits        *int64   `json:"lastMonthVisits"`
	HistoricalAvg          *float64 `json:"historicalAvg"`
	EstimatedAnnualItSpend *int64   `json:"estimatedAnnualItSpend"`
	NewJobsLastWeek        *int64   `json:"newJobsPostedLastWeek"`
	NewJobsLast4Weeks      *int64   `json:"newJobsPostedLast4Weeks"`
	Department             *string  `json:"department"`
	Country                *string  `json:"country"`
	State                  *string  `json:"state"`
	City                   *string  `json:"city"`
	EventType              *string  `json:"eventType"`
	EventSummary           *string  `json:"eventSummary"`
	ArticleTitle           *string  `json:"articleTitle"`
	ArticleHighlight       *string  `json:"articleHighlight"`
	ArticleURL             *string  `json:"articleUrl"`
	ArticlePublishedDate   *string  `json:"articlePublishedDate"`
	EventEffectiveDate     *string  `json:"eventEffectiveDate"`
}

// event is a record with where it comes from.
type event struct {
	record
	signal              schema.Signal
	entityID, account   string
	callID              string
	fetchedAt           time.Time
	raw                 string
	date                string
	uid, digest, phrase string
}

// newEvent reads a record.
func newEvent(signal schema.Signal, entityID, account string, r reply, raw json.RawMessage) (*event, error) {
	e := &event{signal: signal, entityID: entityID, account: account, callID: r.callID, fetchedAt: r.at, raw: string(raw)}
	if err := json.Unmarshal(raw, &e.record); err != nil {
		return nil, err
	}
	for _, date := range []*string{e.SignalDate, e.ArticlePublishedDate, e.EventEffectiveDate} {
		if e.date == "" && date != nil {
			e.date = *date
		}
	}
	e.uid = digest(signal.Key, entityID, text(e.SignalID), e.date)
	e.digest = digest(e.raw)
	e.phrase = text(e.EventSummary)
	if e.phrase == "" {
		e.phrase = fmt.Sprintf("%s: %s at %s", signal.Key, signal.Trend, text(e.CompanyName))
	}
	return e, nil
}

// digest is 32 digits that texts determine.
func digest(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		h.Write([]byte(t))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// The columns by their types. A column that none of these has is null.
var (
	texts = map[string]func(*event) *string{
		"event_uid":      func(e *event) *string { return &e.uid },
		"signal_type":    func(e *event) *string { return &e.signal.Key },
		"object_type":    func(*event) *string { return optional("company") },
		"entity_id":      func(e *event) *string { return &e.entityID },
		"account_key":    func(e *event) *string { return &e.account },
		"run_id":         func(*event) *string { return optional("20260630T200000Z-00000000") },
		"call_id":        func(e *event) *string { return &e.callID },
		"ingest_source":  func(*event) *string { return optional("poll") },
		"raw":            func(e *event) *string { return &e.raw },
		"content_digest": func(e *event) *string { return &e.digest },
		"summary_text":   func(e *event) *string { return &e.phrase },
		"company_id":     func(e *event) *string { return e.CompanyID },
		"company_name":   func(e *event) *string { return e.CompanyName },
		"company_domain": func(e *event) *string { return e.Domain },
		"signal_id":      func(e *event) *string { return e.SignalID },
		"direction":      func(e *event) *string { return optional(string(e.signal.Trend)) },
		"department":     func(e *event) *string { return e.Department },
		"country":        func(e *event) *string { return e.Country },
		"state":          func(e *event) *string { return e.State },
		"city":           func(e *event) *string { return e.City },

		"event_type":        func(e *event) *string { return e.EventType },
		"event_type_norm":   func(e *event) *string { return e.EventType },
		"event_summary":     func(e *event) *string { return e.EventSummary },
		"article_title":     func(e *event) *string { return e.ArticleTitle },
		"article_highlight": func(e *event) *string { return e.ArticleHighlight },
		"article_url":       func(e *event) *string { return e.ArticleURL },
	}
	integers = map[string]func(*event) *int64{
		"schema_version": func(*event) *int64 { return integer(schema.Version) },
		"revision":       func(*event) *int64 { return integer(1) },
		"window_months": func(e *event) *int64 {
			if e.signal.WindowMonths == 0 {
				return nil
			}
			return integer(e.signal.WindowMonths)
		},
		"baseline_employees_count":     func(e *event) *int64 { return e.BaselineEmployeesCount },
		"new_employees_count":          func(e *event) *int64 { return e.NewEmployeesCount },
		"last_month_visits":            func(e *event) *int64 { return e.LastMonthVisits },
		"estimated_annual_it_spend":    func(e *event) *int64 { return e.EstimatedAnnualItSpend },
		"new_jobs_posted_last_week":    func(e *event) *int64 { return e.NewJobsLastWeek },
		"new_jobs_posted_last_4_weeks": func(e *event) *int64 { return e.NewJobsLast4Weeks },
	}
	doubles = map[string]func(*event) *float64{
		"change_rate_percent": func(e *event) *float64 { return e.ChangeRatePercent },
		"change_rate_percent_abs": func(e *event) *float64 {
			if e.ChangeRatePercent == nil {
				return nil
			}
			rate := math.Abs(*e.ChangeRatePercent)
			return &rate
		},
		"historical_avg": func(e *event) *float64 { return e.HistoricalAvg },
	}
	dates = map[string]func(*event) *string{
		"event_date":             func(e *event) *string { return optional(e.date) },
		"signal_date":            func(e *event) *string { return e.SignalDate },
		"article_published_date": func(e *event) *string { return e.ArticlePublishedDate },
		"event_effective_date":   func(e *event) *string { return e.EventEffectiveDate },
	}
)

func integer(n int) *int64 {
	long := int64(n)
	return &long
}

// appendTo appends the value of a column.
func (e *event) appendTo(builder array.Builder, column string) error {
	switch b := builder.(type) {
	case *array.StringBuilder:
		appendOptional(b, texts[column], e)
	case *array.Int64Builder:
		appendOptional(b, integers[column], e)
	case *array.Float64Builder:
		appendOptional(b, doubles[column], e)
	case *array.BooleanBuilder:
		b.Append(e.signal.Risk)
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(e.fetchedAt.UnixMicro()))
	case *array.Date32Builder:
		return appendDate(b, dates[column], e)
	default:
		return fmt.Errorf("column %s has the builder %T", column, b)
	}
	return nil
}

// appendOptional appends a value, or null.
func appendOptional[T any](b interface {
	Append(T)
	AppendNull()
}, get func(*event) *T, e *event) {
	if get == nil {
		b.AppendNull()
	} else if v := get(e); v == nil {
		b.AppendNull()
	} else {
		b.Append(*v)
	}
}

func appendDate(b *array.Date32Builder, get func(*event) *string, e *event) error {
	if get == nil || get(e) == nil {
		b.AppendNull()
		return nil
	}
	day, err := time.Parse(time.DateOnly, *get(e))
	if err != nil {
		return err
	}
	b.Append(arrow.Date32FromTime(day))
	return nil
}
