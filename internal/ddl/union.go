package ddl

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// Member is a lake of one shard of a list.
type Member struct {
	Shard    int
	Address  string // as Options.Address
	Snapshot *sinks.Snapshot
}

// shardColumn is a further column of the tables of a union.
var shardColumn = schema.Column{Name: "shard", Type: schema.Int64, Doc: "The shard in whose lake the row lies"}

// WriteUnion writes the script by which the lakes of shards read as one. Its first part makes the tables of each
// lake, under names that begin with shard_ and the number of the shard, and over them one table of each dataset, with
// the column shard. The second part is that of a single lake. Address and Snapshot of the options are not used.
//
// A line lies in one shard, and so does an entity, unless lines name it by different identifiers. Its events were then
// bought into several lakes: those of the first one are shown, so that each event is there once. What was
// paid is shown in full.
func WriteUnion(w io.Writer, o Options, members []Member) error {
	i := slices.IndexFunc(dialects, func(d dialect) bool { return d.name == o.Dialect })
	if i < 0 {
		return fmt.Errorf("no dialect %q", o.Dialect)
	}
	o.Snapshot = &sinks.Snapshot{}
	for _, m := range members {
		o.Snapshot.Files = append(o.Snapshot.Files, m.Snapshot.Files...)
	}
	u := union{script: &script{dialect: dialects[i], o: o, local: map[string]bool{}, isUnion: true}}
	for _, m := range members {
		if err := u.addMember(m); err != nil {
			return err
		}
	}
	u.writeTables()
	v := views{u.script}
	v.writeViews()
	_, err := io.WriteString(w, u.String())
	return err
}

// union writes the first part of the script of several lakes.
type union struct {
	*script
	parts  []*script // of the members
	shards []int
}

// addMember writes the tables of a lake.
func (u *union) addMember(m Member) error {
	o := u.o
	o.Address, o.Snapshot = m.Address, m.Snapshot
	o.Prefix += fmt.Sprintf("shard_%d_", m.Shard)
	part := &script{dialect: u.dialect, o: o, local: map[string]bool{}, isMember: true}
	if err := part.tables(part); err != nil {
		return err
	}
	u.WriteString(part.String())
	u.createView, u.viewEnd = part.createView, part.viewEnd
	u.parts, u.shards = append(u.parts, part), append(u.shards, m.Shard)
	return nil
}

// writeTables writes the tables of all members.
func (u *union) writeTables() {
	isDuckDB := u.name == "duckdb"
	if isDuckDB && u.o.Persistent {
		lakes := u.each(func(part *script, shard int) string {
			return fmt.Sprintf("SELECT lake, generation, %d AS shard FROM %s", shard, part.table(LakeView))
		})
		u.writeBlock("CREATE OR REPLACE VIEW %s AS %s;", u.table(LakeView), lakes)
	}
	for _, t := range schema.Tables {
		columns, kept := append(slices.Clip(baseColumns(t)), shardColumn), ""
		if isDuckDB && t.Name == schema.Accounts.Name {
			kept = u.selectKept(u.keptColumns())
			columns = append(columns, keptAsColumns(u.keptColumns())...)
		}
		u.writeBlock("%s %s AS\n%s%s;", u.createView, u.view(baseName(t)), u.rows(t, kept), u.viewEnd)
		doc := t.Doc
		if t.IsEvent() {
			doc += ". Every revision of each event"
			if isDuckDB {
				(&duckDB{u.script}).writeAsOf(t)
			}
		}
		if u.comment != nil {
			u.comment(u.script, baseName(t), doc, columns)
		}
	}
}

// each combines a query about each member.
func (u *union) each(query func(part *script, shard int) string) string {
	queries := make([]string, len(u.parts))
	for i, part := range u.parts {
		queries[i] = query(part, u.shards[i])
	}
	return strings.Join(queries, "\nUNION ALL ")
}

// rows selects the rows of a dataset: of an event that several lakes have, those of the first one. kept are further
// columns.
func (u *union) rows(t schema.Table, kept string) string {
	base := baseColumns(t)
	all := u.each(func(part *script, shard int) string {
		return fmt.Sprintf("SELECT %s, CAST(%d AS %s) AS %s FROM %s AS t", u.columnsOf("t", base), shard, u.columnType(schema.Int64), shardColumn.Name, part.table(baseName(t)))
	})
	from := "(" + all + ")"
	if u.name != "duckdb" { // its members leave out these persons themselves
		from = u.shown(t, from, shardColumn)
	}
	query := fmt.Sprintf("SELECT %s%s\nFROM %s AS e", u.columnsOf("e", append(slices.Clip(base), shardColumn)), kept, from)
	if !t.IsEvent() {
		return query
	}
	uids := u.each(func(part *script, shard int) string {
		return fmt.Sprintf("SELECT t.event_uid AS event_uid, CAST(%d AS %s) AS shard FROM %s AS t", shard, u.columnType(schema.Int64), part.table(baseName(t)))
	})
	return query + fmt.Sprintf("\nLEFT JOIN (SELECT u.event_uid AS event_uid, min(u.shard) AS first_shard FROM (%s) AS u GROUP BY u.event_uid HAVING min(u.shard) <> max(u.shard)) AS d ON d.event_uid = e.event_uid\nWHERE d.first_shard IS NULL OR d.first_shard = e.shard", uids)
}
