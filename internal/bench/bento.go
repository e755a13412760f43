package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"text/template"

	"github.com/siglake/siglake/internal/bench/answers"
	"github.com/siglake/siglake/schema"
)

//go:embed bento.yaml.tmpl
var bentoTemplate string

// bentoConfig fills the template in.
type bentoConfig struct {
	List, URL, Since, Out string
	Events                int64
	Signals               []string
	Categories            map[string]string // by signal
	Tables                []bentoTable
}

type bentoTable struct {
	Name    string
	Columns []bentoColumn
}

type bentoColumn struct {
	Name, Type string
	Value      string // Bloblang
}

// bentoTypes are Bento's types of Parquet columns; it has none for dates and times.
var bentoTypes = map[schema.Type]string{
	schema.String: "UTF8", schema.Int64: "INT64", schema.Double: "DOUBLE", schema.Bool: "BOOLEAN", schema.Date: "INT32", schema.Time: "INT64",
}

// bentoValues are the columns that siglake derives. All others are null, or read from the record.
var bentoValues = map[string]string{
	"event_uid":               `[this.signal, this.entity, this.record.signalId, this.date].join("|").hash("sha256").encode("hex").slice(0, 32)`,
	"content_digest":          `this.record.format_json(no_indent: true).hash("sha256").encode("hex").slice(0, 32)`,
	"signal_type":             `this.signal`,
	"object_type":             `"company"`,
	"entity_id":               `this.entity`,
	"account_key":             `this.account`,
	"event_date":              `this.date.ts_parse("2006-01-02").ts_unix() / 86400`,
	"fetched_at":              `now().ts_parse("2006-01-02T15:04:05.999999999Z07:00").ts_unix_micro()`,
	"first_seen_at":           `now().ts_parse("2006-01-02T15:04:05.999999999Z07:00").ts_unix_micro()`,
	"run_id":                  `"20260630T200000Z-00000000"`,
	"call_id":                 `"000001-1"`,
	"ingest_source":           `"poll"`,
	"schema_version":          fmt.Sprint(schema.Version),
	"revision":                `1`,
	"raw":                     `this.record.format_json(no_indent: true)`,
	"summary_text":            `this.record.eventSummary | this.signal + " at " + this.record.companyName`,
	"event_type_norm":         `this.record.eventType`,
	"is_risk":                 `this.signal == "riskNews"`,
	"direction":               `if this.signal.contains("Increase") || this.signal.contains("surge") { "increase" } else { "decrease" }`,
	"change_rate_percent_abs": `this.record.changeRatePercent.abs()`,
	"window_months":           `this.signal.re_find_all("[0-9]+").index(0).number().catch(null)`,
}

// newBentoConfig describes the work of the benchmark.
func newBentoConfig(list string, s served, out string) bentoConfig {
	c := bentoConfig{List: list, URL: s.URL, Events: s.Events, Since: answers.Since, Out: out, Categories: map[string]string{}}
	for _, s := range schema.Signals {
		if s.Object == schema.Company && s.V2 == schema.Documented {
			c.Signals = append(c.Signals, s.Key)
			c.Categories[s.Key] = string(s.Category)
		}
	}
	for _, t := range schema.EventTables {
		table := bentoTable{Name: t.Name}
		if !slices.Contains([]string{"growth", "news", "risk"}, t.Name) {
			continue
		}
		for _, column := range t.Columns {
			table.Columns = append(table.Columns, bentoColumn{column.Name, bentoTypes[column.Type], bentoValue(column)})
		}
		c.Tables = append(c.Tables, table)
	}
	return c
}

func bentoValue(c schema.Column) string {
	value, derived := bentoValues[c.Name]
	switch {
	case derived:
		return value
	case len(c.From) == 0:
		return "null"
	case c.Type == schema.Date:
		return "this.record." + c.From[0] + `.ts_parse("2006-01-02").ts_unix() / 86400 | null`
	default:
		return "this.record." + c.From[0] + " | null"
	}
}

// writeTo writes Bento's configuration to a file.
func (c *bentoConfig) writeTo(path string) error {
	asJSON := func(v any) (string, error) {
		text, err := json.Marshal(v)
		return string(text), err
	}
	t, err := template.New("bento.yaml").Funcs(template.FuncMap{"json": asJSON}).Parse(bentoTemplate)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := t.Execute(f, c); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
