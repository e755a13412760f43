package report

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/lusha"
)

// printedTypes are what commands print with --json.
var printedTypes = []any{
	app.LakeStatus{}, app.PruneReport{}, app.PublishReport{}, app.WebhookSync{}, app.WebhookChanges{}, app.WebhookList{}, []lusha.HookTest{}, app.WebhookTotals{},
	app.SecretReport{}, app.OptOutOrder{}, app.WebhookAudit{}, app.WebhookCap{}, []app.ErasureRequest{}, app.ExportReport{}, app.PlanReport{}, app.History{},
	Verification{}, RunSummary{},
}

// TestJSONNames: every field that a command prints with --json has a name in lower case with underscores, and a time that
// may be missing is left out, and not the year 1.
func TestJSONNames(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{}
	for _, v := range printedTypes {
		checkNames(t, reflect.TypeOf(v), reflect.TypeOf(v).String(), seen)
	}
	if len(seen) < 30 {
		t.Errorf("%d types, want more", len(seen))
	}
}

var snakeCase = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)

func checkNames(t *testing.T, typ reflect.Type, path string, seen map[reflect.Type]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		checkNames(t, typ.Elem(), path, seen)
		return
	case reflect.Struct:
	default:
		return
	}
	marshals := reflect.PointerTo(typ).Implements(reflect.TypeFor[interface{ MarshalJSON() ([]byte, error) }]())
	if seen[typ] || marshals || typ == reflect.TypeFor[time.Time]() {
		return
	}
	seen[typ] = true
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch at := path + "." + f.Name; {
		case !f.IsExported() || name == "-":
			continue
		case f.Anonymous && name == "":
		case !snakeCase.MatchString(name):
			t.Errorf("%s is printed as %q, want a name like two_words", at, name)
		case f.Type == reflect.TypeFor[time.Time]() && options == "omitempty":
			t.Errorf("%s: omitempty leaves no time out", at)
		}
		checkNames(t, f.Type, path+"."+f.Name, seen)
	}
}
