package schema

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The keys by category, and the record fields of each layout, as listed in the vendor's references
// and help pages.
var (
	catalogue = map[Category]string{
		CategoryContact: "companyChange promotion",
		CategoryGrowth: "headcountIncrease1m headcountIncrease3m headcountIncrease6m headcountIncrease12m " +
			"surgeInHiring surgeInHiringByDepartment surgeInHiringByLocation newJobPost newLocation " +
			"websiteTrafficIncrease itSpendIncrease",
		CategoryIntent: "intent intentByGeography websiteVisitors linkedinActivityIntent",
		CategoryNews: "financialEventsNews commercialActivityNews corporateStrategyNews productActivityNews " +
			"peopleNews marketIntelligenceNews riskNews",
		CategoryRisk: "headcountDecrease1m headcountDecrease3m headcountDecrease6m headcountDecrease12m " +
			"websiteTrafficDecrease itSpendDecrease",
	}

	personFields = "personId currentCompanyId currentCompanyName currentDomain currentTitle previousTitle " +
		"currentDepartments currentSeniorityLabel previousCompanyName previousDomain signalDate"
	measured        = "signalId companyId companyName domain signalDate "
	headcountFields = measured + "baselineEmployeesCount newEmployeesCount changeRatePercent"
	trafficFields   = measured + "lastMonthVisits historicalAvg changeRatePercent"
	itSpendFields   = measured + "estimatedAnnualItSpend changeRatePercent"
	topicFields     = measured + "topicName topicScore topicTrend"
	newsFields      = "signalId companyId companyName domain eventType eventSummary articleTitle articleHighlight " +
		"articleUrl articlePublishedDate eventEffectiveDate"

	payloads = map[string]string{
		"companyChange": personFields,
		"promotion":     personFields,

		"headcountIncrease1m":       headcountFields,
		"headcountIncrease3m":       headcountFields,
		"headcountIncrease6m":       headcountFields,
		"headcountIncrease12m":      headcountFields,
		"surgeInHiring":             measured + "newJobsPostedLastWeek historicalAvg changeRatePercent",
		"surgeInHiringByDepartment": measured + "department newJobsPostedLast4Weeks historicalAvg changeRatePercent",
		"surgeInHiringByLocation":   measured + "country state newJobsPostedLast4Weeks historicalAvg changeRatePercent",
		"newJobPost":                measured + "externalJobId jobTitle department country state city jobUrl",
		"newLocation":               measured + "country state city source",
		"websiteTrafficIncrease":    trafficFields,
		"itSpendIncrease":           itSpendFields,

		"intent":            topicFields,
		"intentByGeography": topicFields + " country state",
		"websiteVisitors": measured + "score scoreBand totalSessions uniqueVisitors avgSessionMinutes daysVisited " +
			"highIntentPageviews lastVisit visitorCountry",
		"linkedinActivityIntent": "companyId activityPublicationDate signalCategory intentTopics author.id " +
			"author.fullName author.linkedinUrl contactsMentioned companiesMentioned activityUrl activitySummary " +
			"activityLikes activityComments activityShares activityType",

		"financialEventsNews":    newsFields,
		"commercialActivityNews": newsFields,
		"corporateStrategyNews":  newsFields,
		"productActivityNews":    newsFields,
		"peopleNews":             newsFields,
		"marketIntelligenceNews": newsFields,
		"riskNews":               newsFields,

		"headcountDecrease1m":    headcountFields,
		"headcountDecrease3m":    headcountFields,
		"headcountDecrease6m":    headcountFields,
		"headcountDecrease12m":   headcountFields,
		"websiteTrafficDecrease": trafficFields,
		"itSpendDecrease":        itSpendFields,
	}

	// fieldTypes are the types of the columns of fields that are not text.
	fieldTypes = map[string]Type{
		"signalDate": Date, "articlePublishedDate": Date, "eventEffectiveDate": Date,
		"activityPublicationDate": Date, "lastVisit": Date,
		"changeRatePercent": Double, "historicalAvg": Double, "topicScore": Double, "score": Double, "avgSessionMinutes": Double,
		"baselineEmployeesCount": Int64, "newEmployeesCount": Int64, "lastMonthVisits": Int64,
		"estimatedAnnualItSpend": Int64, "newJobsPostedLastWeek": Int64, "newJobsPostedLast4Weeks": Int64,
		"totalSessions": Int64, "uniqueVisitors": Int64, "daysVisited": Int64, "highIntentPageviews": Int64,
		"activityLikes": Int64, "activityComments": Int64, "activityShares": Int64,
	}
)

