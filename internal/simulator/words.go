package simulator

// This file holds the word lists for names. They are invented or everyday words.

var companyFirst = []string{
	"Harbor", "Tallow", "Cinder", "Marrow", "Juniper", "Copper", "Lantern", "Willow", "Granite", "Saffron",
	"Otter", "Meridian", "Pebble", "Thistle", "Anchor", "Bramble", "Cobalt", "Drift", "Ember", "Falcon",
	"Garnet", "Hollow", "Indigo", "Kestrel", "Linden", "Maple", "Northern", "Opal", "Quarry", "Raven",
	"Silver", "Timber", "Umber", "Violet", "Winter", "Yarrow", "Zephyr", "Alder", "Birch", "Clover",
}

var companySecond = []string{
	"Quill", "Finch", "Works", "Bridge", "Systems", "Mills", "Foundry", "Labs", "Freight", "Optics",
	"Health", "Grid", "Harvest", "Software", "Dynamics", "Textiles", "Energy", "Robotics", "Paper", "Media",
	"Logistics", "Capital", "Studios", "Materials", "Networks", "Clinics", "Motors", "Foods", "Instruments", "Analytics",
}

// legalForms are dropped when company names are compared.
var legalForms = map[string]bool{
	"inc": true, "incorporated": true, "ltd": true, "limited": true, "llc": true, "llp": true, "plc": true,
	"corp": true, "corporation": true, "co": true, "company": true, "gmbh": true, "ag": true, "kg": true,
	"sa": true, "sas": true, "sarl": true, "bv": true, "nv": true, "ab": true, "as": true, "oy": true,
	"srl": true, "spa": true, "pty": true,
}

var givenNames = []string{
	"Ada", "Ilse", "Tomas", "Priya", "Noor", "Jonas", "Mei", "Carlos", "Aoife", "Samuel", "Fatima", "Erik",
	"Leila", "Hugo", "Zoë", "Kenji", "Anouk", "Dmitri", "Grace", "Omar", "Søren", "Lucía", "Ruth", "Victor",
}

var familyNames = []string{
	"Sample", "Okafor", "Lindqvist", "Marchetti", "O'Hare", "Nakamura", "Vos", "Abbas", "Köhler", "Fontaine",
	"Petrov", "Ramos", "Whitlock", "Iyer", "Brandt", "Dubois", "Haugen", "Castellan", "Mbeki", "Novak",
}

// seniorityNames are the rungs as V3 previews spell them.
var seniorityNames = [6]string{"Entry", "Senior", "Manager", "Director", "Vice President", "C-Suite"}

var industries = []string{
	"Software", "Manufacturing", "Logistics & Freight", "Healthcare", "Financial Services", "Retail", "Energy", "Media",
	"Construction", "Education", "Food & Beverage", "Professional Services",
}

// countries holds code and continent of the countries in places.
var countries = map[string]struct{ iso, continent string }{
	"United States": {"US", "North America"}, "Canada": {"CA", "North America"}, "United Kingdom": {"GB", "Europe"},
	"Germany": {"DE", "Europe"}, "France": {"FR", "Europe"}, "Norway": {"NO", "Europe"}, "Netherlands": {"NL", "Europe"},
	"Belgium": {"BE", "Europe"}, "Spain": {"ES", "Europe"}, "Poland": {"PL", "Europe"}, "India": {"IN", "Asia"},
	"Japan": {"JP", "Asia"}, "Brazil": {"BR", "South America"}, "Singapore": {"SG", "Asia"},
	"Côte d'Ivoire": {"CI", "Africa"}, "Australia": {"AU", "Oceania"},
}

// ladder is a career within one department, from the first rung to the last.
type ladder struct {
	department string
	titles     [6]string
}

var seniorities = [6]string{"entry", "senior", "manager", "director", "vice president", "c-suite"}

var ladders = []ladder{
	{"Finance", [6]string{"Financial Analyst", "Senior Financial Analyst", "Finance Manager", "Head of Finance", "VP Finance", "Chief Financial Officer"}},
	{"Sales", [6]string{"Sales Representative", "Senior Account Executive", "Sales Manager", "Director of Sales", "VP Sales", "Chief Revenue Officer"}},
	{"Engineering & Technical", [6]string{"Software Engineer", "Senior Software Engineer", "Engineering Manager", "Director of Engineering", "VP Engineering", "Chief Technology Officer"}},
	{"Marketing", [6]string{"Marketing Associate", "Senior Content Strategist", "Marketing Manager", "Director, Brand & Demand", "VP Marketing", "Chief Marketing Officer"}},
	{"Human Resources", [6]string{"HR Coordinator", "Senior People Partner", "HR Manager", "Director of People", "VP People", "Chief People Officer"}},
	{"R&D", [6]string{"Research Assistant", "Senior Scientist", "R&D Manager", "Leiter R&D", "VP Research", "Chief Science Officer"}},
	{"Operations", [6]string{"Operations Analyst", "Senior Planner", "Operations Manager", "Director of Operations", "VP Operations", "Chief Operating Officer"}},
	{"Information Technology", [6]string{"Systems Administrator", "Senior Systems Engineer", "IT Manager", "Head of IT", "VP Information Systems", "Chief Information Officer"}},
}

// topic is a subject of interest.
type topic struct{ name, category string }

var topics = []topic{
	{"Data Warehousing", "Data & Analytics"}, {"Endpoint Security", "Security"}, {"Payroll Outsourcing", "Human Resources"},
	{"Fleet Management", "Logistics"}, {"Customer Data Platform", "Data & Analytics"}, {"Cloud Migration", "Infrastructure"},
	{"Sales Enablement", "Sales & Marketing"}, {"Freight Forwarding", "Logistics"}, {"E-Signature", "Sales & Marketing"},
	{"Observability", "Infrastructure"}, {"Heat Pumps", "Energy"}, {"R&D Tax Credits", "Finance"},
}

// jobTitle names a vacancy in a department.
func jobTitle(department string, d *dice) string {
	for _, l := range ladders {
		if l.department == department {
			return l.titles[d.intN(4)]
		}
	}
	return department + " " + pick(d, []string{"Specialist", "Coordinator", "Manager", "Lead"})
}
