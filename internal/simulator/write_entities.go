package simulator

import "strconv"

// entityWriter writes what an answer says about a company or a person.
type entityWriter struct {
	fieldWriter
	world world
}

func (w *entityWriter) company(e *entity, domain string) {
	w.id("companyId", e.id, false)
	w.string("companyName", e.name)
	w.string("domain", domain)
}

// echoID writes an id in the form of the request.
func (w *entityWriter) echoID(key, id string) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != id {
		w.b = appendString(appendKey(w.b, key), id) // a token, or a number with leading zeros
		return
	}
	w.id(key, n, false)
}

// entityID writes an id in the form that V3 assigns.
func (w *entityWriter) entityID(key string, of object, id int64) {
	if w.sw.V3IDs == "tokens" {
		w.b = appendString(appendKey(w.b, key), w.world.encodeToken(of, id))
		return
	}
	w.id(key, id, false)
}

// companyDomain returns the domain of a company in the form of V3.
func (w *entityWriter) companyDomain(e *entity) string { return w.v3Domain(e.id, e.domain) }

func (w *entityWriter) v3Domain(id int64, domain string) string {
	if w.sw.V3WWW == "always" || w.sw.V3WWW == "half" && mix(uint64(id), 'w')&1 == 0 {
		return "www." + domain
	}
	return domain
}

// companySummary writes name, domain, size and industry of a company.
func (w *entityWriter) companySummary(e *entity, today day) {
	w.string("name", e.name)
	w.string("domain", w.companyDomain(e))
	n := w.world.employeeCount(e, today)
	w.b = append(appendKey(w.b, "employeeCount"), '{')
	w.number("exact", float64(n))
	for _, band := range employeeBands {
		if n <= band[1] {
			w.number("min", float64(band[0]))
			w.number("max", float64(band[1]))
			break
		}
	}
	w.b = append(w.b, '}')
	w.string("industry", w.world.industry(e))
}

func (w *entityWriter) jobTitle(job *position) {
	w.b = append(appendKey(w.b, "jobTitle"), '{')
	w.string("title", job.title())
	w.b = appendStrings(appendKey(w.b, "departments"), []string{job.department()})
	w.string("seniority", seniorityNames[job.rung])
	w.b = append(w.b, '}')
}

func (w *entityWriter) employer(idKey string, job *position) {
	w.b = append(appendKey(w.b, "company"), '{')
	w.entityID(idKey, company, job.companyID)
	w.string("name", job.company)
	w.string("domain", w.v3Domain(job.companyID, job.domain))
	w.b = append(w.b, '}')
}

// location writes a place: in full with codes, and with null or nothing for a missing state.
func (w *entityWriter) location(p place, full, null bool) {
	w.b = append(appendKey(w.b, "location"), '{')
	w.string("city", p.city)
	switch {
	case p.state != "":
		w.string("state", p.state)
	case null:
		w.b = append(appendKey(w.b, "state"), "null"...)
	}
	w.string("country", p.country)
	if full {
		w.string("countryIso2", countries[p.country].iso)
		w.string("continent", countries[p.country].continent)
	}
	w.b = append(w.b, '}')
}

func companyProfileURL(f *finding) string {
	if f.lookup.url != "" {
		return f.lookup.url
	}
	return companyURL(f.entity.name)
}

func (w *entityWriter) socialLinks(url string) {
	w.b = append(appendKey(w.b, "socialLinks"), '{')
	w.string("linkedin", url)
	w.b = append(w.b, '}')
}

func (w *entityWriter) countryAndState(p place) {
	w.string("country", p.country)
	if p.state != "" {
		w.string("state", p.state)
	}
}

// visit writes the measures of a visit.
func (w *entityWriter) visit(v *visit) {
	w.number("score", float64(v.score))
	w.string("scoreBand", v.scoreBand())
	w.number("totalSessions", float64(v.sessions))
	w.number("uniqueVisitors", float64(v.visitors))
	w.number("avgSessionMinutes", v.avgMinutes)
	w.number("daysVisited", float64(v.days))
	w.number("highIntentPageviews", float64(v.pages))
	w.date(lastVisit, v.last)
	w.string("visitorCountry", v.country)
}