func keysOf(signals []Signal) []string {
	var keys []string
	for _, s := range signals {
		keys = append(keys, s.Key)
	}
	return keys
}

func TestCatalogueNamesEveryKeyOnce(t *testing.T) {
	got := map[Category]string{}
	for _, s := range Signals {
		got[s.Category] = strings.TrimSpace(got[s.Category] + " " + s.Key)
	}
	if diff := cmp.Diff(catalogue, got); diff != "" {
		t.Errorf("Signals by category (-want +got):\n%s", diff)
	}
	if got, want := len(Signals), 29+1; got != want { // linkedinActivityIntent is not on any help page
		t.Errorf("len(Signals) = %d, want %d", got, want)
	}
}

func TestCatalogueEntriesAreComplete(t *testing.T) {
	announced := []string{"newJobPost", "newLocation", "intent", "intentByGeography", "websiteVisitors"}
	for _, s := range Signals {
		wantObject, wantV2, wantV3 := Company, Documented, Documented
		if s.Category == CategoryContact {
			wantObject = Contact
		}
		switch {
		case slices.Contains(announced, s.Key):
			wantV2, wantV3 = Announced, Announced
		case s.Key == "linkedinActivityIntent":
			wantV2 = Absent
		}
		if s.Object != wantObject || s.V2 != wantV2 || s.V3 != wantV3 {
			t.Errorf("%s = %s, V2 %s, V3 %s, want %s, V2 %s, V3 %s", s.Key, s.Object, s.V2, s.V3, wantObject, wantV2, wantV3)
		}
		if !slices.Contains([]string{"daily", "weekly", "monthly", "not stated"}, s.Cadence) {
			t.Errorf("%s: cadence = %q, want a known one", s.Key, s.Cadence)
		}
		if want := s.Category == CategoryRisk || s.Key == "riskNews"; s.Risk != want {
			t.Errorf("%s: Risk = %t, want %t", s.Key, s.Risk, want)
		}
		if got, want := len(s.NewsEventTypes) > 0, s.Category == CategoryNews; got != want {
			t.Errorf("%s: has news event types = %t, want %t", s.Key, got, want)
		}
		if got := s.Record != "" && (s.Record == "news") == (s.Category == CategoryNews); !got {
			t.Errorf("%s: record %q does not suit category %s", s.Key, s.Record, s.Category)
		}
	}
}

// Keys with the same record layout have the same fields, and keys with different layouts do not.
func TestRecordsAreLayouts(t *testing.T) {
	byRecord, byFields := map[string]string{}, map[string]string{}
	for _, s := range Signals {
		fields := payloads[s.Key]
		if known, ok := byRecord[s.Record]; ok && known != fields {
			t.Errorf("record %s of %s has fields %q, want %q as its other keys", s.Record, s.Key, fields, known)
		}
		if known, ok := byFields[fields]; ok && known != s.Record {
			t.Errorf("record of %s = %s, want %s: their fields are equal", s.Key, s.Record, known)
		}
		byRecord[s.Record], byFields[fields] = fields, s.Record
	}
}

func TestTrendAndWindowAreTheKeys(t *testing.T) {
	for _, s := range Signals {
		trend := Trend("")
		switch {
		case strings.Contains(s.Key, "Increase"), strings.HasPrefix(s.Key, "surge"):
			trend = Increase
		case strings.Contains(s.Key, "Decrease"):
			trend = Decrease
		}
		months := 0
		for suffix, n := range map[string]int{"ase1m": 1, "ase3m": 3, "ase6m": 6, "ase12m": 12} {
			if strings.HasSuffix(s.Key, suffix) {
				months = n
			}
		}
		if s.Trend != trend || s.WindowMonths != months {
			t.Errorf("%s: trend, months = %q, %d, want %q, %d", s.Key, s.Trend, s.WindowMonths, trend, months)
		}
	}
}

