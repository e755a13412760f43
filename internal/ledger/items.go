package ledger

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// decodeItems decodes the items of a request as encoding/json does. It is called as often as an answer is
// decoded. Almost all requests have nothing but what an itemReader knows, and it reads them several times as
// fast; the others are left to encoding/json.
func decodeItems(text []byte) ([]pipeline.Item, error) {
	return decodeList(text, pipeline.MaxBatch, (*itemReader).readItem)
}

// decodeLines decodes the lines of a run that needed no call, in the same way.
func decodeLines(text []byte) ([]pipeline.Line, error) {
	return decodeList(text, 0, (*itemReader).readLine)
}

// decodeList decodes a list of about so many elements, by an itemReader if that can.
func decodeList[T any](text []byte, size int, read func(*itemReader, *T)) (list []T, err error) {
	if list, ok := readList(text, size, read); ok {
		return list, nil
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
	}
	return list, nil
}

// readList reads a list; false: it has something that an itemReader does not know.
func readList[T any](text []byte, size int, read func(*itemReader, *T)) (list []T, ok bool) {
	cursor, ok := jsonscan.NewPlainCursor(text)
	if !ok || len(text) == 0 || text[0] != '[' {
		return nil, false
	}
	r := itemReader{cursor, string(text)}
	list = make([]T, 0, size)
	r.Enter('[')
	for first := true; r.HasNext(first, ']'); first = false {
		var zero T
		list = append(list, zero)
		read(&r, &list[len(list)-1])
	}
	r.ExpectEnd()
	return list, r.Err == nil
}

// itemReader reads items. What it does not know is an error of its cursor.
type itemReader struct {
	jsonscan.Cursor
	text string // the document, whose memory the texts share
}

func (r *itemReader) readItem(item *pipeline.Item) {
	r.Enter('{')
	for first := true; r.HasNext(first, '}'); first = false {
		switch string(r.ReadName()) {
		case "Ref":
			item.Ref = r.readText()
		case "Account":
			r.readAccount(&item.Account)
		case "ID":
			item.ID = r.readText()
		case "Part":
			item.Part = r.readTrue()
		case "Audit":
			item.Audit = r.readTrue()
		case "TypesLeft":
			item.TypesLeft = int(r.readInt())
		default:
			r.SetError("another member")
		}
	}
}

func (r *itemReader) readLine(line *pipeline.Line) {
	r.Enter('{')
	for first := true; r.HasNext(first, '}'); first = false {
		switch string(r.ReadName()) {
		case "account":
			r.readAccount(&line.Account)
		case "status":
			line.Status = schema.Status(r.readText())
		case "reason":
			line.Reason = r.readText()
		case "duplicate_of":
			line.DuplicateOf = r.readInt()
		case "call":
			line.Call = r.readText()
		case "entity":
			if line.Entity == nil {
				line.Entity = &schema.Entity{}
			}
			r.readEntity(line.Entity)
		case "notes":
			line.Warnings = r.readTexts()
		case "part":
			line.Part = r.readText()
		default:
			r.SetError("another member")
		}
	}
}

func (r *itemReader) readEntity(e *schema.Entity) {
	r.Enter('{')
	for first := true; r.HasNext(first, '}'); first = false {
		switch string(r.ReadName()) {
		case "Object":
			e.Object = schema.Object(r.readText())
		case "ID":
			e.ID = r.readText()
		case "Name":
			e.Name = r.readText()
		case "Domain":
			e.Domain = r.readText()
		default:
			r.SetError("another member")
		}
	}
}

func (r *itemReader) readAccount(a *schema.Account) {
	r.Enter('{')
	for first := true; r.HasNext(first, '}'); first = false {
		switch string(r.ReadName()) {
		case "Row":
			a.Row = r.readInt()
		case "File":
			a.File = r.readText()
		case "Line":
			a.Line = r.readInt()
		case "Key":
			a.Key = r.readText()
		case "Object":
			a.Object = schema.Object(r.readText())
		case "ID":
			a.ID = r.readText()
		case "Domain":
			a.Domain = r.readText()
		case "Name":
			a.Name = r.readText()
		case "LinkedIn":
			a.LinkedIn = r.readText()
		case "Email":
			a.Email = r.readText()
		case "CompanyName":
			a.CompanyName = r.readText()
		case "CompanyDomain":
			a.CompanyDomain = r.readText()
		case "Kept":
			a.Kept = r.readText()
		case "Notes":
			a.Notes = r.readTexts()
		default:
			r.SetError("another member")
		}
	}
}

// readText reads a string.
func (r *itemReader) readText() string {
	if r.PeekByte() != '"' {
		r.SetError("no string")
		return ""
	}
	quoted := r.ReadValue()
	if len(quoted) < 2 {
		return ""
	}
	end := r.Offset() - 1
	text := r.text[end-len(quoted)+2 : end]
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	return jsonscan.Text(quoted)
}

func (r *itemReader) readTexts() (texts []string) {
	texts = []string{}
	r.Enter('[')
	for first := true; r.HasNext(first, ']'); first = false {
		texts = append(texts, r.readText())
	}
	return texts
}

func (r *itemReader) readInt() int64 {
	n, err := strconv.ParseInt(string(r.ReadValue()), 10, strconv.IntSize)
	if err != nil {
		r.SetError("no integer")
	}
	return n
}

func (r *itemReader) readTrue() bool {
	if string(r.ReadValue()) != "true" {
		r.SetError("not true")
	}
	return true
}