func TestNewsTypesBelongToOneKey(t *testing.T) {
	owner := map[string]string{}
	for _, s := range Signals {
		for _, n := range s.NewsEventTypes {
			if other, taken := owner[strings.ToLower(n)]; taken {
				t.Errorf("news event type %q belongs to %s and %s, want one", n, other, s.Key)
			}
			owner[strings.ToLower(n)] = s.Key
		}
	}
	if got, want := len(owner), 26; got != want {
		t.Errorf("number of news event types = %d, want %d", got, want)
	}
	for n, want := range map[string]string{
		"ipo": "financialEventsNews", "m&a": "corporateStrategyNews", "lawsuit filed": "corporateStrategyNews",
		"lawsuit faced": "riskNews", "headcount decrease": "peopleNews",
	} {
		if got := owner[n]; got != want {
			t.Errorf("key of news event type %q = %q, want %q", n, got, want)
		}
	}
}

func TestDepartmentsAreTheVocabulary(t *testing.T) {
	if got, want := len(Departments), 16; got != want {
		t.Errorf("len(Departments) = %d, want %d", got, want)
	}
	if !slices.IsSorted(Departments) || len(slices.Compact(slices.Clone(Departments))) != len(Departments) {
		t.Errorf("Departments = %q, want sorted and unique", Departments)
	}
}

// Keys of events name layouts of the catalogue, and text columns of their tables.
func TestEventKeysAreColumns(t *testing.T) {
	tables := map[string]Table{}
	for _, s := range Signals {
		tables[s.Record] = EventTable(s.Category)
	}
	for record, keys := range EventKeys {
		table, known := tables[record]
		if !known || len(keys) == 0 {
			t.Errorf("EventKeys[%s] has %d lists, and the layout is in the catalogue: %t", record, len(keys), known)
		}
		for _, key := range keys {
			for _, column := range key {
				if i := table.ColumnIndex(column); i < 0 || table.Columns[i].Type != String {
					t.Errorf("EventKeys[%s] names %q, which is no text column of %s", record, column, table.Name)
				}
			}
		}
	}
}

func TestLookupSignal(t *testing.T) {
	for _, s := range Signals {
		if got, ok := LookupSignal(s.Key); !ok || got.Key != s.Key {
			t.Errorf("LookupSignal(%q) = %q, %t, want itself", s.Key, got.Key, ok)
		}
	}
	for _, key := range []string{"", "allSignals", "PROMOTION", "newsEvent"} {
		if got, ok := LookupSignal(key); ok || got.Key != "" {
			t.Errorf("LookupSignal(%q) = %q, %t, want none", key, got.Key, ok)
		}
	}
}

func TestMatchSignals(t *testing.T) {
	everything := keysOf(Signals)
	risk := append(strings.Fields("riskNews"), strings.Fields(catalogue[CategoryRisk])...)
	for _, c := range []struct {
		word string
		want []string
	}{
		{"all", everything},
		{"ALL", everything},
		{"contact", strings.Fields(catalogue[CategoryContact])},
		{"Growth", strings.Fields(catalogue[CategoryGrowth])},
		{"news", strings.Fields(catalogue[CategoryNews])},
		{"risk", risk},
		{"RISK", risk},
		// The category takes precedence over the key of the same name.
		{"intent", strings.Fields(catalogue[CategoryIntent])},
		{"key:intent", []string{"intent"}},
		{"key:promotion", []string{"promotion"}},
		{"key:news", nil},
		{"riskNews", []string{"riskNews"}},
		{"headcountincrease3M", []string{"headcountIncrease3m"}},
		{"other", nil},
		{"allSignals", nil},
		{"head", nil},
		{"", nil},
	} {
		if diff := cmp.Diff(c.want, keysOf(MatchSignals(c.word))); diff != "" {
			t.Errorf("MatchSignals(%q) (-want +got):\n%s", c.word, diff)
		}
	}
}
